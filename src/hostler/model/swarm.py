"""Which chunk a board fetches next, and from whom, where boards that install one image fetch from each other.

The rack gives out every chunk about once, the lowest first, to no more boards at a time than fill its link,
and to each the same share; from then on the boards that have it give it on. What a board gets is, of the
lowest that it lacks and somebody may give, the one that the fewest have. Nobody gives to more than a few at
once: what comes whole early can be given on early.

Nothing here is trusted to last: a board that is silent is gone; one that gave what is wrong, or nothing, is
left by whoever says so, and by all when two say so, each time for twice as long: on boards that were merely
busy for a moment not all is to come from the rack. What nobody else can give comes from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PEER_UPLOADS = 3
"""To how many a board gives at once."""
RACK_UPLOADS = 4
"""To how many the rack gives at once: enough that its link is never idle while one of them asks again."""
RACK_COPIES = 2
"""How often the rack gives a chunk that others have, when its link is idle and theirs are not."""
MOST_CHUNKS = 16
"""Chunks of one job."""
SILENT_SECONDS = 10.0
"""Who says nothing for so long is gone: an agent tells every two seconds what it has."""
BLAMED = 2
"""A board of which so many say that it gave nothing right is asked by nobody."""
LEFT_SECONDS = 10.0
"""How long a board is left that gave nothing right once."""
LOST_SECONDS = 60.0
"""A job of which nothing came for so long never reached its board, which gives up much sooner. It keeps
nobody from its source any more."""
_MOST_DOUBLINGS = 10
_WINDOW = 64  # of the lowest that can be had, the rarest; all of a large image would take milliseconds
_SHARES = 8  # a job is no more than this part of what lacks, so that the last chunks come from several boards
_LEAST_PATIENCE = 2.0
_PATIENCE = 4.0  # times what a chunk usually takes; then it is also fetched from elsewhere
_USUAL_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """What a board is to fetch now.

    Attributes:
        chunks: Numbers among the distinct chunks of the image.
        source: Name of the board to fetch them from; None: the rack.
    """

    chunks: tuple[int, ...]
    source: str | None


@dataclass(slots=True, eq=False)
class _Running:
    """A job under way: what is left of it, and since when nothing of it came."""

    source: _Member | None
    left: int
    since: float


@dataclass(slots=True, eq=False)
class _Member:
    name: str
    has: int
    lacks: int
    heard: float
    jobs: list[_Running] = field(default_factory=list)
    uploads: int = 0
    given: int = 0
    faults: dict[str, int] = field(default_factory=dict)  # how often whom gave it nothing right
    leaves: dict[str, float] = field(default_factory=dict)  # until when it takes nothing from whom
    blamed: dict[str, float] = field(default_factory=dict)  # until when who takes nothing from it

    def left_by(self, other: _Member, now: float) -> bool:
        by_all = sum(until > now for until in self.blamed.values()) >= BLAMED
        return by_all or other.leaves.get(self.name, now) > now


class Swarm:
    """The boards of one network that install one image. All times are seconds that only go forward.

    Args:
        chunks: How many distinct chunks the image has.
    """

    def __init__(self, chunks: int) -> None:
        self._members: dict[str, _Member] = {}
        self._copies = [0] * chunks  # how many have or fetch each
        self._given = bytearray(chunks)  # how often the rack gave each
        self._from_rack: list[_Running] = []
        self._usual = 0.0  # seconds that a chunk takes

    def __contains__(self, board: str) -> bool:
        return board in self._members

    def __len__(self) -> int:
        return len(self._members)

    @property
    def lacking(self) -> int:
        """How many boards lack something."""
        return sum(1 for member in self._members.values() if member.lacks)

    def wants(self, board: str) -> bool:
        """Tell whether a board lacks something."""
        return self._members[board].lacks != 0

    def join(self, board: str, has: int, lacks: int, now: float) -> None:
        """Take in a board, as it is now.

        Args:
            board: Its name.
            has: The chunks that it can give, as a bitmap, the first in the lowest bit.
            lacks: Those that it wants; likewise.
            now: See the class.
        """
        self.leave(board)
        self._members[board] = _Member(board, has, lacks, now)
        self._count(has, 1)

    def leave(self, board: str) -> None:
        """Forget a board."""
        member = self._members.pop(board, None)
        if member is None:
            return
        self._count(member.has, -1)
        for job in list(member.jobs):
            self._drop(member, job, job.left)

    def heard(self, board: str, now: float) -> None:
        """Take in that a board lives, and forget those that are silent and jobs that were lost."""
        self._members[board].heard = now
        for member in self._members.values():
            for job in [job for job in member.jobs if job.since < now - LOST_SECONDS]:
                self._drop(member, job, job.left)
        for name in [name for name, one in self._members.items() if one.heard < now - SILENT_SECONDS]:
            self.leave(name)

    def got(self, board: str, chunks: Iterable[int], now: float) -> None:
        """Take in that a board has chunks, proven, and gives them on."""
        member = self._members[board]
        for chunk in chunks:
            bit = 1 << chunk
            for job in [job for job in member.jobs if job.left & bit]:
                seconds = now - job.since
                self._usual += _USUAL_WEIGHT * (seconds - self._usual) if self._usual else seconds
                job.since = now
                if job.source is not None:
                    job.source.given += 1
                self._drop(member, job, bit)
            member.lacks &= ~bit
            if not member.has & bit:
                member.has |= bit
                self._count(bit, 1)

    def dropped(self, board: str, chunks: Iterable[int]) -> None:
        """Take in that a board can give chunks no more."""
        member = self._members[board]
        gone = _bits(chunks) & member.has
        member.has &= ~gone
        self._count(gone, -1)

    def failed(self, board: str, chunks: Iterable[int], source: str | None, *, blame: bool) -> None:
        """Take in that chunks did not come.

        Args:
            board: Who wanted them.
            chunks: Which.
            source: From whom; None: the rack; "": a board that has left.
            blame: Whether it takes nothing from there for a while; False: they were there no more.
        """
        member, bits = self._members[board], _bits(chunks)
        giver = self._members.get(source) if source is not None else None
        mine = [job for job in member.jobs if job.left & bits and self._source(job) == source]
        for job in mine:
            self._drop(member, job, job.left & bits)
        if giver is None or all(job.source is not giver for job in mine):
            return  # it was the rack, or the board is not what it was then
        if blame:
            faults = member.faults[giver.name] = member.faults.get(giver.name, 0) + 1
            until = member.heard + LEFT_SECONDS * 2 ** min(faults - 1, _MOST_DOUBLINGS)
            member.leaves[giver.name] = giver.blamed[board] = until
        else:
            gone = giver.has & bits
            giver.has &= ~gone
            self._count(gone, -1)

    def job(self, board: str, most: int, now: float) -> Job | None:
        """Return what a board is to fetch now; None: nothing at present, somebody must have something first.

        Args:
            board: Its name.
            most: How many chunks it wants at once.
            now: See the class.
        """
        member = self._members[board]
        patience = max(_LEAST_PATIENCE, _PATIENCE * self._usual)
        wanted = member.lacks & ~_flying(member, now - patience)
        if not wanted:
            return None
        most = max(1, min(most, MOST_CHUNKS, wanted.bit_count() // _SHARES))
        others = [
            other
            for other in self._members.values()
            if other is not member and not other.left_by(member, now)
        ]
        given = [job for job in self._from_rack if job.since >= now - patience]
        share = -(
            -RACK_UPLOADS // self.lacking
        )  # or who asks first gets all, and the others nothing to trade
        rack_free = len(given) < RACK_UPLOADS and sum(job in member.jobs for job in given) < share
        if rack_free:
            coming = 0
            for other in others:
                coming |= other.has | _flying(other, now - patience)
            if new := wanted & ~coming:
                return self._begin(member, None, list(_lowest(new, most)), now)
        free = [other for other in others if other.uploads < PEER_UPLOADS and other.has & wanted]
        if free:
            return self._from_peer(member, free, wanted, most, now)
        if rack_free:
            again = [one for one in _lowest(wanted, _WINDOW) if self._given[one] < RACK_COPIES]
            if again:
                return self._begin(member, None, [min(again, key=self._copies.__getitem__)], now)
        return None

    def _from_peer(self, member: _Member, free: list[_Member], wanted: int, most: int, now: float) -> Job:
        within = 0
        for other in free:
            within |= other.has
        rarest = min(_lowest(wanted & within, _WINDOW), key=self._copies.__getitem__)
        bit = 1 << rarest
        # Of those that are equally busy the one that has given most: its line is the fastest.
        source = min((one for one in free if one.has & bit), key=lambda one: (one.uploads, -one.given))
        chunks = [rarest, *_lowest(wanted & source.has & ~bit, most - 1)]
        return self._begin(member, source, chunks, now)

    def _begin(self, member: _Member, source: _Member | None, chunks: list[int], now: float) -> Job:
        bits = _bits(chunks)
        job = _Running(source, bits, now)
        member.jobs.append(job)
        if source is None:
            self._from_rack.append(job)
            for chunk in chunks:
                self._given[chunk] = min(self._given[chunk] + 1, 255)
        else:
            source.uploads += 1
        self._count(bits, 1)
        return Job(tuple(chunks), source.name if source is not None else None)

    def _drop(self, member: _Member, job: _Running, bits: int) -> None:
        """Take chunks off a job; without any it is over."""
        self._count(bits, -1)
        job.left &= ~bits
        if job.left:
            return
        member.jobs.remove(job)
        if job.source is None:
            self._from_rack.remove(job)
        else:
            job.source.uploads -= 1

    def _source(self, job: _Running) -> str | None:
        """Return from whom a job is, as ``failed`` names it."""
        if job.source is None:
            return None
        return job.source.name if self._members.get(job.source.name) is job.source else ""

    def _count(self, bits: int, by: int) -> None:
        for chunk in _each(bits):
            self._copies[chunk] += by


def _flying(member: _Member, after: float) -> int:
    """The chunks on their way to a board; not those of jobs of which nothing came since a time."""
    bits = 0
    for job in member.jobs:
        if job.since >= after:
            bits |= job.left
    return bits


def _bits(chunks: Iterable[int]) -> int:
    bits = 0
    for chunk in chunks:
        bits |= 1 << chunk
    return bits


def _each(bits: int) -> Iterator[int]:
    """Yield the numbers of all bits that are set, in time that goes by how many bits there are."""
    first = (bits & -bits).bit_length() - 1 if bits else 0
    digits = bin(bits >> first)[:1:-1]  # a job's bits are few and mostly side by side
    at = digits.find("1")
    while at >= 0:
        yield first + at
        at = digits.find("1", at + 1)


def _lowest(bits: int, most: int) -> Iterator[int]:
    """Yield the numbers of the lowest bits that are set."""
    while bits and most > 0:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
        most -= 1
