"""Checks of the whole lab: a look at every wire, or a trial of them, one at a time for all who ask.

What was found is kept: in memory whole, and in history as far as it was wrong, so that a server that was
started again still knows. Looks are cheap and anybody's: what they find again and again is kept once an hour.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hostler.hub import access
from hostler.hub.call_off import CallOff
from hostler.hub.errors import ConflictError, Refusal, UnavailableError
from hostler.hub.event_choice import EventChoice
from hostler.hub.front_panel import wires_of
from hostler.hub.metal import NETBOOT_SECONDS
from hostler.hub.wire_tests import AT_ONCE, called_off

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from hostler.hub.hub import Hub
    from hostler.hub.records import Event, Principal
    from hostler.model.json import JSON

    Rows = Sequence[Mapping[str, Any]]
    Told = Callable[[int, Rows], None]
    Work = Callable[["UnderWay", Told], Coroutine[Any, Any, None]]

log = logging.getLogger(__name__)

Kind = Literal["look", "trial"]

TOGETHER = 16
"""Boards asked about in one request: small enough that progress is seen to move."""

KEPT_ROWS = 500
"""Findings of one check that history keeps: where more is wrong, one cause is behind them."""

LOOK_KEPT_SECONDS = 3600.0
"""How long the same outcome of looks is in history but once: what a CI asks each minute would fill it."""

_BEGUN = "lab.trying"
_OVER: Mapping[Kind, str] = {"look": "lab.looked", "trial": "lab.tried"}
_ANY: Mapping[Kind, str] = {"look": "lab.looked", "trial": "lab.tr*"}
_CUT_SHORT = "the server was stopped in the middle of it; what it found until then is in the boards' history"


@dataclass(slots=True)
class UnderWay:
    """A check that goes on.

    Attributes:
        by: Who asked for it.
        since: Unix time.
        of: Boards it is about.
        done: Boards that are done.
        found: What was found so far.
        error: Why it could not be carried out; empty: it could, or goes on.
        called_off: Ends it, where it is a trial.
        over: Set when it has ended.
    """

    by: str
    since: float
    of: int
    done: int = 0
    found: list[Mapping[str, Any]] = field(default_factory=list)
    error: str = ""
    called_off: CallOff = field(default_factory=CallOff)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ok(self) -> bool:
        """Whether it was carried out and found nothing wrong."""
        return not self.error and all(row["ok"] for row in self.found)


@dataclass(frozen=True, slots=True)
class Checked:
    """A check that is over.

    Attributes:
        by: Who had asked for it.
        at: Unix time of its end.
        ok: Whether nothing was wrong.
        count: How much was looked at.
        checks: The findings.
        whole: False when only what was wrong is still known.
        error: Why it could not be carried out; empty: it could.
    """

    by: str
    at: float
    ok: bool
    count: int
    checks: tuple[Mapping[str, Any], ...]
    whole: bool = True
    error: str = ""

    @property
    def outcome(self) -> tuple[object, ...]:
        """What tells it from another one; not the words, in which a reading's watts may be."""
        return self.count, self.error, sorted(str(row["what"]) for row in self.checks if not row["ok"])


@dataclass(slots=True)
class Slot:
    """One kind of check: what goes on, what came of the last, and of the last that is in history."""

    running: UnderWay | None = None
    last: Checked | None = None
    kept: Checked | None = None


class LabChecks:
    """Carries checks out, apart from whoever asked: they may go away.

    Args:
        hub: Whose lab is checked.

    Attributes:
        slots: By kind: ``look`` switches nothing, ``trial`` switches every board that nobody holds.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.slots: dict[Kind, Slot] = {"look": Slot(), "trial": Slot()}
        self._asked: asyncio.Queue[tuple[Coroutine[Any, Any, None], contextvars.Context]] = asyncio.Queue()

    async def run(self) -> None:
        """Carry out what is asked until cancelled."""
        await self._remember()
        async with asyncio.TaskGroup() as tasks:
            while True:
                work, asked = await self._asked.get()
                tasks.create_task(work, name="lab check", context=asked)

    def look(self, by: Principal) -> UnderWay:
        """Begin to look at every wire, or join the look that goes on."""
        slot = self.slots["look"]
        if slot.running is None:
            boards = list(self._hub.state.inventory.boards)
            slot.running = UnderWay(by.name, self._hub.now(), len(boards))
            self._put(self._carry_out("look", lambda _, told: self._look(boards, told)))
        return slot.running

    def trial(
        self,
        by: Principal,
        board_class: str | None = None,
        *,
        seconds: float = NETBOOT_SECONDS,
        at_once: int = AT_ONCE,
    ) -> UnderWay:
        """Begin to try the wires of every board nobody holds, of a class or of the lab.

        Raises:
            ForbiddenError: They are no admin.
            NotFoundError: There is no such class.
            ConflictError: A trial goes on.
        """
        chosen = self._hub.wire_tests.chosen(by, board_class)

        async def work(check: UnderWay, told: Told) -> None:
            await self._hub.wire_tests.test_many(
                by, board_class, seconds=seconds, at_once=at_once, told=lambda rows: told(1, _found(rows)),
                trial=check.called_off,
            )  # fmt: skip
            if check.called_off.by:
                check.error = f"{check.called_off.by} called it off"

        return self._try(by, len(chosen), work)

    def trial_of(self, by: Principal, board: str, *, seconds: float = NETBOOT_SECONDS) -> UnderWay:
        """Begin to try the wires of one board; raises as ``trial``, NotFoundError for no such board."""
        access.admin_only(by, "have wires tried")
        self._hub.reading.board(board)

        async def work(check: UnderWay, told: Told) -> None:
            report = await self._hub.wire_tests.test(by, board, seconds=seconds, trial=check.called_off)
            told(1, _found(report["checks"]))

        return self._try(by, 1, work)

    async def call_off(self, by: Principal) -> None:
        """End the trial that goes on; returns when every board is put back; their power follows.

        Raises:
            ForbiddenError: They are no admin.
            ConflictError: None goes on.
            UnavailableError: It has not ended in time; it will.
        """
        access.admin_only(by, "call off a trial of wires")
        trial = self.slots["trial"].running
        if trial is None:
            raise ConflictError("no trial of wires goes on", kind="no-check")
        trial.called_off.ask(by.name)
        await called_off(trial.over)

    async def whole(self, check: UnderWay) -> tuple[bool, list[Mapping[str, Any]]]:
        """Wait for a check and return whether all is well, and every finding.

        Raises:
            ConflictError: It was called off.
            UnavailableError: It could not be carried out.
        """
        await check.over.wait()  # ended by the deadlines of what it asks
        if check.called_off.by and check.error:
            raise ConflictError(check.error, kind="called-off")
        if check.error:
            raise UnavailableError(check.error, kind="check-failed")
        return check.ok, check.found

    def _try(self, by: Principal, of: int, work: Work) -> UnderWay:
        slot = self.slots["trial"]
        if slot.running is not None:
            raise ConflictError(
                f"{slot.running.by} has wires tried already, {slot.running.done} of {slot.running.of} boards "
                "are done; wait until that is over",
                kind="check-running",
            )
        slot.running = UnderWay(by.name, self._hub.now(), of)
        self._put(self._carry_out("trial", work))
        return slot.running

    def _put(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it carried out as whoever asks now: history tells from where each thing was asked."""
        self._asked.put_nowait((work, contextvars.copy_context()))

    async def _carry_out(self, kind: Kind, work: Work) -> None:
        slot = self.slots[kind]
        check = slot.running
        assert check is not None

        def told(boards: int, rows: Rows) -> None:
            check.done += boards
            check.found += rows

        try:
            if kind == "trial":
                await self._record_begin(check)
            await work(check, told)
        except* Refusal as errors:
            check.error = _first(errors).detail
        except* Exception:
            log.exception("a check of the lab fell over")
            check.error = "it fell over; the server's log tells why"
        slot.last = Checked(
            check.by, self._hub.now(), check.ok, len(check.found), tuple(check.found), error=check.error
        )
        slot.running = None
        check.over.set()
        await self._record(kind, slot.last)

    async def _look(self, boards: list[str], told: Told) -> None:
        async def some(names: list[str]) -> None:
            report = await self._hub.metal.check_wires(names)
            told(len(names), _found(report["checks"]))

        told(0, _found((await self._hub.metal.check_lab())["checks"]))
        async with asyncio.TaskGroup() as tasks:
            for names in self._together(boards):
                tasks.create_task(some(names))

    def _together(self, boards: list[str]) -> list[list[str]]:
        """Put boards of one equipment together: a switch that is dead holds up no other's."""
        inventory = self._hub.state.inventory.boards
        by_equipment: dict[str, list[str]] = {}
        for name in boards:
            if (board := inventory.get(name)) is not None:  # it may have been taken out meanwhile
                through = [wire.equipment or "" for kind, wire in wires_of(board) if kind == "power"]
                by_equipment.setdefault(through[0] if through else "", []).append(name)
        return [
            names[first : first + TOGETHER]
            for names in by_equipment.values()
            for first in range(0, len(names), TOGETHER)
        ]

    async def _record_begin(self, check: UnderWay) -> None:
        """Keep that a trial has begun, so that one which is cut short is known to have been."""
        boards = "1 board" if check.of == 1 else f"{check.of} boards"
        text = f"{check.by} has the wires of {boards} tried"
        data: dict[str, Any] = {"of": check.of}
        await self._hub.surely(lambda draft: draft.event(_BEGUN, text, principal=check.by, data=data))

    async def _record(self, kind: Kind, checked: Checked) -> None:
        """Keep what was wrong, unless it is a look that found no other thing than the last that was kept."""
        slot = self.slots[kind]
        same = slot.kept is not None and slot.kept.outcome == checked.outcome
        if kind == "look" and same and slot.kept and 0 <= checked.at - slot.kept.at < LOOK_KEPT_SECONDS:
            return
        slot.kept = checked
        bad = [dict(row) for row in checked.checks if not row["ok"]]
        what = "looked at" if kind == "look" else "tried"
        outcome = checked.error or (
            f"{len(bad)} of {checked.count} failed" if bad else f"{checked.count} well"
        )
        data: dict[str, Any] = {
            "ok": checked.ok, "count": checked.count, "failed": bad[:KEPT_ROWS], "error": checked.error,
        }  # fmt: skip
        text = f"the lab's wires were {what} for {checked.by}: {outcome}"
        await self._hub.surely(lambda draft: draft.event(_OVER[kind], text, principal=checked.by, data=data))

    async def _remember(self) -> None:
        """Take over from history what the checks before the start found."""
        for kind, slot in self.slots.items():
            for event in await self._hub.history.newest(EventChoice(kind=_ANY[kind]), 1):
                slot.last = slot.kept = _remembered(event)


def _remembered(event: Event) -> Checked:
    data = event.data
    if event.kind == _BEGUN:
        return Checked(event.principal or "", event.at, False, 0, (), whole=False, error=_CUT_SHORT)
    return Checked(
        event.principal or "", event.at, bool(data["ok"]), int(data["count"]), tuple(data["failed"]),
        whole=False, error=str(data["error"]),
    )  # fmt: skip


def _found(rows: JSON | Sequence[JSON]) -> list[Mapping[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _first(errors: BaseExceptionGroup[Refusal]) -> Refusal:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Refusal)
    return error
