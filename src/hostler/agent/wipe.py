"""Wiping: afterwards every byte of every disk reads as zero, and the result says how that is known.

Per disk, best first:

1. ``zeroed``: the whole disk is discarded (flash then forgets where the data was) and zeroed by the disk
   itself. Zeroing is a promise of the storage standards: what it covers reads as zeros.
2. ``discarded``: the disk can discard but not zero. Discarding promises nothing, so every byte is read
   back and what is not zero is overwritten.
3. ``overwritten``: the disk can do neither; zeros are written over all of it.

Then it is read back, past the page cache. All of it where that is the only proof (2), or if it takes no
longer than ``FULL_SECONDS`` at the speed seen; otherwise both ends and a piece from a random place in
each of ``SAMPLES`` equal stretches. A sample that is not zero means that the promise was broken: then all
of the disk is read and overwritten where needed. Partitions, their names and their signatures do not
matter to any of this: the disk is treated whole.

A disk that is write-protected, a read error, or a byte that does not become zero fails the step, and so
does a board on which no disk is found unless the step says that it has none: a missing driver must not
look like a clean board.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hostler.agent.disks import Disk
from hostler.agent.media import Media, aligned_buffer, pieces
from hostler.agent.work import DiskFaultError, NoDiskError, StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hostler.agent.work import Work
    from hostler.model.json import JSON, Document

PIECE = 4 * 1024 * 1024
SAMPLE = 1024 * 1024
SAMPLES = 1024
FULL_SECONDS = 30.0
_PROBE_SECONDS = 0.5
_PARALLEL = 4

# Comparing a bytearray with any buffer is one memcmp; comparing memoryviews goes byte by byte.
_ZEROS = bytearray(PIECE)


@dataclass(slots=True)
class Wiped:
    """What was done to one disk.

    Attributes:
        disk: Which.
        method: ``zeroed``, ``discarded`` or ``overwritten``.
        read: Bytes read back and found zero.
        repaired: Bytes that were not zero at first and were overwritten.
        whole: Whether every byte was read back.
        seconds: How long it took.
    """

    disk: Disk
    method: str = ""
    read: int = 0
    repaired: int = 0
    whole: bool = False
    seconds: float = 0.0

    def to_json(self) -> Document:
        """Return it as a JSON object."""
        return {
            "disk": self.disk.to_json(),
            "method": self.method,
            "verified_bytes": self.read,
            "verified_whole": self.whole,
            "repaired_bytes": self.repaired,
            "seconds": round(self.seconds, 3),
        }


def wipe(
    disks: list[Disk], work: Work, params: Document, open_media: Callable[[Disk], Media] | None = None
) -> Document:
    """Wipe all ordinary disks, several at once.

    Args:
        disks: All disks of the board; spared ones are reported and left alone.
        work: Takes progress and log.
        params: ``verify``: ``auto`` (default), ``full``, ``sample``; ``diskless``: true if none is expected.
        open_media: How to open a disk for writing.

    Returns:
        ``{"disks": [what was done], "skipped": [{"disk", "reason"}], "bytes", "verified_bytes"}``.

    Raises:
        StepError: not every byte of every disk is known to be zero.
    """
    verify = params.get("verify", "auto")
    if verify not in ("auto", "full", "sample"):
        raise StepError(f"verify is {verify!r}, not auto, full or sample")
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
    total = sum(target.disk.size for target in targets)

    def erase_one(target: Wiped) -> None:
        with opener(target.disk) as media:
            started = time.monotonic()
            target.method = erase(media, work)
            target.seconds = time.monotonic() - started
        work.say(f"wipe: {target.disk}: {target.method} in {target.seconds:.1f} s")

    def verify_one(target: Wiped) -> None:
        with opener(target.disk) as media:
            started = time.monotonic()
            wanted = "full" if target.method == "discarded" else verify
            verify_zeros(media, wanted, target, work)
            media.sync()
            media.reread_partitions()
            target.seconds += time.monotonic() - started
        extent = "all" if target.whole else "samples"
        work.say(f"wipe: {target.disk}: {target.read} bytes ({extent}) read back as zeros")

    for phase, one in (("executing", erase_one), ("verifying", verify_one)):
        work.begin(phase, total)
        _side_by_side(one, targets, work)
    return {
        "disks": [target.to_json() for target in targets],
        "skipped": [cast("JSON", {"disk": disk.to_json(), "reason": disk.spared}) for disk in skipped],
        "bytes": total,
        "verified_bytes": sum(target.read for target in targets),
    }


def erase(media: Media, work: Work) -> str:
    """Do the best the disk offers over all of it; return the method."""
    parts = pieces(0, media.size)
    discarded = all(media.discard(*part) for part in parts)
    done = 0
    for offset, length in parts:
        if not media.zero(offset, length):
            break
        done += length
        work.advance(length)
    else:
        media.sync()
        return "zeroed"
    if discarded:
        work.advance(media.size - done)
        media.sync()
        return "discarded"
    zeros = aligned_buffer(PIECE)
    for offset, length in pieces(done, media.size - done, PIECE):
        media.write(zeros[:length], offset)
        work.advance(length)
    media.sync()
    return "overwritten"


def verify_zeros(media: Media, verify: str, result: Wiped, work: Work) -> None:
    """Read back, all or samples, overwrite what is not zero, and count into ``result``.

    Raises:
        StepError: a byte cannot be read, or does not become zero.
    """
    buffer = aligned_buffer(PIECE)
    started = time.monotonic()
    at = 0
    for offset, length in pieces(0, media.size, PIECE):
        if verify == "sample" or (verify == "auto" and _too_slow(started, at, media.size)):
            break
        if not _reads_zero(media, buffer[:length], offset):
            _overwrite(media, buffer[:length], offset)
            result.repaired += length
        at = offset + length
        result.read += length
        work.advance(length)
    else:
        result.whole = True
        return
    for offset, length in _samples(at, media.size, media.block):
        if not _reads_zero(media, buffer[:length], offset):
            work.say(
                f"wipe: {media.path} was {result.method} but is not zero near {offset}; reading all of it"
            )
            work.advance(at - result.read)  # what was counted for samples does not count
            result.read = at
            _overwrite_rest(media, buffer, at, result, work)
            return
        result.read += length
        work.advance(length)
    work.advance(media.size - result.read)


def _overwrite_rest(media: Media, buffer: memoryview, at: int, result: Wiped, work: Work) -> None:
    for offset, length in pieces(at, media.size - at, PIECE):
        if not _reads_zero(media, buffer[:length], offset):
            _overwrite(media, buffer[:length], offset)
            result.repaired += length
        result.read += length
        work.advance(length)
    result.whole = True


def _overwrite(media: Media, buffer: memoryview, offset: int) -> None:
    buffer[:] = memoryview(_ZEROS)[: len(buffer)]
    media.write(buffer, offset)
    media.sync()
    if not _reads_zero(media, buffer, offset):
        raise DiskFaultError(
            f"{media.path}: {len(buffer)} bytes at {offset} do not become zero; the disk is faulty"
        )


def _reads_zero(media: Media, buffer: memoryview, offset: int) -> bool:
    media.read(buffer, offset)
    return is_zero(buffer)


def is_zero(data: memoryview) -> bool:
    """Return whether at most 4 MiB are all zeros."""
    zeros = _ZEROS if len(data) == PIECE else _ZEROS[: len(data)]
    return zeros == data


def _too_slow(started: float, done: int, size: int) -> bool:
    """Return whether the rest would take too long at the speed seen so far."""
    spent = time.monotonic() - started
    return spent > _PROBE_SECONDS and spent * size > FULL_SECONDS * done


def _samples(at: int, size: int, block: int) -> Iterator[tuple[int, int]]:
    """Yield both ends and one random place in each stretch of what is not read yet, in ascending order."""
    stretch = max(SAMPLE, (size - at) // SAMPLES)
    yield at, min(SAMPLE, size - at)
    offset = at + SAMPLE
    while offset + stretch < size - SAMPLE:
        place = offset + random.randrange(stretch - SAMPLE + 1)  # noqa: S311
        yield place - place % block, SAMPLE
        offset += stretch
    if offset < size:
        last = max(offset, size - SAMPLE)
        yield last - last % block, size - last


def _side_by_side(one: Callable[[Wiped], None], targets: Iterable[Wiped], work: Work) -> None:
    """Run for each disk in a thread; the first failure ends the others and is raised."""
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="wipe") as pool:
        flying = [pool.submit(one, target) for target in targets]
        first: BaseException | None = None
        for future in flying:
            error = future.exception()
            if error is not None and first is None:
                first = error
                work.cancel(f"ended because of: {error}")
        if first is not None:
            raise first
