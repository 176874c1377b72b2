"""A board's console as its rack uses it: broker and log, the awaited done-signal, and who is joined."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hostler.consoles.broker import ConsoleBroker
from hostler.consoles.log import ConsoleLog
from hostler.consoles.ring import REPLAY_BYTES
from hostler.consoles.watch import PatternError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostler.drivers.console.protocol import ConsoleDriver
    from hostler.link.port import Stream
    from hostler.model.json import Document
    from hostler.model.trace import TraceEvent

_LOOK_SECONDS = 1.0
"""How soon a watch notices that it is not wanted any more."""


class RackConsole:
    """One board's console; see ``rack.keeper.BoardConsole``.

    Args:
        board: The board's name.
        driver: Opens the line.
        folder: Where its log lies.
        boot: Id of the boot that goes on, after a restart.
        emit: Takes trace events.
        on_marker: Takes the agent's marker lines: board, boot, document.
    """

    def __init__(
        self,
        board: str,
        driver: ConsoleDriver,
        folder: Path,
        boot: str | None,
        emit: Callable[[TraceEvent], None],
        on_marker: Callable[[str, str, Document], None],
    ) -> None:
        self.driver = driver
        self.log = ConsoleLog(folder)

        def marker(of: str | None, document: Document) -> None:
            if of is not None:
                on_marker(board, of, document)

        self.broker = ConsoleBroker(board, driver, self.log, emit=emit, on_marker=marker)
        self._boot = boot
        if boot is not None:
            self.broker.new_boot(boot)
        self._wanted: tuple[str, bytes, Callable[[str], None]] | None = None
        self._wanted_changed = asyncio.Event()
        self._joined: dict[Stream, bool] = {}

    @property
    def connected(self) -> bool:
        """Whether the line is open now."""
        return self.broker.connected

    async def run(self) -> None:
        """Keep the line and look for what is awaited, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.broker.run())
            tasks.create_task(self._watch_forever())

    def new_boot(self, boot: str) -> None:
        """Begin the log of another boot."""
        self._boot = boot
        self.broker.new_boot(boot)

    def watch(self, pattern: bytes, found: Callable[[str], None]) -> None:
        """Call ``found`` with the present boot's id once it has said this; replaces an earlier watch."""
        if self._boot is not None:
            self._wanted = (self._boot, pattern, found)
            self._wanted_changed.set()

    def replay_bytes(self, began: float | None, since: float | None) -> int:
        """Return how much of the past a new viewer may see.

        Args:
            began: Unix time the present boot began.
            since: Unix time the viewer's claim was granted; None: no limit.
        """
        if since is None:
            return REPLAY_BYTES
        if began is None or began < since:
            return 0
        return min(REPLAY_BYTES, self.log.size)

    def join(self, stream: Stream, *, admin: bool) -> None:
        """Note who is joined to the console."""
        self._joined[stream] = admin

    def leave(self, stream: Stream) -> None:
        """Forget one who was joined."""
        self._joined.pop(stream, None)

    async def send_away(self) -> None:
        """Close the console for everybody but admins: the board has another holder, or none."""
        for stream in [stream for stream, admin in self._joined.items() if not admin]:
            await stream.close()

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
