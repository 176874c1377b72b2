"""A listener of the multicast carousel: datagrams in, whole frames out, and what is still lacking."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostler.wire.carousel import (
    DATAGRAM,
    HEADER,
    MAGIC,
    UNIT,
    VERSION,
    Kind,
    exclusive_or,
    fragment_count,
    parity_count,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOM = 64 * 1024 * 1024
"""Bytes of frames that may be incomplete at once: a board has 512 MB. The oldest goes first."""
_SPARE = 4
"""Buffers of frames kept for the next ones: new memory for each costs as much as putting it together."""
MOST_FRAGMENTS = 8000
"""Missing fragments told in one report: what is more is told when these have come."""


@dataclass(slots=True)
class _Partial:
    """A frame of which something has come."""

    length: int
    turn: int
    buffer: bytearray
    have: bytearray
    missing: int
    parities: dict[int, bytes] = field(default_factory=dict)

    @property
    def groups(self) -> int:
        return parity_count(len(self.have))


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a listener needs, as it tells the sender.

    Attributes:
        passed: The last turn that is over as far as it saw.
        chunks: Bit ``n``: nothing useful of chunk ``n`` is there.
        fragments: By chunk, the numbers of the fragments that are not.
        received: Fragments that came since the last time this was asked.
        lost: Fragments that were sent in that time and did not come.
    """

    passed: int
    chunks: int
    fragments: dict[int, list[int]]
    received: int
    lost: int


class Receiver:
    """One listener in one session.

    Args:
        session: The session's number; other datagrams are left alone.
        wanted: Numbers of the chunks it needs.
        frame_limit: Longest frame there can be, in bytes.
        room: Bytes for frames that are not whole yet.
    """

    def __init__(self, session: int, wanted: Iterable[int], frame_limit: int, room: int = ROOM) -> None:
        self._session = session
        self._wanted = set(wanted)
        self._frame_limit = frame_limit
        self._room = room
        self._held = 0
        self._partial: OrderedDict[int, _Partial] = OrderedDict()
        self._spare: list[bytearray] = []
        self._turn = 0
        self._heard = 0
        self._before = 0  # fragments of the turn it came into that were sent before: they are not lost
        self._over = False
        self._expected = 0
        self._came = 0
        self._received = 0
        self._lost = 0

    @property
    def session(self) -> int:
        """The session's number."""
        return self._session

    @property
    def wanted(self) -> frozenset[int]:
        """Chunks that are still needed."""
        return frozenset(self._wanted)

    @property
    def lacks(self) -> bool:
        """Whether any chunk is still needed."""
        return bool(self._wanted)

    @property
    def turn(self) -> int:
        """The latest turn heard of; 0: nothing was heard."""
        return self._turn

    @property
    def heard(self) -> int:
        """How often something of the session was heard."""
        return self._heard

    @property
    def over(self) -> bool:
        """Whether the sender said last that it has nothing more to send."""
        return self._over

    def receive(self, data: memoryview, size: int = DATAGRAM) -> list[tuple[int, memoryview]]:
        """Take in datagrams that arrived together; return the chunks that became whole, and their frames.

        What is not of this session, or malformed, is left alone. Frames are not checked here: whoever
        decompresses one compares its digest, and calls ``again`` if that is another, and then ``release``.
        """
        whole: list[tuple[int, memoryview]] = []
        if size != DATAGRAM:
            return whole
        count = len(data) // DATAGRAM
        first = 0
        while first < count:
            header = HEADER.unpack_from(data, first * DATAGRAM)
            magic, version, kind, session, turn, chunk, length, number = header
            run = 1
            if session == self._session and magic == MAGIC and version == VERSION and turn >= self._turn:
                # A late one is left alone: what it brings is asked for again if it lacks.
                self._heard += 1
                if not self._turn:
                    self._before = number
                elif turn != self._turn:
                    self._before = 0
                if turn != self._turn:
                    self._pass(turn)
                self._over = kind == Kind.NOTHING
                wanted = kind != Kind.NOTHING and chunk in self._wanted
                if wanted or self._expected:
                    run = _run(data, header, first, count)
                    if kind == Kind.FRAGMENT:
                        self._count(length, run)
                if wanted:
                    payloads = [
                        data[at + HEADER.size : at + DATAGRAM]
                        for at in range(first * DATAGRAM, (first + run) * DATAGRAM, DATAGRAM)
                    ]
                    frame = self._take(kind, turn, chunk, length, number, payloads)
                    if frame is not None:
                        whole.append((chunk, frame))
            first += run
        return whole

    def drop(self, chunk: int) -> None:
        """Need a chunk no more: it came by another way."""
        self._wanted.discard(chunk)
        self._forget(chunk)

    def again(self, chunk: int) -> None:
        """Need a chunk again: what came was damaged."""
        self._wanted.add(chunk)

    def release(self, frame: memoryview) -> None:
        """Have the memory of a frame back, for the next: nobody may look at it any more."""
        buffer = frame.obj
        frame.release()
        assert isinstance(buffer, bytearray)
        self._keep(buffer)

    def lacking(self) -> Lacking:
        """Return what to tell the sender, and begin to count anew."""
        fragments: dict[int, list[int]] = {}
        left = MOST_FRAGMENTS
        chunks = bytearray(max(self._wanted, default=0) // 8 + 1)
        for chunk in sorted(self._wanted):
            partial = self._partial.get(chunk)
            if partial is None:
                chunks[chunk // 8] |= 1 << chunk % 8
            elif partial.turn < self._turn and partial.missing <= left:
                left -= partial.missing
                fragments[chunk] = [number for number, there in enumerate(partial.have) if not there]
        passed = max(0, self._turn - 1)
        told = Lacking(passed, int.from_bytes(chunks, "little"), fragments, self._received, self._lost)
        self._received = self._lost = 0
        return told

    def _pass(self, turn: int) -> None:
        """Close the books on the turns before this one."""
        if self._expected:
            self._received += self._came
            self._lost += max(0, self._expected - self._came)
        if self._turn and turn > self._turn + 1 and self._expected:
            self._lost += (turn - self._turn - 1) * self._expected  # whole turns went by unheard
        self._turn = turn
        self._expected = self._came = 0

    def _count(self, length: int, came: int) -> None:
        """Count fragments of a turn; also those that come after the frame is whole."""
        if 0 < length <= self._frame_limit:
            self._expected = max(0, fragment_count(length) - self._before)
            self._came += came

    def _take(
        self, kind: int, turn: int, chunk: int, length: int, number: int, payloads: list[memoryview]
    ) -> memoryview | None:
        """Take in payloads with this number and those that follow; return the frame if it is whole now."""
        partial = self._partial.get(chunk)
        if partial is None:
            if not 0 < length <= self._frame_limit:
                return None
            partial = self._begin(chunk, length, turn)
        elif partial.length != length:
            return None
        count = len(partial.have)
        partial.turn = turn
        if kind in (Kind.FRAGMENT, Kind.REPAIR):
            del payloads[max(0, count - number) :]  # there are no more of them
            self._put(partial, number, payloads)
        elif kind == Kind.PARITY:
            for parity, payload in enumerate(payloads, number):
                if parity < partial.groups:
                    partial.parities[parity] = bytes(payload)
                    self._bring_back(partial, parity)
        if partial.missing:
            return None
        self._wanted.discard(chunk)
        self._forget(chunk)
        return memoryview(partial.buffer)[:length]

    def _put(self, partial: _Partial, number: int, payloads: list[memoryview]) -> None:
        """Put fragments into the frame, those that are not there yet."""
        end = number + len(payloads)
        if partial.have.find(1, number, end) < 0:
            partial.buffer[number * UNIT : end * UNIT] = b"".join(payloads)
            partial.have[number:end] = b"\1" * len(payloads)
            partial.missing -= len(payloads)
        else:
            for one, payload in enumerate(payloads, number):
                if not partial.have[one]:
                    partial.buffer[one * UNIT : (one + 1) * UNIT] = payload
                    partial.have[one] = 1
                    partial.missing -= 1
        if partial.parities:
            for group in {one % partial.groups for one in range(number, end)}:
                self._bring_back(partial, group)

    def _begin(self, chunk: int, length: int, turn: int) -> _Partial:
        count = fragment_count(length)
        partial = _Partial(length, turn, self._buffer(count * UNIT), bytearray(count), count)
        self._partial[chunk] = partial
        self._held += len(partial.buffer)
        while self._held > self._room and len(self._partial) > 1:
            if (oldest := self._forget(next(iter(self._partial)))) is not None:
                self._keep(oldest)
        return partial

    def _forget(self, chunk: int) -> bytearray | None:
        """Have a chunk's frame no longer; return its memory."""
        partial = self._partial.pop(chunk, None)
        if partial is None:
            return None
        self._held -= len(partial.buffer)
        return partial.buffer

    def _buffer(self, size: int) -> bytearray:
        """Return memory of at least this size."""
        for at, spare in enumerate(self._spare):
            if len(spare) >= size:
                return self._spare.pop(at)
        self._spare[:1] = []  # too small for what comes now
        return bytearray(size)

    def _keep(self, buffer: bytearray) -> None:
        if len(self._spare) < _SPARE:
            self._spare.append(buffer)

    @staticmethod
    def _bring_back(partial: _Partial, group: int) -> None:
        """Bring back the one fragment of a group that lacks, if it is one."""
        numbers = range(group, len(partial.have), partial.groups)
        absent = [number for number in numbers if not partial.have[number]]
        if len(absent) != 1 or group not in partial.parities:
            return
        (number,) = absent
        view = memoryview(partial.buffer)
        others = (view[other * UNIT : (other + 1) * UNIT] for other in numbers if other != number)
        restored = exclusive_or([partial.parities[group], *others])
        partial.buffer[number * UNIT : (number + 1) * UNIT] = restored
        partial.have[number] = 1
        partial.missing -= 1


def _run(data: memoryview, header: tuple[object, ...], first: int, count: int) -> int:
    """Return how many datagrams from ``first`` on are one turn's with numbers one after the other.

    Numbers of a turn only go up, so where the last fits, all between do: nearly always all of one read.
    """
    *same, number = header
    assert isinstance(number, int)

    def fits(ahead: int) -> bool:
        *other, its = HEADER.unpack_from(data, (first + ahead) * DATAGRAM)
        return other == same and its == number + ahead

    fitting, beyond = 1, count - first
    if beyond > 1 and fits(beyond - 1):
        return beyond
    while beyond - fitting > 1:
        middle = (fitting + beyond) // 2
        if fits(middle - 1):
            fitting = middle
        else:
            beyond = middle
    return fitting
