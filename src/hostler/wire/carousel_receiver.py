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
        self._turn = 0
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
    def turn(self) -> int:
        """The latest turn heard of; 0: nothing was heard."""
        return self._turn

    def receive(self, data: memoryview, size: int = DATAGRAM) -> list[tuple[int, memoryview]]:
        """Take in datagrams that arrived together; return the chunks that became whole, and their frames.

        What is not of this session, or malformed, is left alone. Frames are not checked here: whoever
        decompresses one compares its digest, and calls ``again`` if that is another.
        """
        whole: list[tuple[int, memoryview]] = []
        if size != DATAGRAM:
            return whole
        for at in range(0, len(data) - DATAGRAM + 1, DATAGRAM):
            magic, version, kind, session, turn, chunk, length, number = HEADER.unpack_from(data, at)
            if session != self._session or magic != MAGIC or version != VERSION:
                continue
            if turn != self._turn:
                if turn < self._turn:
                    continue  # late: it is asked for again if it lacks
                self._pass(turn)
            if kind == Kind.NOTHING or chunk not in self._wanted:
                continue
            frame = self._take(kind, turn, chunk, length, number, data[at + HEADER.size : at + DATAGRAM])
            if frame is not None:
                whole.append((chunk, frame))
        return whole

    def drop(self, chunk: int) -> None:
        """Need a chunk no more: it came by another way."""
        self._wanted.discard(chunk)
        self._forget(chunk)

    def again(self, chunk: int) -> None:
        """Need a chunk again: what came was damaged."""
        self._wanted.add(chunk)

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

    def _take(
        self, kind: int, turn: int, chunk: int, length: int, number: int, payload: memoryview
    ) -> memoryview | None:
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
            if number >= count:
                return None
            if kind == Kind.FRAGMENT:
                self._expected = count
                self._came += 1
            if partial.have[number]:
                return None
            partial.buffer[number * UNIT : (number + 1) * UNIT] = payload
            partial.have[number] = 1
            partial.missing -= 1
            if partial.parities:
                self._bring_back(partial, number % partial.groups)
        elif kind == Kind.PARITY and number < partial.groups:
            partial.parities[number] = bytes(payload)
            self._bring_back(partial, number)
        if partial.missing:
            return None
        self._wanted.discard(chunk)
        self._forget(chunk)
        return memoryview(partial.buffer)[:length]

    def _begin(self, chunk: int, length: int, turn: int) -> _Partial:
        count = fragment_count(length)
        partial = _Partial(length, turn, bytearray(count * UNIT), bytearray(count), count)
        self._partial[chunk] = partial
        self._held += len(partial.buffer)
        while self._held > self._room and len(self._partial) > 1:
            self._forget(next(iter(self._partial)))
        return partial

    def _forget(self, chunk: int) -> None:
        partial = self._partial.pop(chunk, None)
        if partial is not None:
            self._held -= len(partial.buffer)

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
