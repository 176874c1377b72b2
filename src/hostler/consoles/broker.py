"""One board's console: read always, recorded always, seen by many, written by one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from hostler.consoles.keyboard import Keyboard, Writer, WriterTakenError
from hostler.consoles.ring import REPLAY_BYTES, Ring, Viewer
from hostler.consoles.scanner import Marker, Scanner
from hostler.consoles.watch import Watch
from hostler.drivers.console.protocol import CanBreak, CanSetLine, CanSetLines, HotPlugged
from hostler.drivers.errors import DriverError
from hostler.model.trace import TraceEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.consoles.log import ConsoleLog, LogPiece
    from hostler.drivers.console.protocol import ConsoleDriver, ConsoleStream
    from hostler.model.json import Document
    from hostler.wire.rfc2217 import LineSettings

__all__ = ["ConsoleBroker", "ConsoleDownError", "Writer", "WriterTakenError"]

log = logging.getLogger(__name__)

BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
OPEN_SECONDS = 30.0
EVENTS_A_BOOT = 200
"""A board in a boot loop, or one that plays games with us, does not fill the trace."""
PACE_SECONDS = 0.1
"""A line that nobody watches is read ten times a second: five hundred would else wake us at every letter."""
PACED_BYTES = 2048
"""A line that says more in that time is read at once: the kernel holds 4 KiB of a terminal."""
BEFORE = "before"
"""What the log calls the time before the first boot was begun."""


class ConsoleDownError(Exception):
    """The line is not connected now; the message says why."""


class ConsoleBroker:
    """Keeps one board's line open and hands its bytes around.

    Args:
        board: The board's name, for the trace.
        driver: Opens the line.
        console_log: Where everything is recorded.
        emit: Takes trace events; never blocks.
        on_marker: Takes the agent's marker lines: boot id (None before the first) and document; never blocks.
        clock: Unix time.
    """

    def __init__(
        self,
        board: str,
        driver: ConsoleDriver,
        console_log: ConsoleLog,
        *,
        emit: Callable[[TraceEvent], None],
        on_marker: Callable[[str | None, Document], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.board = board
        self._driver = driver
        self._log = console_log
        self._emit = emit
        self._on_marker = on_marker
        self._clock = clock
        self._ring = Ring()
        self._scanner = Scanner()
        self._watches: set[Watch] = set()
        self._stream: ConsoleStream | None = None
        self.keyboard = Keyboard(self)
        """Who may type."""
        self._boot: str | None = None
        self._events = 0
        self._spoke = False
        self.problem: str | None = "not opened yet"
        """Why the line is not connected; None while it is."""
        self.heard: float | None = None
        """Unix time the board said something last; None: not yet."""
        console_log.begin(BEFORE)

    @property
    def connected(self) -> bool:
        """Whether the line is open now."""
        return self._stream is not None

    @property
    def writer(self) -> str | None:
        """Who may type now."""
        return self.keyboard.writer.who if self.keyboard.writer else None

    @property
    def said(self) -> int:
        """Bytes the board said since this broker was made."""
        return self._ring.end

    async def run(self) -> None:
        """Keep the line open and read it, for ever; cancel to stop, and then ``close``."""
        failures = 0
        told = False
        longest = self._driver.retry_seconds if isinstance(self._driver, HotPlugged) else BACKOFF_SECONDS[-1]
        while True:
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    stream = await self._driver.open()
            except (DriverError, TimeoutError, OSError) as error:
                self.problem = str(error) or "no connection in time"
                if not told:
                    told = True
                    self._trace("lost", f"{self.board}: no console: {self.problem}")
                    log.warning("%s: no console: %s; trying for ever", self.board, self.problem)
            else:
                failures, told = 0, False
                self._trace("connected", f"{self.board}: console connected")
                await self._read(stream)
                self.note("console line lost, connecting again")
                self._trace("lost", f"{self.board}: console line lost")
            pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            await asyncio.sleep(min(pause, longest))
            failures += 1

    def close(self) -> None:
        """There will be no more: viewers come to their end, and the log's files are closed."""
        self._ring.close()
        self._log.close()

    def new_boot(self, boot: str) -> None:
        """What comes from now on belongs to this boot."""
        self._boot = boot
        self._events = 0
        self._spoke = False
        self._scanner.reset()
        self._log.begin(boot)

    def view(self, replay: int | bytes = REPLAY_BYTES) -> Viewer:
        """Read along, beginning with the last ``replay`` bytes, or with these; close it at the end."""
        return Viewer(self._ring, self._ring.last(replay) if isinstance(replay, int) else replay)

    def last(self, count: int) -> bytes:
        """Return up to ``count`` bytes of what was said last."""
        return self._ring.last(count)

    def remember(self, data: bytes) -> None:
        """Put in what was said before this broker was made: viewers see it, nothing records it again."""
        self._ring.append(data)

    def take(self, who: str, *, steal: bool = False) -> Writer:
        """Take the right to type; see `Keyboard.take`."""
        return self.keyboard.take(who, steal=steal)

    async def type(self, data: bytes) -> None:
        """Send bytes to the board.

        Raises:
            ConsoleDownError: The line is not connected.
        """
        try:
            await self._open_stream().write(data)
        except DriverError as error:
            raise ConsoleDownError(str(error)) from error

    async def send_break(self) -> None:
        """Send BREAK.

        Raises:
            ConsoleDownError: The line is not connected, or carries none.
        """
        stream = self._open_stream()
        if not isinstance(stream, CanBreak):
            raise ConsoleDownError(f"the console of {self.board} is on a wire that carries no BREAK")
        try:
            await stream.send_break()
        except DriverError as error:
            raise ConsoleDownError(str(error)) from error

    async def set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        """Switch DTR and RTS on or off; None leaves a line as it is.

        Raises:
            ConsoleDownError: The line is not connected, or has no such lines.
        """
        stream = self._open_stream()
        if not isinstance(stream, CanSetLines):
            raise ConsoleDownError(f"the console of {self.board} is on a wire without DTR and RTS")
        try:
            await stream.set_lines(dtr=dtr, rts=rts)
        except DriverError as error:
            raise ConsoleDownError(str(error)) from error

    async def set_line(self, settings: LineSettings) -> LineSettings | None:
        """Ask for speed, parity and the like; return how the line is, None where nobody can say or set it.

        Raises:
            ConsoleDownError: The line is not connected.
        """
        stream = self._open_stream()
        if not isinstance(stream, CanSetLine):
            return None
        try:
            return await stream.set_line(settings)
        except DriverError as error:
            raise ConsoleDownError(str(error)) from error

    def _open_stream(self) -> ConsoleStream:
        if self._stream is None:
            raise ConsoleDownError(f"the console of {self.board} is not connected: {self.problem}")
        return self._stream

    def watch(self, pattern: bytes, *, since_boot: bool = True) -> Watch:
        """Wait for words: ``with broker.watch(rb"login:") as watch: await watch.wait(60)``.

        Args:
            pattern: Regular expression over raw bytes.
            since_boot: Whether what the present boot said already counts.

        Raises:
            PatternError: The pattern cannot be compiled.
        """
        watch = Watch(pattern, self._watches.discard)
        if since_boot and (boot := self._log.boot) is not None:
            offset = 0
            while piece := self._log.read(boot, offset):
                watch.feed(piece.data, self._clock())
                if piece.next == offset or watch.seen:
                    break
                offset = piece.next
        self._watches.add(watch)
        return watch

    def read_log(self, boot: str, offset: int = 0, limit: int = 65536) -> LogPiece:
        """Return a part of what a boot said; see `ConsoleLog.read`."""
        return self._log.read(boot, offset, limit)

    async def _read(self, stream: ConsoleStream) -> None:
        self._stream, self.problem = stream, None
        try:
            while data := await stream.read():
                self._take_in(data)
                # A line that always has something to say lets others have their turn, too.
                unhurried = len(data) < PACED_BYTES and not self._ring.watched
                await asyncio.sleep(PACE_SECONDS if unhurried else 0)
        except (DriverError, OSError) as error:
            log.warning("%s: console: %s", self.board, error)
        finally:
            self._stream, self.problem = None, "the line was closed"
            with contextlib.suppress(DriverError, OSError):
                await stream.close()

    def _take_in(self, data: bytes) -> None:
        now = self.heard = self._clock()
        self._log.append(data, now)
        self._ring.append(data)
        if not self._spoke and self._boot is not None:
            self._spoke = True
            self._trace("speaks", f"{self.board}: the first bytes on its console")
        for watch in tuple(self._watches):
            watch.feed(data, now)
        for found in self._scanner.feed(data):
            if not isinstance(found, Marker):
                advice = f": {found.advice}" if found.advice else ""
                self._trace(found.name, f"{self.board}: {found.text}{advice}")
            elif self._within_budget():
                self._on_marker(self._boot, found.document)

    def note(self, text: str) -> None:
        """Say something to those who read, in the stream itself, so that a gap is seen where it is."""
        note = b"\r\n[hostler: %s]\r\n" % text.encode()
        self._log.append(note, self._clock())
        self._ring.append(note)

    def _trace(self, kind: str, text: str) -> None:
        if self._within_budget():
            self._emit(TraceEvent(self._clock(), "console", kind, text, self.board, None, self._boot))

    def _within_budget(self) -> bool:
        self._events += 1
        return self._events <= EVENTS_A_BOOT
