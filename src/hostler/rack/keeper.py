"""The shell around ``model.keeper.decide``: one task per board that looks, decides, acts, and tells."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostler.model.keeper import decide, looked
from hostler.model.keeper_view import (
    DirectBoot,
    Memory,
    Record,
    Report,
    SetPower,
    StartBoot,
    View,
    Wait,
    agent_step,
    awaited_pattern,
    netboot_step,
    reboot_asked,
)
from hostler.model.plan import StepKind
from hostler.model.run import Phase
from hostler.model.seam import BootRecord, Observed
from hostler.model.standstill import Standstill
from hostler.rack.boot_direction import BootDirection
from hostler.rack.handover import Handover, Sign
from hostler.rack.live_view import LiveView
from hostler.rack.power_switch import PowerSwitch

if TYPE_CHECKING:
    from hostler.model.json import Document
    from hostler.model.keeper_view import Action
    from hostler.model.seam import Desired
    from hostler.model.trace import TraceEvent
    from hostler.rack.keeper_port import BoardBootControl, BoardConsole, BoardPower, KeeperPort

ACTIVITY_SECONDS = 60.0
"""How coarsely signs of use are told: who types is not worth an observation a key."""

_TELL_SECONDS = 0.25
"""Shortest time between two observations sent up; progress comes faster than people can read."""


class Keeper:
    """Keeps one board: makes what is observed become what is desired."""

    def __init__(
        self,
        desired: Desired,
        memory: Memory,
        port: KeeperPort,
        power: BoardPower | None,
        console: BoardConsole | None,
        boot_control: BoardBootControl | None = None,
    ) -> None:
        self._live = LiveView(desired, memory, port)
        self._port = port
        self.power = power
        self.console = console
        self.boot_control = boot_control
        self._boots = BootDirection(self._live, boot_control)
        self._switch = PowerSwitch(self._live, power, self._boots)
        self._facts: dict[str, Any] = {}
        self._conflict = ""
        self._watched: tuple[str, str] | None = None
        self._active_at = self._live.now.seen.since
        self._handover = Handover()
        self._standstill = Standstill()

    @property
    def name(self) -> str:
        """The board's name."""
        return self._live.name

    @property
    def view(self) -> View:
        """What the keeper knows now."""
        return self._live.now

    def desire(self, desired: Desired) -> None:
        """Take a new order from the hub."""
        self._live.now = replace(self._live.now, desired=desired)
        self._live.changed()

    def agent_seen(self, boot: str, at: float) -> None:
        """Note that the agent of a boot spoke."""
        seen = replace(self._live.now.seen, agent_boot=boot, agent_at=max(at, self._live.now.seen.agent_at))
        first = self._live.now.seen.agent_boot != boot
        self._live.now = replace(self._live.now, seen=seen)
        if first:  # later words only move deadlines, which are looked at when they come
            self._live.trace("agent", "hello", "the agent is up")
            self._boots.agent_is_up()
            self._live.changed()

    def agent_hello(self, facts: dict[str, Any], conflict: str) -> None:
        """Take the facts an agent reported and what they contradict."""
        self._facts, self._conflict = facts, conflict
        self._live.changed()

    def agent_progress(self, run: str, step: int, phase: Phase, done: int, total: int) -> None:
        """Take an agent's progress; one that is not about the present step is ignored."""
        if not self._current(run, step):
            return
        if phase is not self._live.now.seen.agent_phase:
            self._live.trace("agent", str(phase), f"step {step + 1}: {phase}", {"total": total})
        waits = phase is Phase.WAITING
        stuck = None if waits else self._standstill.note((run, step, phase), done, total, time.monotonic())
        if stuck is not None:
            self._live.trace("agent", *stuck)
        waited = time.time() if waits else self._live.now.seen.agent_waited
        self._live.see(agent_phase=phase, agent_waited=waited, done=done, total=total)

    def agent_trouble(self, text: str, cause: str = "") -> None:
        """Note what an agent complained of on the console, and its cause; told when a deadline passes."""
        self._live.trace("agent", "trouble", text, {"cause": cause} if cause else None)
        self._live.see(agent_trouble=text)

    def another_spoke(self, board: str) -> None:
        """Note that the agent of another board was heard on this board's console."""
        self._live.trace(
            "console", "other-board", f"the agent of {board} speaks on this console", {"other": board}
        )

    async def agent_report(self, report: Report) -> bool:
        """Take an agent's word that a step is done or failed.

        Returns:
            False when the report is about a step this keeper is not waiting for; taking the same report
            twice is harmless.
        """
        if report == self._live.now.memory.report:
            return True
        if not self._current(report.run, report.step):
            return self._is_past(report)
        if report.result is not None:
            present = agent_step(self._live.now)
            if present is not None and present[1].kind is StepKind.DISCOVER:
                self._facts = {**self._facts, **report.result}
            self._live.trace("agent", "done", f"step {report.step + 1} is done", report.result)
        else:
            self._live.trace("agent", "fail", report.error, {"cause": report.cause, "log": list(report.log)})
        await self._live.remember(report=report)
        return True

    def heard(self, event: TraceEvent) -> None:
        """Take what netboot saw of the board: whether it has fetched its system, or asks for it again."""
        boot, sign = event.boot, self._handover.note(event, self._live.now)
        if sign is Sign.HANDED and self._live.now.seen.handed != boot:
            self._live.trace("run", "handed", "the board has fetched its system whole")
            self._live.see(handed=boot, returned=None)
        elif sign is Sign.RETURNED and self._live.now.seen.returned != boot:
            self._live.trace(
                "run", "returned", "the board has restarted: its firmware asks the network again"
            )
            self._live.see(handed=None, returned=boot)

    async def system_report(
        self, boot: str, result: Document | None, error: str, log: tuple[str, ...]
    ) -> bool:
        """Take the word of an installer or live system that it is done, or that it failed.

        Returns:
            False when nobody waits for the word of this boot's system; the first word on a step counts, and
            any after it is taken for the same again.
        """
        present, memory = netboot_step(self._live.now), self._live.now.memory
        if present is None or present[0].boot != boot:
            return memory.run is not None and any(past.get("boot") == boot for past in memory.run.results)
        status, _ = present
        if memory.report is not None and (memory.report.run, memory.report.step) == (status.id, status.step):
            return True
        self._live.trace("system", "fail" if result is None else "done", error or "it says that it is done")
        report = Report(status.id, status.step, result=result, error=error, log=log)
        await self._live.remember(report=report)
        return True

    async def run(self) -> None:
        """Keep the board until cancelled."""
        self._live.see(directed=None)  # a takeover ended with the keeper that fell over
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._decide_forever(tasks))
            tasks.create_task(self._switch.poll(self._note_activity))
            tasks.create_task(self._tell_forever())

    async def _decide_forever(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            action = self._decision()
            decided_on = self._live.now.memory
            match action:
                case Wait(until):
                    await self._wait(until)
                case Record(memory):
                    await self._live.carry_out(memory, decided_on)
                case SetPower(state):
                    await self._switch.set(state, self._decision)
                case StartBoot(purpose):
                    await self._start_boot(purpose)
                case DirectBoot(target, attempt):
                    await self._boots.direct(target, attempt, tasks)

    def _decision(self) -> Action:
        self._live.wake.clear()
        self._look()
        self._port.answer(self._live.now)
        return decide(self._live.now, time.time())

    def _look(self) -> None:
        """Refresh what can be looked up without waiting."""
        self._live.now = view = looked(self._live.now, time.time())
        missing = self._port.missing(view)
        if missing != view.seen.missing:
            self._live.now = replace(view, seen=replace(view.seen, missing=missing))
        self._watch_console()

    def _watch_console(self) -> None:
        """While a done-signal is awaited on the console, look for it there."""
        status, pattern = self._live.now.memory.run, awaited_pattern(self._live.now)
        if self.console is None or status is None or status.boot is None or not pattern:
            return
        wanted = (status.boot, pattern)
        if wanted != self._watched:
            self._watched = wanted
            self.console.watch(pattern.encode(), self._matched)

    def _matched(self, boot: str) -> None:
        self._live.trace("console", "done-signal", "the console showed the image's done-signal")
        self._live.see(matched_boot=boot)

    async def _wait(self, until: float | None) -> None:
        timeout = None if until is None else max(0.0, until - time.time())
        try:
            async with asyncio.timeout(timeout):
                await self._live.wake.wait()
        except TimeoutError:
            return

    async def _start_boot(self, purpose: str) -> None:
        memory = self._live.now.memory
        boot = BootRecord(
            id=f"b-{secrets.token_hex(8)}",
            number=memory.boots + 1,
            started=time.time(),
            purpose=purpose,
            token=secrets.token_urlsafe(32),
        )
        run = memory.run
        if run is not None and not run.state.ended:
            run = replace(run, boot=boot.id)
        if self.console is not None:
            self.console.new_boot(boot.id)
        await self._live.remember(boot=boot, boots=boot.number, run=run, rounds=0)
        self._live.see(agent_trouble="")
        self._live.trace("run", "boot", f"boot {boot.number} begins, to {purpose}", {"number": boot.number})

    def _note_activity(self) -> None:
        at = self.console.active_at if self.console is not None else None
        if at is not None and at >= self._active_at + ACTIVITY_SECONDS:
            self._active_at = at
            self._live.dirty.set()

    async def _tell_forever(self) -> None:
        while True:
            await self._live.dirty.wait()
            self._live.dirty.clear()
            await self._port.tell(self.observed())
            await asyncio.sleep(_TELL_SECONDS)

    def observed(self) -> Observed:
        """Return what the hub is to know of the board now."""
        memory, seen = self._live.now.memory, self._live.now.seen
        run = memory.run
        if run is not None and not run.state.ended:
            phase = run.phase
            if agent_step(self._live.now) is not None:
                phase = seen.agent_phase
            run = replace(run, phase=phase, done=seen.done, total=seen.total)
        return Observed(
            board=self.name,
            power=seen.power,
            power_sent=seen.sent,
            power_error=seen.power_error,
            power_waits=seen.waits,
            power_mismatch=memory.mismatch if self.power is not None else None,
            run=run,
            boot=replace(memory.boot, token="") if memory.boot is not None else None,
            facts=self._facts,
            conflict=self._conflict,
            console=self.console.connected if self.console is not None else None,
            cycles=memory.cycles,
            active_at=self._active_at,
            at=time.time(),
        )

    def _current(self, run: str, step: int) -> bool:
        status = self._live.now.memory.run
        if status is None or (status.id, status.step) != (run, step):
            return False
        return agent_step(self._live.now) is not None or reboot_asked(self._live.now)

    def _is_past(self, report: Report) -> bool:
        status = self._live.now.memory.run
        return status is not None and status.id == report.run and report.step < status.step
