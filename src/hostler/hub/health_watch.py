"""The part of health that waits: begins the checks that are due, has wires tested, follows each check."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.hub import checkups, health
from hostler.hub.errors import Refusal, UnavailableError
from hostler.hub.records import BoardRecord, CheckStage
from hostler.hub.state import Draft
from hostler.model.health import StageTimes, boot_stages, next_checks, stage_times
from hostler.model.json import Document
from hostler.model.trace import TraceEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.hub.hub import Hub
    from hostler.hub.records import Checkup, HealthVerdict, Principal

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
"""How often is looked when nothing changes: deadlines are minutes, and checks are due after hours."""

REST_SECONDS = 0.1
"""Shortest time between two looks, however fast boards change: a look goes over every board."""

PUT_OFF_SECONDS = 60.0
"""How long a check that could not begin is left: somebody is first, or something is missing."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """A board's health with what its last training measured.

    Attributes:
        record: The board.
        boots: Boots of its last training, in order: the round's number, why it failed (or empty), stages.
        times: How long each stage took over the boots that succeeded, in seconds from power-on.
    """

    record: BoardRecord
    boots: tuple[Document, ...] = ()
    times: tuple[StageTimes, ...] = ()


class HealthWatch:
    """Keeps the checks of all boards going."""

    def __init__(self, hub: Hub, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._clock = clock
        self._testing: set[str] = set()
        self._put_off: dict[str, float] = {}

    async def run(self) -> None:
        """Look, act and wait until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                version = self._hub.bells.version("boards")
                try:
                    await self._look(tasks)
                except UnavailableError as error:
                    log.warning("checks of boards wait: %s", error)
                    await asyncio.sleep(1.0)
                await self._hub.bells.wait("boards", version, LOOK_SECONDS)
                await asyncio.sleep(REST_SECONDS)

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        state, now = self._hub.state, self._clock()
        for record in [record for record in state.boards.values() if record.health.checkup]:
            await self._follow(record, tasks)
        plans = health.plans(state)
        if not plans and not any(record.health.asked for record in state.boards.values()):
            return  # a big lab without checks is not gone through for nothing with every change
        self._put_off = {name: until for name, until in self._put_off.items() if until > now}
        boards = [one for one in health.candidates(state) if one.board not in self._put_off]
        for name, why in next_checks(boards, plans, now):
            try:
                await self._hub.change(lambda draft, name=name, why=why: checkups.begin(draft, name, why))  # type: ignore[misc]
            except UnavailableError:
                raise
            except Refusal as refusal:
                log.info('the check of board "%s" is put off: %s', name, refusal)
                self._put_off[name] = now + PUT_OFF_SECONDS

    async def _follow(self, record: BoardRecord, tasks: asyncio.TaskGroup) -> None:
        name, checkup = record.name, record.health.checkup
        assert checkup is not None
        if checkup.stage is CheckStage.WIRES and name not in self._testing:
            self._testing.add(name)
            tasks.create_task(self._test_wires(name), name=f"wires of {name}")
        if checkups.resting(Draft(self._hub.state, self._clock()), record):
            await self._measure(record, checkup)
        try:
            await self._hub.change(lambda draft: checkups.advance(draft, name))
        except UnavailableError:
            raise
        except Refusal as refusal:  # its plan cannot be made any more: an image was removed, say
            text = str(refusal)
            await self._hub.change(lambda draft: checkups.give_up(draft, name, text))

    async def _test_wires(self, name: str) -> None:
        try:
            try:
                report = await self._hub.metal.active_check(name)
            except UnavailableError as error:  # the rack is away: asked again until it is too late
                log.warning('the wires of board "%s" cannot be tested: %s', name, error)
                await asyncio.sleep(LOOK_SECONDS)
                return
            except Refusal as refusal:
                row: Document = {"what": "wires", "ok": False, "text": str(refusal)}
                report = {"ok": False, "checks": [row]}
            try:
                await self._hub.surely(lambda draft: checkups.wires_tested(draft, name, report))
            except Refusal as refusal:  # its plan cannot be made any more
                text = str(refusal)
                await self._hub.surely(lambda draft: checkups.give_up(draft, name, text))
        finally:
            self._testing.discard(name)
            self._hub.bells.ring("boards")

    async def _measure(self, record: BoardRecord, checkup: Checkup) -> None:
        """Keep how long the boot of a round took; the board is off, so all there is of it has arrived."""
        if record.boot is None:
            return
        name, run = record.name, checkup.run
        trace = await self._hub.history.trace(name, record.boot.number)
        seen = [TraceEvent.from_json(event.data) for event in trace.events]
        stages = boot_stages(record.boot.started, seen)
        data = {"round": checkup.passed + checkup.failed, "fault": checkup.fault, "stages": stages}
        words = ", ".join(f"{stage} after {seconds:g} s" for stage, seconds in stages.items())
        await self._hub.change(
            lambda draft: draft.event(
                "health.boot", f'board "{name}": {words or "nothing was seen of it"}', board=name, run=run,
                data=data,
            )
        )  # fmt: skip

    # What people ask for

    async def ask(self, by: Principal, name: str) -> BoardRecord:
        """Have a board checked as soon as it can be."""
        self._put_off.pop(name, None)
        return await self._hub.change(lambda draft: health.ask(draft, by, name))

    async def judge(self, by: Principal, name: str, verdict: HealthVerdict, reason: str = "") -> BoardRecord:
        """Set a verdict by hand, or let a board be checked again and again."""
        return await self._hub.change(lambda draft: health.judge(draft, by, name, verdict, reason))

    async def stop(self, by: Principal, name: str) -> BoardRecord:
        """End the check of a board without a verdict."""
        return await self._hub.change(lambda draft: health.stop(draft, by, name))

    async def train(self, by: Principal, name: str, boots: int) -> BoardRecord:
        """Have a board boot so many times before anybody may have it."""
        return await self._hub.change(lambda draft: health.train(draft, by, name, boots))

    async def report(self, name: str) -> HealthReport:
        """Return a board's health with what its last training measured."""
        record = self._hub.reading.board(name)
        if record.health.trained is None:
            return HealthReport(record)
        events = await self._hub.history.about(name, "health.boot", record.health.trained)
        # A round that was measured just before a crash is measured again after it.
        boots = tuple({event.data["round"]: event.data for event in events}.values())
        times = stage_times(boot["stages"] for boot in boots if not boot["fault"])
        return HealthReport(record, boots, tuple(times))
