"""What a keeper knows of its board, as it changes; what is to last is stored before it counts."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostler.model.keeper_view import Memory, Seen, View
from hostler.model.run import Phase
from hostler.model.trace import TraceEvent
from hostler.rack.keeper_words import words_of_mismatch, words_of_run

if TYPE_CHECKING:
    from hostler.model.json import Document
    from hostler.model.run import RunStatus
    from hostler.model.seam import Desired
    from hostler.rack.keeper_port import KeeperPort


class LiveView:
    """The view that the parts of one keeper share.

    Attributes:
        now: What is known now.
        wake: Set whenever something changed that may lead to another decision.
        dirty: Set whenever something changed that the hub is to know.
    """

    def __init__(self, desired: Desired, memory: Memory, port: KeeperPort) -> None:
        self.now = View(desired, memory, Seen(since=time.time()))
        self.wake = asyncio.Event()
        self.dirty = asyncio.Event()
        self._port = port
        self._remembering = asyncio.Lock()

    @property
    def name(self) -> str:
        """The board's name."""
        return self.now.desired.board.name

    def see(self, **changes: Any) -> None:
        """Note what was seen."""
        seen: Seen = replace(self.now.seen, **changes)
        if seen != self.now.seen:
            self.now = replace(self.now, seen=seen)
            self.changed()

    def changed(self) -> None:
        """Have it decided again, and the hub told."""
        self.wake.set()
        self.dirty.set()

    def trace(self, source: str, kind: str, text: str, data: Document | None = None) -> None:
        """Add to the trace of the present boot."""
        boot = self.now.memory.boot
        event = TraceEvent(
            time.time(), source, kind, text, board=self.name, boot=boot.id if boot else None, data=data or {}
        )
        self._port.trace(event)

    async def remember(self, **changes: Any) -> None:
        """Store changes of the memory; they count once that is durable."""
        async with self._remembering:
            await self._record(replace(self.now.memory, **changes))

    async def carry_out(self, memory: Memory, decided_on: Memory) -> None:
        """Record what was decided, unless a report came in between: then it is decided again."""
        async with self._remembering:
            if self.now.memory is decided_on:
                await self._record(memory)

    async def _record(self, memory: Memory) -> None:
        before, mismatch = self.now.memory.run, self.now.memory.mismatch
        await self._port.keep(self.name, memory)
        self.now = replace(self.now, memory=memory)
        after = memory.run
        if memory.mismatch != mismatch:
            self.trace("power", *words_of_mismatch(self.now, mismatch, time.time()))
        if after is not None and after != before:
            if before is None or (before.step, before.id, before.phase) != (
                after.step,
                after.id,
                after.phase,
            ):
                self.see(done=0, total=0, agent_phase=Phase.EXECUTING)
            self._trace_run(after)
        self.changed()

    def _trace_run(self, status: RunStatus) -> None:
        if (words := words_of_run(status, self.now.desired.run)) is not None:
            self.trace("run", *words)
