"""One TFTP read transfer, sans I/O: datagrams and the time go in, datagrams and one last event come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostler.wire.tftp import (
    HEADER_BYTES,
    LARGEST_BLOCK,
    LARGEST_WINDOW,
    ErrorCode,
    Opcode,
    ReadRequest,
    agree,
    error_packet,
    option_acknowledgement,
    parse_error,
)
from hostler.wire.tftp_blocks import RUN_BYTES, Blocks, BlockShare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.wire.tftp_blocks import Source

IDLE_SECONDS: Final = 30.0  # U-Boot writing flash between files is quiet for several seconds
FIRST_TIMEOUT: Final = 1.0  # before a round trip was measured
SHORTEST_TIMEOUT: Final = 0.2  # as Linux's TCP: below it a busy board is taken for a lost packet
LONGEST_TIMEOUT: Final = 5.0
PACE_SECONDS: Final = 0.001  # between the bursts of a window that did not fit through in one piece
SMALLEST_BURST: Final = 8  # small enough for the receive rings of boot loaders
READ_AHEAD: Final = 16  # blocks read at once in lockstep; more would leave the CPU's cache

_WRAP: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Ended:
    """How a transfer ended; one of the leaves below.

    Attributes:
        bytes: Of the file, acknowledged by the client.
        seconds: From the request to the end.
        retransmits: Blocks sent more than once.
    """

    bytes: int
    seconds: float
    retransmits: int


@dataclass(frozen=True, slots=True)
class Done(Ended):
    """The client has the whole file.

    ``acknowledged`` is False where it closed its port on the last block without a word, as some firmware
    does.
    """

    acknowledged: bool = True


@dataclass(frozen=True, slots=True)
class Probed(Ended):
    """The client wanted to know size or existence and stopped; firmware does, and it is no failure."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Aborted(Ended):
    """The client gave up in mid-file."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class TimedOut(Ended):
    """The client fell silent; ``all_sent``: only its last acknowledgement is missing."""

    all_sent: bool = False


@dataclass(frozen=True, slots=True)
class Failed(Ended):
    """The file could not be read any more."""

    reason: str = ""


TftpEvent = Done | Probed | Aborted | TimedOut | Failed


class TftpSession:
    """Serve one read request (RFC 1350, 2347-2349, 7440).

    Feed it datagrams and time; send what it hands back. It never reads a socket or the clock.
    """

    # Some hundred of them are walked through all the time: slots keep them small and near the CPU.
    # fmt: off
    __slots__ = (
        "_acked", "_again", "_awaited", "_awaits", "_block", "_blocks", "_buffer", "_echo", "_event",
        "_first", "_from", "_idle", "_last", "_negotiating", "_one_run", "_packet", "_packets",
        "_progress_at", "_repeated", "_retransmits", "_round_trip", "_sent", "_sent_at", "_share", "_size",
        "_slots", "_source", "_started", "_to", "_told", "_tries", "_window", "agreement", "burst", "segment",
    )
    # fmt: on

    def __init__(
        self,
        request: ReadRequest,
        source: Source,
        now: float,
        *,
        max_block: int = LARGEST_BLOCK,
        max_window: int = LARGEST_WINDOW,
        idle_seconds: float = IDLE_SECONDS,
        share: BlockShare | None = None,
    ) -> None:
        self.agreement = agree(request, source.size, max_block, max_window)
        self.segment = HEADER_BYTES + self.agreement.block
        self.burst = self.agreement.window
        self._source = source
        self._size = source.size
        self._block = self.agreement.block
        self._window = self.agreement.window
        self._last = source.size // self._block + 1
        self._idle = max(idle_seconds, 4.0 * (self.agreement.timeout or 0))

        # Blocks are counted from 1 without wrapping; only the header wraps.
        self._acked = 0
        self._sent = 0  # highest block ever sent
        self._from = 1  # next block to hand out …
        self._to = 0  # … up to this one
        self._again = False  # the present window was sent more than once
        self._echo = False  # … or the one before: duplicate acknowledgements may be echoes of it
        self._packet: bytes | None = None  # an OACK or ERROR to hand out before any block
        self._negotiating = bool(self.agreement.options)

        self._started = now
        self._progress_at = now
        self._sent_at = now
        self._tries = 0
        self._round_trip = FIRST_TIMEOUT / 6
        self._retransmits = 0
        self._repeated = False  # the client asked for the first block again
        self._event: TftpEvent | None = None
        self._told = False

        self._share = share or BlockShare()
        # Blocks read at once: whole windows, as many as fit one send, so that they begin where windows do.
        in_a_run = max(1, RUN_BYTES // self.segment)
        most = READ_AHEAD if self._window == 1 else LARGEST_WINDOW
        self._slots = self._window * max(1, min(most, in_a_run) // self._window)
        self._blocks: Blocks | None = None
        self._first = 1  # block in slot 0 …
        self._packets: list[memoryview] = []  # … its packet and those after it
        self._buffer = memoryview(b"")
        self._one_run = self._window * self.segment <= RUN_BYTES
        self._awaits: list[bytes | None] = []
        self._awaited: bytes | None = None  # what ``step`` goes on at; None: it does not

        if self._negotiating:
            self._packet = option_acknowledgement(self.agreement)
        else:
            self._queue_window()

    @property
    def over(self) -> bool:
        """True when nothing will come any more, except what ``runs_to_send`` still holds."""
        return self._event is not None

    @property
    def paused(self) -> bool:
        """True in the middle of a window that goes out in bursts: the timer is a millisecond away."""
        return self._from <= self._to and self._event is None

    @property
    def untouched(self) -> bool:
        """True until the client reacted to the first answer."""
        return self._event is None and self._acked == 0 and (self._negotiating or not self.agreement.options)

    @property
    def acknowledged(self) -> int:
        """Bytes of the file that the client has said it has."""
        return self._bytes()

    @property
    def began(self) -> float:
        """When it began, by the clock that it is told the time of."""
        return self._started

    @property
    def blocks_lost(self) -> int:
        """How often the first blocks were sent again to a client that lives and takes none of them; mostly 0.

        It took the options and says so again and again: what is small comes through, a block does not.
        """
        if self._acked or not self._repeated or self._size < self._block:
            return 0
        return self._tries

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram from the client's port. Any bytes are fine; nonsense is ignored."""
        if self._event is not None or len(datagram) < HEADER_BYTES or datagram[0]:
            return
        if datagram[1] == Opcode.ACK:
            ahead = ((datagram[2] << 8 | datagram[3]) - self._acked) & _WRAP
            if ahead == 0:
                self._receive_duplicate(now)
            elif ahead <= self._sent - self._acked:
                self._receive_progress(self._acked + ahead, now)
        elif datagram[1] == Opcode.ERROR:
            code, text = parse_error(datagram)
            self._stop(now, f"client sent error {code}" + (f": {text}" if text else ""))

    def step(self, datagram: bytes, now: float) -> memoryview | None:
        """Take the acknowledgement everything waits for and return the next window, one run.

        The same as ``receive`` and ``runs_to_send`` in one short way, for the case that is nearly all of the
        work: nothing lost, next blocks in memory. Otherwise None, nothing is done, and the long way is to be
        gone.
        """
        if datagram != self._awaited:
            return None
        to = self._to + self._window
        slot = to - self._first
        if slot >= len(self._packets):
            return None
        self._acked = self._to
        self._sent = self._to = to
        self._from = to + 1
        self._sent_at = self._progress_at = now
        self._awaited = self._awaits[slot]
        if self._window == 1:
            return self._packets[slot]
        end = (slot + 1) * self.segment
        return self._buffer[end - self._window * self.segment : end]

    def peer_gone(self, now: float, reason: str = "the client closed its port") -> None:
        """Take the news that nobody listens at the client's port any more (ICMP says so)."""
        if self._event is not None:
            return
        if self._sent == self._last and self._acked >= self._last - self._window:
            self._finish(Done(self._size, now - self._started, self._retransmits, acknowledged=False))
        else:
            self._stop(now, reason)

    def handle_timer(self, now: float) -> None:
        """Take the time; does nothing before ``timer()``."""
        if self._event is not None or now < self._due():
            return
        if self._from <= self._to:
            return  # the next burst of a paced window; runs_to_send hands it out
        if now - self._progress_at >= self._idle:
            all_sent = self._sent == self._last and self._acked >= self._last - self._window
            self._finish(
                TimedOut(self._bytes(), now - self._started, self._retransmits, all_sent),
                error_packet(ErrorCode.UNDEFINED, "timed out"),
            )
            return
        self._tries += 1
        if self._negotiating:
            self._packet = option_acknowledgement(self.agreement)
            self._retransmits += 1
        else:
            self._lost(self._sent - self._acked)
            self._queue_window()

    def timer(self) -> float | None:
        """Return when ``handle_timer`` and then ``runs_to_send`` want to be called, or None when over."""
        return None if self._event is not None else self._due()

    def runs_to_send(self, now: float) -> list[bytes | memoryview]:
        """Return runs of datagrams: each ``segment`` bytes long and back to back, the last may be shorter.

        ``bytes`` are an OACK or ERROR, one datagram whatever the segment; ``split_run`` knows.
        The memory is reused: send a run before the next call of any method.
        """
        if self._packet is not None:
            packet, self._packet = self._packet, None
            self._sent_at = now
            return [packet]
        first = self._from
        if first > self._to or (self.burst < self._window and first > self._acked + 1 and now < self._due()):
            return []
        to = min(self._to, first + self.burst - 1)
        blocks = self._blocks
        if blocks is None or first < self._first or to >= self._first + len(self._packets):
            # From the window's begin on: a gap in it is mended without reading again.
            blocks = self._load(self._acked + 1, now)
            if blocks is None:
                return self.runs_to_send(now)
        self._from = to + 1
        self._sent_at = now
        if to > self._sent:
            self._sent = to
        if to - first + 1 == self._window and self._one_run and not (self._again or self._echo):
            self._awaited = self._awaits[to - self._first]
        return [self._packets[to - self._first]] if to == first else [*blocks.runs(first, to)]

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return the same as ``runs_to_send``, cut into single datagrams."""
        return [bytes(part) for run in self.runs_to_send(now) for part in split_run(run, self.segment)]

    def events(self) -> Iterator[TftpEvent]:
        """Yield how the transfer ended, once."""
        if self._event is not None and not self._told:
            self._told = True
            yield self._event

    def _due(self) -> float:
        if self._from <= self._to and self._from > self._acked + 1:
            return self._sent_at + PACE_SECONDS
        # RFC 2349's timeout is taken as the longest interval: U-Boot and curl ask for 5 s and more as a
        # matter of course, and waiting that long for each lost packet makes boots fail that can succeed.
        longest = self.agreement.timeout or LONGEST_TIMEOUT
        patience = min(max(6 * self._round_trip, SHORTEST_TIMEOUT), FIRST_TIMEOUT)
        return self._sent_at + min(patience * (1 << min(self._tries, 8)), longest)

    def _bytes(self) -> int:
        return min(self._acked * self._block, self._size)

    def _receive_duplicate(self, now: float) -> None:
        """Take an acknowledgement of what was acknowledged before.

        In lockstep it is never answered: answering every duplicate doubles all traffic from there on (the
        Sorcerer's Apprentice, RFC 1123 §4.2.3.1). With windows it is how a client says that the first block
        of the window was lost (RFC 7440 §4), so it is answered once, and never while it may be an echo.
        """
        if self._negotiating:
            self._negotiating = False
            self._echo = self._tries > 0  # a second OACK brings a second acknowledgement
            self._moved(now)
            self._queue_window()
            return
        self._repeated = not self._acked
        if self._window > 1 and self._from > self._to and not self._echo and not self._again and self._sent:
            self._lost(self._sent - self._acked)
            self._queue_window()

    def _receive_progress(self, acked: int, now: float) -> None:
        if not self._again:
            self._round_trip += (now - self._sent_at - self._round_trip) * 0.125
        whole = acked == self._to
        self._echo = self._again or not whole
        self._again = False
        self._acked = acked
        self._moved(now)
        if acked == self._last:
            self._finish(Done(self._size, now - self._started, self._retransmits))
            return
        if not whole:
            self._lost(self._sent - acked, again=False)
        elif self.burst < self._window:
            self.burst += 1
        self._queue_window()

    def _moved(self, now: float) -> None:
        self._awaited = None
        self._progress_at = now
        self._tries = 0

    def _lost(self, blocks: int, *, again: bool = True) -> None:
        """Note that blocks must be sent again, and send what follows in smaller bursts.

        A window cannot be narrowed any more: the client counts to the agreed number before it acknowledges.
        """
        self._again = again
        self._awaited = None
        self._retransmits += blocks
        self.burst = min(self._window, max(SMALLEST_BURST, self.burst // 2))

    def _queue_window(self) -> None:
        self._from = self._acked + 1
        self._to = min(self._acked + self._window, self._last)

    def _stop(self, now: float, reason: str) -> None:
        kind = Probed if self._acked <= 1 else Aborted
        self._finish(kind(self._bytes(), now - self._started, self._retransmits, reason))

    def _finish(self, event: TftpEvent, last_word: bytes | None = None) -> None:
        self._event = event
        self._packet = last_word
        self._awaited = None
        self._from = self._to + 1

    def _load(self, first: int, now: float) -> Blocks | None:
        """Get the blocks from ``first`` on, or end the transfer."""
        count = min(self._slots, self._last - first + 1)
        try:
            blocks = self._share.get(self._source, self._block, first, count)
        except OSError as error:
            problem = error.strerror or str(error)
            self._finish(
                Failed(self._bytes(), now - self._started, self._retransmits, problem),
                error_packet(ErrorCode.UNDEFINED, "the server cannot read the file"),
            )
            return None
        self._blocks = blocks
        self._first, self._buffer = blocks.first, blocks.buffer
        self._packets, self._awaits = blocks.packets, blocks.awaits
        return blocks


def split_run(run: bytes | memoryview, segment: int) -> list[bytes | memoryview]:
    """Cut a run into its datagrams, for a link that cannot do it itself."""
    if isinstance(run, bytes):
        return [run]
    return [run[start : start + segment] for start in range(0, len(run), segment)]
