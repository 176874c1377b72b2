"""Wiping: afterwards every byte of every disk reads as zero, and the result says how that is known.

First the drive is asked to purge itself, if it can and the step asks for it (``purge``). Then, per disk, best
first:

1. ``zeroed``: the whole disk is discarded (flash then forgets where the data was) and zeroed by the disk
   itself. Zeroing is a promise of the storage standards: what it covers reads as zeros.
2. ``discarded``: the disk can discard but not zero. Discarding promises nothing, so every byte is read
   back and what is not zero is overwritten.
3. ``overwritten``: the disk can do neither; zeros are written over all of it. Where more than a quick wipe
   was asked for and flash cannot purge itself, ones are written first: NIST SP 800-88 asks for two passes.
4. ``purged``: it was purged, can do neither, and reads as zero wherever it was looked at: it is not written
   once more.

Then it is read back, past the page cache (``read_back``): all of it where that is the only proof (2), or if
it is quick, otherwise samples. Partitions, their names and their signatures do not matter to any of this: the
disk is treated whole.

A disk that is write-protected or locked, a read error, or a byte that does not become zero fails the step,
and so does a board on which no disk is found unless the step says that it has none: a missing driver must
not look like a clean board.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hostler import __version__
from hostler.agent.disks import Disk
from hostler.agent.media import Media, aligned_buffer, pieces
from hostler.agent.purge import QUICK_SECONDS, Drive, Purge, UnsafeError, Waiting, permitted, purge
from hostler.agent.read_back import PIECE, reads_zero_here_and_there, verify_zeros
from hostler.agent.work import NoDiskError, StepError
from hostler.model.disk_health import DiskHealth
from hostler.model.wipe import Effort, Sanitized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from hostler.agent.work import Work
    from hostler.model.json import JSON, Document

_PARALLEL = 4


@dataclass(slots=True)
class Wiped:
    """What was done to one disk; it is a ``Proof`` too.

    Attributes:
        disk: Which.
        drive: What it knows besides reading and writing, or None.
        ways: How it may purge itself, best first.
        purged: How it did, or None.
        declined: Ways that were not taken, and why.
        untouched: Parts of it that were not wiped.
        method: ``zeroed``, ``discarded``, ``overwritten`` or ``purged``.
        passes: How often all of it was written.
        read: Bytes read back and found zero.
        samples: How many samples that was; 0 where all was read.
        repaired: Bytes that were not zero at first and were overwritten.
        whole: Whether every byte was read back.
        seconds: How long it took.
        health: What the drive said of itself at the end, or None.
    """

    disk: Disk
    drive: Drive | None = None
    ways: list[Purge] = field(default_factory=list)
    purged: Purge | None = None
    declined: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)
    method: str = ""
    passes: int = 0
    read: int = 0
    samples: int = 0
    repaired: int = 0
    whole: bool = False
    seconds: float = 0.0
    health: DiskHealth | None = None

    @property
    def sanitized(self) -> Sanitized:
        """What was achieved, in the words of NIST SP 800-88."""
        return self.purged.sanitized if self.purged is not None else Sanitized.CLEAR

    def to_json(self) -> Document:
        """Return it as a JSON object."""
        return {
            "disk": self.disk.to_json(),
            "sanitized": str(self.sanitized),
            "purged_by": self.purged.name if self.purged else None,
            "method": self.method,
            "passes": self.passes,
            "declined": cast("JSON", self.declined),
            "untouched": cast("JSON", self.untouched),
            "verified_bytes": self.read,
            "verified_whole": self.whole,
            "samples": self.samples,
            "repaired_bytes": self.repaired,
            "seconds": round(self.seconds, 3),
            "health": self.health.to_json() if self.health else None,
        }


def wipe(
    disks: list[Disk],
    work: Work,
    params: Document,
    open_media: Callable[[Disk], Media] | None = None,
    open_drive: Callable[[Disk], AbstractContextManager[Drive | None]] | None = None,
) -> Document:
    """Wipe all ordinary disks, several at once.

    Args:
        disks: All disks of the board; spared ones are reported and left alone.
        work: Takes progress and log.
        params: ``effort``: an ``Effort``, ``clear`` by default; ``verify``: ``auto`` (default), ``full``,
            ``sample``; ``diskless``: true if none is expected.
        open_media: How to open a disk for writing.
        open_drive: How to open the drive behind one; none has any by default.

    Returns:
        ``{"disks": [what was done], "skipped": [{"disk", "reason"}], "bytes", "verified_bytes", "effort",
        "version", "kernel"}``.

    Raises:
        StepError: not every byte of every disk is known to be zero.
    """
    verify, effort = params.get("verify", "auto"), params.get("effort", Effort.CLEAR)
    if verify not in ("auto", "full", "sample"):
        raise StepError(f"verify is {verify!r}, not auto, full or sample")
    if effort not in set(Effort):
        raise StepError(f"effort is {effort!r}, not {', '.join(Effort)}")
    targets = [Wiped(disk) for disk in disks if disk.spared is None]
    skipped = [disk for disk in disks if disk.spared is not None]
    for disk in skipped:
        work.say(f"wipe: {disk} is left alone: {disk.spared}")
    for target in targets:
        if target.disk.read_only:
            raise StepError(f"{target.disk} is write-protected and cannot be wiped")
    if not targets and not params.get("diskless", False):
        raise NoDiskError("no disk found to wipe; a board that has none needs the parameter diskless")
    opener = open_media or (lambda disk: Media(Path(disk.path), write=True))
    with ExitStack() as stack:
        if open_drive is not None:
            for target in targets:
                target.drive = stack.enter_context(open_drive(target.disk))
        _Wiping(targets, work, Effort(effort), str(verify), opener).run()
    return {
        "disks": [target.to_json() for target in targets],
        "skipped": [cast("JSON", {"disk": disk.to_json(), "reason": disk.spared}) for disk in skipped],
        "bytes": sum(target.disk.size for target in targets),
        "verified_bytes": sum(target.read for target in targets),
        "effort": str(effort),
        "version": __version__,
        "kernel": os.uname().release,
    }


class _Wiping:
    """A wipe under way."""

    def __init__(
        self, targets: list[Wiped], work: Work, effort: Effort, verify: str, opener: Callable[[Disk], Media]
    ) -> None:
        self._targets = targets
        self._work = work
        self._effort = effort
        self._verify = verify
        self._opener = opener

    def run(self) -> None:
        """Purge, clear, read back: all disks at once, phase by phase."""
        total = sum(target.disk.size for target in self._targets)
        work = self._work
        work.begin("executing", 0)
        _side_by_side(self._settle, _by_drive(self._targets), work)
        work.begin("executing", sum(self._share(target) for target in self._targets))
        _side_by_side(self._purge, _by_drive(self._targets), work)
        alone = [[target] for target in self._targets]
        _side_by_side(self._clear, alone, work)
        work.begin("verifying", total)
        _side_by_side(self._read_back, alone, work)

    def _share(self, target: Wiped) -> int:
        """Return how many bytes of progress a disk is worth: once around for each pass."""
        return target.disk.size * (1 + bool(target.ways))

    def _settle(self, group: list[Wiped]) -> None:
        """End what an earlier wipe left, and find out how the drives may purge themselves."""
        for target in group:
            if target.drive is None:
                continue
            try:
                with _named(target.disk):
                    target.drive.settle(Waiting(self._work, 0))
            except UnsafeError as error:
                if self._effort is not Effort.CLEAR:
                    raise
                # Nothing is asked of the drive but to read and write; if it cannot, that fails below.
                self._work.say(f"wipe: {error}; going on")
            purges = target.drive.purges()
            target.ways, left = permitted(purges, self._effort)
            target.drive.declined += left

    def _purge(self, group: list[Wiped]) -> None:
        """Purge the disks of one drive; what concerns the whole drive is done once."""
        whole: Purge | None = None
        for target in group:
            if target.drive is None:
                continue
            longest = QUICK_SECONDS if self._effort is Effort.QUICK else math.inf
            wait = Waiting(self._work, target.disk.size, piece_seconds=longest)
            started = time.monotonic()
            with _named(target.disk):
                target.purged = whole or purge(target.drive, target.ways, wait)
            target.seconds += time.monotonic() - started
            if target.purged is not None and target.purged.everything:
                whole = target.purged
            if target.ways:
                wait.so_far(1.0)
            target.declined, target.untouched = target.drive.declined, target.drive.untouched
            if target.purged is not None:
                self._work.say(f"wipe: {target.disk}: {target.purged.name} in {target.seconds:.1f} s")

    def _clear(self, group: list[Wiped]) -> None:
        (target,) = group
        with self._opener(target.disk) as media:
            started = time.monotonic()
            more = self._effort in (Effort.THOROUGH, Effort.PURGE)
            twice = more and target.purged is None and not target.disk.rotational
            target.method, target.passes = erase(
                media, self._work, purged=target.purged is not None, twice=twice
            )
            target.seconds += time.monotonic() - started
        self._work.say(f"wipe: {target.disk}: {target.method} in {target.seconds:.1f} s")

    def _read_back(self, group: list[Wiped]) -> None:
        (target,) = group
        with self._opener(target.disk) as media:
            started = time.monotonic()
            wanted = "full" if target.method == "discarded" else self._verify
            verify_zeros(media, wanted, target, self._work)
            media.sync()
            media.reread_partitions()
            target.seconds += time.monotonic() - started
        if target.drive is not None:
            target.health = target.drive.health()
        extent = "all" if target.whole else f"{target.samples} samples"
        self._work.say(f"wipe: {target.disk}: {target.read} bytes ({extent}) read back as zeros")


@contextmanager
def _named(disk: Disk) -> Iterator[None]:
    """Say which disk it is that must not be used."""
    try:
        yield
    except UnsafeError as error:
        raise UnsafeError(f"{disk}: {error}") from error


def erase(media: Media, work: Work, *, purged: bool = False, twice: bool = False) -> tuple[str, int]:
    """Do the best the disk offers over all of it; return the method, and how often all of it was written.

    Args:
        media: The disk.
        work: Takes progress: as many bytes as the disk has.
        purged: Whether it was purged before.
        twice: Whether to write all of it, ones and then zeros, rather than trust the disk.
    """
    parts = pieces(0, media.size)
    discarded = all(media.discard(*part) for part in parts)
    if twice:
        _fill(media, 0, b"\xff", work, counts=False)
        _fill(media, 0, b"\0", work)
        return "overwritten", 2
    done = 0
    for offset, length in parts:
        if not media.zero(offset, length):
            break
        done += length
        work.advance(length)
    else:
        media.sync()
        return "zeroed", 0
    if purged and reads_zero_here_and_there(media):
        work.advance(media.size - done)
        return "purged", 0
    if discarded:
        work.advance(media.size - done)
        media.sync()
        return "discarded", 0
    _fill(media, done, b"\0", work)
    return "overwritten", 1


def _fill(media: Media, offset: int, byte: bytes, work: Work, *, counts: bool = True) -> None:
    """Write one byte over all of a disk from an offset on."""
    buffer = aligned_buffer(PIECE)
    if byte != b"\0":
        buffer[:] = byte * PIECE
    for place, length in pieces(offset, media.size - offset, PIECE):
        media.write(buffer[:length], place)
        work.advance(length if counts else 0)
    media.sync()


def _by_drive(targets: Iterable[Wiped]) -> list[list[Wiped]]:
    """Put the namespaces of one NVMe drive together, ``nvme0n1`` and ``nvme0n2``; others are alone."""
    groups: defaultdict[str, list[Wiped]] = defaultdict(list)
    for target in targets:
        controller = re.fullmatch(r"(.*/nvme\d+)n\d+", target.disk.path)
        groups[controller[1] if controller else target.disk.path].append(target)
    return list(groups.values())


def _side_by_side(one: Callable[[list[Wiped]], None], groups: Iterable[list[Wiped]], work: Work) -> None:
    """Run for each group in a thread; the first failure ends the others and is raised."""
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="wipe") as pool:
        flying = [pool.submit(one, group) for group in groups]
        first: BaseException | None = None
        for future in flying:
            error = future.exception()
            if error is not None and first is None:
                first = error
                work.cancel(f"ended because of: {error}")
        if first is not None:
            raise first
