"""What the hub does because time goes by: claims begin and end, boards that do not go off are given up."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from hostler.hub import boards, claim_queue, claim_time, power_off
from hostler.hub.clock_jump import JumpWatch
from hostler.hub.errors import UnavailableError
from hostler.hub.pools import ANY
from hostler.hub.timetable import Timetable
from hostler.model.board import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.hub.links import Decide
    from hostler.hub.records import BoardRecord
    from hostler.hub.state import Draft, State

SWEEP_SECONDS = 60.0
"""How often everything is looked at for what time alone has changed: whose turn is overdue, what is idle."""

RETRY_SECONDS = 1.0


class Timekeeper:
    """Does what is due when it is due, and looks at nothing else.

    Args:
        state: Returns what is.
        change: Makes a decision.
        clock: Tells Unix time.
    """

    def __init__(self, state: Callable[[], State], change: Decide, clock: Callable[[], float]) -> None:
        self._state = state
        self._change = change
        self._clock = clock
        self._timetable = Timetable()
        self._swept = 0.0
        self._sleeps_until = 0.0
        self._sooner = asyncio.Event()

    def start(self) -> None:
        """Look once at all there is: after a start, and whenever memory was put back."""
        self._timetable = Timetable()
        state = self._state()
        for key, claim in state.claims.items():
            self._timetable.put(f"claim/{key}", claim_time.due_at(claim))
        for record in state.boards.values():
            self._note_board(record.name, record)
        self._sooner.set()

    def note(self, draft: Draft) -> None:
        """Take over when what a draft has changed is due; call it once the draft is applied."""
        for key, claim in draft.claims.changed.items():
            self._timetable.put(f"claim/{key}", claim_time.due_at(claim) if claim is not None else None)
        for name, record in draft.boards.changed.items():
            self._note_board(name, record)
        if self._timetable.next() < self._sleeps_until:
            self._sooner.set()

    def _note_board(self, name: str, record: BoardRecord | None) -> None:
        deadline = None
        if record is not None and record.lifecycle is Lifecycle.RELEASING:
            deadline = boards.release_deadline(record, self._state().runs.get(record.run or ""))
        self._timetable.put(f"board/{name}", deadline)

    def wake(self) -> None:
        """Look again now, because the clock may have been set."""
        self._sooner.set()

    async def tick(self) -> None:
        """Do what is due now."""
        now = self._clock()
        due = self._timetable.take(now)
        sweep = not 0 <= now - self._swept < SWEEP_SECONDS
        if sweep:
            self._swept = now
        if not due and not sweep:
            return
        try:
            await self._change(partial(tick, due=due, sweep=sweep))
        except UnavailableError:
            for key in due:  # nothing was changed: it is due still
                self._timetable.put(key, now)
            raise

    async def run(self) -> None:
        """Tick until cancelled."""
        await self._surely(claim_time.greet)
        watch = JumpWatch(self._clock(), time.monotonic())
        while True:
            self._sooner.clear()
            jump = watch.look(self._clock(), time.monotonic())
            if jump is not None:
                await self._surely(partial(claim_time.follow_clock, jump=jump))
            try:
                await self.tick()
            except UnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            # Woken at least once a minute, so that a clock that was set is noticed.
            wait = min(max(self._timetable.next() - self._clock(), 0.0), SWEEP_SECONDS)
            self._sleeps_until = self._clock() + wait
            try:
                async with asyncio.timeout(wait):
                    await self._sooner.wait()
            except TimeoutError:
                pass

    async def _surely(self, decide: Callable[[Draft], None]) -> None:
        while True:
            try:
                await self._change(decide)
            except UnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return


def tick(draft: Draft, due: list[str], *, sweep: bool) -> None:
    """Do what is due: keys ``claim/ID`` and ``board/NAME``; with ``sweep`` look at everything."""
    for key in due:
        kind, _, name = key.partition("/")
        claim, record = draft.claims.get(name), draft.boards.get(name)
        if kind == "claim" and claim is not None:
            claim_time.attend(draft, claim)
        elif kind == "board" and record is not None:
            boards.finish_release(draft, record)
    if sweep:
        power_off.idle_off(draft)
        draft.stirred.add(ANY)
        claim_queue.settle(draft)
