"""Testing a board's wires because somebody asked: it is set aside for the time, and then put where it was.

A board that is free or was put aside is in maintenance while its wires are tried, so that nobody is given it.
That it was tested makes it neither clean nor unclean: nothing is booted but the network's answer to wait.
What it was before is kept with it, so that a hub that was killed puts it back when it starts.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hostler.hub import access, boards, runs
from hostler.hub.call_off import CallOff
from hostler.hub.errors import ConflictError, ForbiddenError, NotFoundError, Refusal, UnavailableError
from hostler.hub.metal import NETBOOT_SECONDS
from hostler.hub.records import WireTest
from hostler.model.board import Lifecycle, move

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostler.hub.hub import Hub
    from hostler.hub.records import BoardRecord, Principal
    from hostler.hub.state import Draft
    from hostler.model.json import JSON, Document

AT_ONCE = 4
"""Boards tested side by side unless somebody says otherwise: most of a test is waiting."""

CALLED_OFF_SECONDS = 60.0
"""Longest wait of whoever called one off: what is left is to tell the rack, and to put the board back."""

_ASIDE = (Lifecycle.AVAILABLE, Lifecycle.QUARANTINED, Lifecycle.MAINTENANCE)


def begin(draft: Draft, by: Principal, name: str, test_id: str, *, force: bool = False) -> None:
    """Set a board aside for a test of its wires.

    Args:
        draft: Where it is decided.
        by: An admin; or the holder, with ``force``.
        name: The board.
        test_id: By which ``finish`` knows this test again.
        force: Test it although it is claimed, by whoever may use it: its power is cut.

    Raises:
        NotFoundError: There is no such board.
        ForbiddenError: They may not do that.
        ConflictError: The board is held, at work, being tested already, or has no power wire.
    """
    record = draft.boards.get(name)
    if record is None:
        raise NotFoundError(f'there is no board "{name}"', kind="unknown-board")
    if record.lifecycle is Lifecycle.DISCOVERED:
        raise ConflictError(f'board "{name}" is not in lab.toml; adopt it first', kind="not-adopted")
    if record.lifecycle is Lifecycle.CLAIMED:
        _refuse_holders(draft, by, record, force=force)
    else:
        access.admin_only(by, "test the wires of a board that nobody holds")
        if record.lifecycle not in _ASIDE:
            raise ConflictError(
                f'board "{name}" is {record.lifecycle}; wait until that is over', kind="board-busy"
            )
    if not record.board.power:
        raise ConflictError(f'board "{name}" has no power wire in lab.toml', kind="no-power")
    if record.wire_test is not None or record.health.checkup is not None:
        raise ConflictError(f'board "{name}" is being checked already', kind="board-busy")
    runs.refuse_while_active(draft, record)
    test = WireTest(test_id, by.name, draft.now, record.lifecycle, record.reason)
    record = replace(record, wire_test=test)
    if record.lifecycle is not Lifecycle.CLAIMED:
        if record.lifecycle is not Lifecycle.MAINTENANCE:
            record = replace(record, lifecycle=move(name, record.lifecycle, Lifecycle.MAINTENANCE))
        record = replace(record, reason=_reason(test))
    draft.boards.put(name, record)
    draft.event(
        "wires.started", f'{by.name} has the wires of board "{name}" tested', board=name, claim=record.claim,
        principal=by.name, data={"test": test.id},
    )  # fmt: skip


def _refuse_holders(draft: Draft, by: Principal, record: BoardRecord, *, force: bool) -> None:
    claim = draft.claims.get(record.claim or "")
    if claim is None or not access.may_use(by, claim):
        holder = claim.principal if claim else "somebody"
        raise ForbiddenError(
            f'board "{record.name}" is held by {holder}; its wires are tested when it is free'
        )
    if not force:
        raise ConflictError(
            f'board "{record.name}" is claimed, and a test cuts its power; say --force if that may be',
            kind="board-held",
        )


def finish(draft: Draft, name: str, test: str, report: Document) -> None:
    """Put a board back where it was, or aside when its wires are wrong; twice does no harm."""
    record = draft.boards.get(name)
    if record is None or record.wire_test is None or record.wire_test.id != test:
        return
    was = record.wire_test
    aside = record.lifecycle is Lifecycle.MAINTENANCE and record.reason == _reason(was)
    record = replace(record, wire_test=None)
    if aside:
        # No wipe: what is on its disk was not touched, and nobody could have it meanwhile.
        record = replace(record, lifecycle=was.lifecycle, reason=was.reason)
    draft.boards.put(name, record)
    interrupted = str(report.get("interrupted") or "")
    outcome = "interrupted" if interrupted else "passed" if report["ok"] else "failed"
    wrong = interrupted or "; ".join(_wrong(report))
    text = f'the test of board "{name}"\'s wires {_WORDS[outcome]}' + (f": {wrong}" if wrong else "")
    data = {"test": test, "checks": report["checks"]}
    draft.event(f"wires.{outcome}", text, board=name, claim=record.claim, principal=was.by, data=data)
    if outcome == "failed" and record.lifecycle is Lifecycle.AVAILABLE:
        boards.quarantine(draft, record, f"its check failed: {wrong}")
    quarantine_crossed(draft, name, report)


_WORDS = {"passed": "went well", "failed": "found something wrong", "interrupted": "was interrupted"}


def _reason(test: WireTest) -> str:
    return f"being checked by {test.by}"


def _wrong(report: Document) -> list[str]:
    rows = report.get("checks")
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [f"{row['what']}: {row['text']}" for row in found if not row["ok"]]


def quarantine_crossed(draft: Draft, name: str, report: Document) -> None:
    """Put those aside too that were shown to hang on the wrong wire: who had one would switch the other."""
    crossed = report.get("crossed")
    for other in crossed if isinstance(crossed, list) else []:
        record = draft.boards.get(str(other))
        if record is not None and record.lifecycle is Lifecycle.AVAILABLE:
            boards.quarantine(
                draft, record, f'the check of "{name}" showed that its wires are crossed with it'
            )


def put_back(draft: Draft) -> None:
    """Put boards back whose test ended with the hub that began it."""
    for record in list(draft.boards.values()):
        if record.wire_test is not None:
            stopped: Document = {"ok": False, "checks": [], "interrupted": "the server was started again"}
            finish(draft, record.name, record.wire_test.id, stopped)


@dataclass(slots=True)
class _UnderWay:
    """A test that goes on.

    Attributes:
        called_off: Ends it.
        over: Set when its board is where it was.
    """

    called_off: CallOff = field(default_factory=CallOff)
    over: asyncio.Event = field(default_factory=asyncio.Event)


async def called_off(over: asyncio.Event) -> None:
    """Wait until what was called off has ended; raises UnavailableError if that takes too long."""
    try:
        async with asyncio.timeout(CALLED_OFF_SECONDS):
            await over.wait()
    except TimeoutError:
        raise UnavailableError(
            f"it was called off, but has not ended within {CALLED_OFF_SECONDS:g} s; look again in a while",
            kind="check-ending",
        ) from None


class WireTests:
    """Has wires tested, one board or many."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._under_way: dict[str, _UnderWay] = {}

    async def put_back(self) -> None:
        """Put back what a hub that was killed has left; to be called once, at start."""
        await self._hub.surely(put_back)

    async def test(
        self, by: Principal, board: str, *, force: bool = False, seconds: float = NETBOOT_SECONDS,
        trial: CallOff | None = None,
    ) -> Document:  # fmt: skip
        """Test one board's wires and return what was found; progress is told by events ``check.step``.

        Args:
            by: Who asks.
            board: The board's name.
            force: Also if it is claimed, by whoever may use it.
            seconds: Longest time from power-on until it asks for an address.
            trial: Ends it with the trial it is a part of.

        Raises:
            ConflictError: It was called off; or as ``begin`` and ``Metal.active_check``, with their others.
        """
        test = f"w-{secrets.token_hex(6)}"
        report: Document = {"ok": False, "checks": [], "interrupted": "it was given up"}
        under_way = self._under_way[test] = _UnderWay()
        try:
            async with under_way.called_off.heeded(), (trial or CallOff()).heeded():
                # Within: whoever goes away while this is being stored has set the board aside already.
                await self._hub.change(lambda draft: begin(draft, by, board, test, force=force))
                report = await self._hub.metal.active_check(board, test=test, seconds=seconds)
        except Refusal as error:
            report = {"ok": False, "checks": [], "interrupted": error.detail}
            raise
        finally:
            # Whoever asked may be gone; the board is put back all the same.
            await asyncio.shield(self._put_back(board, test, report))
        return report

    async def _put_back(self, board: str, test: str, report: Document) -> None:
        try:
            await self._hub.surely(lambda draft: finish(draft, board, test, report))
        finally:
            self._under_way.pop(test).over.set()

    async def call_off(self, by: Principal, board: str) -> None:
        """End the test of a board, and return when the board is put back; its power follows.

        Raises:
            NotFoundError: There is no such board.
            ConflictError: It is not being tested.
            ForbiddenError: They are neither an admin nor who had it tested and may still use it.
            UnavailableError: It has not ended in time; it will.
        """
        record = self._hub.reading.board(board)
        test = record.wire_test
        if test is None:
            raise ConflictError(f'the wires of board "{board}" are not being tried', kind="no-check")
        claim = self._hub.state.claims.get(record.claim or "")
        theirs = by.name == test.by and claim is not None and access.may_use(by, claim)
        if not by.admin and not theirs:
            raise ForbiddenError(f"only {test.by}, who has them tried, and admins may call that off")
        under_way = self._under_way.get(test.id)
        if under_way is None:
            return  # it was put back at this moment
        under_way.called_off.ask(by.name)
        await called_off(under_way.over)

    async def test_many(
        self,
        by: Principal,
        board_class: str | None,
        *,
        seconds: float = NETBOOT_SECONDS,
        at_once: int = AT_ONCE,
        told: Callable[[Sequence[JSON]], None] = lambda _: None,
        trial: CallOff | None = None,
    ) -> Document:
        """Test every board nobody holds, of a class or of the lab; those that cannot be are told as such.

        Args:
            by: An admin.
            board_class: Only boards of this class; None: of any.
            seconds: As for ``test``.
            at_once: Boards tested side by side.
            told: Is given the rows of each board as soon as they are known.
            trial: Ends all of it; boards in the middle of theirs are told as not tested.
        """
        chosen = self.chosen(by, board_class)
        slots = asyncio.Semaphore(at_once)

        async def one(name: str) -> Sequence[JSON]:
            async with slots:
                if trial is not None and trial.by:
                    return []  # nothing was begun, so there is nothing to tell of it
                try:
                    report = await self.test(by, name, seconds=seconds, trial=trial)
                except Refusal as error:
                    report = {"checks": [_not_tested(name, error.detail)]}
            rows = report.get("checks")
            found = rows if isinstance(rows, list) else []
            told(found)
            return found

        async with asyncio.TaskGroup() as tasks:
            testing = [tasks.create_task(one(name)) for name in chosen]
        rows = [row for task in testing for row in task.result()]
        ok = all(row["ok"] for row in rows if isinstance(row, dict))
        return {"ok": ok, "checks": rows}

    def chosen(self, by: Principal, board_class: str | None) -> list[str]:
        """Return the boards that are tested together, of a class or of the lab.

        Raises:
            ForbiddenError: They are no admin.
            NotFoundError: There is no such class.
        """
        access.admin_only(by, "test the wires of the whole lab")
        inventory = self._hub.state.inventory
        if board_class is not None and board_class not in inventory.classes:
            known = ", ".join(sorted(inventory.classes)) or "none yet"
            raise NotFoundError(f'there is no class "{board_class}"; classes: {known}', kind="unknown-class")
        return [name for name, board in inventory.boards.items() if board_class in (None, board.board_class)]


def _not_tested(board: str, why: str) -> Document:
    return {"what": f"wires of {board}", "ok": False, "text": f"not tested: {why}", "advice": ""}
