"""One board's console: read always, recorded always, seen by many, written by one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from hostler.consoles.ring import REPLAY_BYTES, Ring, Viewer
from hostler.consoles.scanner import Marker, Scanner
from hostler.consoles.watch import Watch
from hostler.drivers.console.protocol import CanBreak, HotPlugged
from hostler.drivers.errors import DriverError
from hostler.model.trace import TraceEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.consoles.log import ConsoleLog, LogPiece
    from hostler.drivers.console.protocol import ConsoleDriver, ConsoleStream
    from hostler.model.json import Document

log = logging.getLogger(__name__)

BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
OPEN_SECONDS = 30.0
EVENTS_A_BOOT = 200
"""A board in a boot loop, or one that plays games with us, does not fill the trace."""
BEFORE = "before"
"""What the log calls the time before the first boot was begun."""


class ConsoleDownError(Exception):
    """The line is not connected now; the message says why."""


class WriterTakenError(Exception):
    """Somebody else writes; the message names who, and ``steal`` takes it from them."""


class Writer:
    """The right to type on a console, until it is given back or taken away."""

    def __init__(self, broker: ConsoleBroker, who: str) -> None:
        self._broker = broker
        self.who = who
        self.taken_by: str | None = None
        """Who took the right away, if somebody did."""

    async def write(self, data: bytes) -> None:
        """Type.

        Raises:
            WriterTakenError: The right was taken away.
            ConsoleDownError: The line is not connected.
        """
        await self._broker.write(self, data)

    async def send_break(self) -> None:
        """Send BREAK: the line into a boot loader or the kernel's SysRq.

        Raises:
            WriterTakenError: The right was taken away.
            ConsoleDownError: The line is not connected, or cannot carry BREAK now.
        """
        await self._broker.send_break(self)

    def release(self) -> None:
        """Give the right back; harmless if it was taken away."""
        self._broker.release(self)


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
        self._writer: Writer | None = None
        self._boot: str | None = None
        self._events = 0
        self.problem: str | None = "not opened yet"
        """Why the line is not connected; None while it is."""
        console_log.begin(BEFORE)

    @property
    def connected(self) -> bool:
        """Whether the line is open now."""
        return self._stream is not None

    @property
    def writer(self) -> str | None:
        """Who may type now."""
        return self._writer.who if self._writer else None

    async def run(self) -> None:
        """Keep the line open and read it, for ever; cancel to stop."""
        failures = 0
        told = False
        longest = self._driver.retry_seconds if isinstance(self._driver, HotPlugged) else BACKOFF_SECONDS[-1]
        try:
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
                    self._note("console line lost, connecting again")
                    self._trace("lost", f"{self.board}: console line lost")
                pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                await asyncio.sleep(min(pause, longest))
                failures += 1
        finally:
            self._ring.close()
            self._log.close()

    def new_boot(self, boot: str) -> None:
        """What comes from now on belongs to this boot."""
        self._boot = boot
        self._events = 0
        self._scanner.reset()
        self._log.begin(boot)

    def view(self, replay: int = REPLAY_BYTES) -> Viewer:
        """Read along, beginning with up to ``replay`` bytes of what was said last."""
        return Viewer(self._ring, replay)

    def take(self, who: str, *, steal: bool = False) -> Writer:
        """Take the right to type.

        Raises:
            WriterTakenError: Somebody has it, and it was not to be stolen.
        """
        if self._writer is not None:
            if not steal:
                raise WriterTakenError(f"{self._writer.who} writes on the console of {self.board}")
            self._writer.taken_by = who
            self._note(f"{who} took the console from {self._writer.who}")
        self._writer = Writer(self, who)
        return self._writer

    def release(self, writer: Writer) -> None:
        """Give the right to type back."""
        if self._writer is writer:
            self._writer = None

    async def write(self, writer: Writer, data: bytes) -> None:
        """Type for a writer; see `Writer.write`."""
        stream = self._stream_for(writer)
        try:
            await stream.write(data)
        except DriverError as error:
            raise ConsoleDownError(str(error)) from error

    async def send_break(self, writer: Writer) -> None:
        """Send BREAK for a writer; see `Writer.send_break`."""
        stream = self._stream_for(writer)
        if not isinstance(stream, CanBreak):
            raise ConsoleDownError(f"the console of {self.board} is on a wire that carries no BREAK")
        try:
            await stream.send_break()
        except DriverError as error:
            raise ConsoleDownError(str(error)) from error

    def _stream_for(self, writer: Writer) -> ConsoleStream:
        if self._writer is not writer:
            raise WriterTakenError(f"{writer.taken_by or 'nobody'} has the console of {self.board} now")
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
        except (DriverError, OSError) as error:
            log.warning("%s: console: %s", self.board, error)
        finally:
            self._stream, self.problem = None, "the line was closed"
            with contextlib.suppress(DriverError, OSError):
                await stream.close()

    def _take_in(self, data: bytes) -> None:
        now = self._clock()
        self._log.append(data, now)
        self._ring.append(data)
        for watch in tuple(self._watches):
            watch.feed(data, now)
        for found in self._scanner.feed(data):
            if not isinstance(found, Marker):
                self._trace(found.name, f"{self.board}: {found.text}")
            elif self._within_budget():
                self._on_marker(self._boot, found.document)

    def _note(self, text: str) -> None:
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
