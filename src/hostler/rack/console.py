"""A board's console as its rack uses it: broker and log, who holds the board, the awaited done-signal."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from hostler.consoles.broker import BEFORE, ConsoleBroker
from hostler.consoles.last_line import LOOK_BYTES, last_line
from hostler.consoles.log import ConsoleLog
from hostler.consoles.marks import Mark, Marks
from hostler.consoles.ring import REPLAY_BYTES
from hostler.consoles.watch import PatternError
from hostler.rack.console_sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

    from hostler.drivers.console.protocol import ConsoleDriver
    from hostler.model.json import Document
    from hostler.model.trace import TraceEvent

_LOOK_SECONDS = 1.0
"""How soon a watch notices that it is not wanted any more."""


class RackConsole:
    """One board's console; see ``rack.keeper_port.BoardConsole``.

    Args:
        board: The board's name.
        driver: Opens the line.
        folder: Where its log lies.
        boot: Id of the boot that goes on, after a restart.
        emit: Takes trace events.
        on_marker: Takes the agent's marker lines: board, boot, document.
        claim: Id of the claim whose holder has the board, or None.
        searchers: Threads that searches of its log run in; None: the event loop's own.
    """

    def __init__(
        self,
        board: str,
        driver: ConsoleDriver,
        folder: Path,
        boot: str | None,
        emit: Callable[[TraceEvent], None],
        on_marker: Callable[[str, str, Document], None],
        claim: str | None = None,
        searchers: Executor | None = None,
    ) -> None:
        self.driver = driver
        self.searchers = searchers
        self.log = ConsoleLog(folder)
        self.marks = Marks(folder / "claims")
        self.sessions = Sessions()

        def marker(of: str | None, document: Document) -> None:
            if of is not None:
                on_marker(board, of, document)

        self.broker = ConsoleBroker(board, driver, self.log, emit=emit, on_marker=marker)
        self._boot = boot
        if boot is not None:
            self.broker.new_boot(boot)
        same = claim is not None and self.marks.claim == claim
        self.claim = claim
        self._mark()
        if same:
            self._remember(claim)
        self._held_from = 0
        self._line = (0, "")  # how much had been said when it was looked at, and the last line then
        self._held_changed = asyncio.Event()
        self._wanted: tuple[str, bytes, Callable[[str], None]] | None = None
        self._wanted_changed = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the line is open now."""
        return self.broker.connected

    @property
    def active_at(self) -> float | None:
        """Unix time of the last byte, or that somebody was joined last; None: never since the start."""
        if self.sessions.joined:
            return time.time()
        times = [at for at in (self.broker.heard, self.sessions.left) if at is not None]
        return max(times, default=None)

    async def run(self) -> None:
        """Keep the line and look for what is awaited, until cancelled; may be run again after a failure."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.broker.run())
            tasks.create_task(self._watch_forever())

    def close(self) -> None:
        """End every viewer's stream: this console is not kept any more."""
        self.broker.close()

    def new_boot(self, boot: str) -> None:
        """Begin the log of another boot."""
        self._boot = boot
        self.broker.new_boot(boot)
        self.marks.keep(self.log.boots())
        self._mark()

    def watch(self, pattern: bytes, found: Callable[[str], None]) -> None:
        """Call ``found`` with the present boot's id once it has said this; replaces an earlier watch."""
        if self._boot is not None:
            self._wanted = (self._boot, pattern, found)
            self._wanted_changed.set()

    def hold(self, claim: str | None) -> bool:
        """From now on what the board says is another holder's, or nobody's; False: it is the same one.

        Everybody but admins is cut off at once; ``send_away`` tells them and closes their streams.
        """
        if claim == self.claim:
            return False
        self.claim = claim
        self._held_from = self.broker.said
        self._mark()
        self._held_changed.set()
        self._held_changed = asyncio.Event()
        self.sessions.cut_off()
        return True

    async def send_away(self) -> None:
        """Close the sessions of those who were cut off."""
        await self.sessions.send_away(None, "the board has another holder now, or none")

    async def held_by(self, claim: str, seconds: float) -> bool:
        """Wait until a claim is the one that holds the board; False: it is not."""
        try:
            async with asyncio.timeout(seconds):
                while self.claim != claim:
                    await self._held_changed.wait()
        except TimeoutError:
            return False
        return True

    def seen(self, *, everything: bool) -> tuple[bytes, bool]:
        """Return what a new viewer may be shown of the past, and whether it begins where that began.

        Args:
            everything: False: only what was said since the present claim began.
        """
        allowed = self.broker.said if everything else self.broker.said - self._held_from
        data = self.broker.last(min(allowed, REPLAY_BYTES))
        return data, len(data) == allowed

    def last_line(self) -> str:
        """Return the last line the board said to its present holder, or an empty text."""
        said = self.broker.said
        if said == self._held_from:
            return ""
        if self._line[0] != said:
            self._line = said, last_line(self.broker.last(min(said - self._held_from, LOOK_BYTES)))
        return self._line[1]

    def _mark(self) -> None:
        self.marks.add(Mark(time.time(), self.claim, self._boot or BEFORE, self.log.size))

    def _remember(self, claim: str | None) -> None:
        """Show viewers again what this claim's board said before the restart."""
        boot = self._boot or BEFORE
        own = [extent for extent in self.marks.extents() if extent.boot == boot]
        if not own or own[-1].claim != claim:
            return
        start = max(own[-1].start, self.log.size - REPLAY_BYTES)
        data = self.log.read(boot, start, REPLAY_BYTES).data
        self.broker.remember(data if start == own[-1].start else data.partition(b"\n")[2])

    async def _watch_forever(self) -> None:
        while True:
            await self._wanted_changed.wait()
            self._wanted_changed.clear()
            if self._wanted is None:
                continue
            boot, pattern, found = self._wanted
            try:
                watch = self.broker.watch(pattern)
            except PatternError:
                continue  # refused when the image was imported; its deadline will tell
            with watch:
                while watch.seen is None and not self._wanted_changed.is_set():
                    try:
                        await watch.wait(_LOOK_SECONDS)
                    except TimeoutError:
                        continue
                if watch.seen is not None:
                    found(boot)
