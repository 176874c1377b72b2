"""The proof of a wipe: what is read back from the disk is zero, all of it or samples.

Where only samples are read, the places in which RAID controllers, volume managers and file systems keep
what they know a disk by are always among them: the first and last MiBs, and the copies that btrfs keeps
within. The rest are from a random place in each of many equal stretches.

A sample that is not zero means that a promise was broken: then all of the disk is read and overwritten
where needed.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Protocol

from hostler.agent.media import aligned_buffer, pieces
from hostler.agent.work import DiskFaultError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.agent.media import Media
    from hostler.agent.work import Work

MIB = 1024 * 1024
PIECE = 4 * MIB
SAMPLE = MIB
SAMPLES = 1024
FULL_SECONDS = 30.0
_PROBE_SECONDS = 0.5

HEAD = 4 * MIB
"""Partition tables, boot code, LVM, md 1.1 and 1.2, ZFS labels 0 and 1, bcache, LUKS: all within this."""
TAIL = 32 * MIB
"""DDF (hardware RAID) reserves this much at the end; within it are IMSM, md 0.90 and 1.0, ZFS labels 2 and 3,
the second GPT, and what controllers of Adaptec, Promise, Silicon Image and nVidia write."""
_WITHIN = (64 * MIB, 256 * 1024 * MIB)
"""Where btrfs keeps copies of its superblock."""

# Comparing a bytearray with any buffer is one memcmp; comparing memoryviews goes byte by byte.
_ZEROS = bytearray(PIECE)


class Proof(Protocol):
    """What was read back.

    Attributes:
        read: Bytes found zero.
        samples: How many samples that was; 0 where all was read.
        repaired: Bytes that were not zero at first and were overwritten.
        whole: Whether every byte was read.
    """

    read: int
    samples: int
    repaired: int
    whole: bool


def verify_zeros(media: Media, verify: str, proof: Proof, work: Work) -> None:
    """Read back, all or samples, overwrite what is not zero, and count into ``proof``.

    Args:
        media: The disk.
        verify: ``full``, ``sample``, or ``auto``: all if that takes no longer than ``FULL_SECONDS`` at the
            speed seen.
        proof: Takes the counts.
        work: Takes progress: in the end, as many bytes as the disk has.

    Raises:
        DiskFaultError: a byte cannot be read, or does not become zero.
    """
    buffer = aligned_buffer(PIECE)
    started = time.monotonic()
    at = 0
    for offset, length in pieces(0, media.size, PIECE):
        if verify == "sample" or (verify == "auto" and _too_slow(started, at, media.size)):
            break
        if not _reads_zero(media, buffer[:length], offset):
            _overwrite(media, buffer[:length], offset)
            proof.repaired += length
        at = offset + length
        proof.read += length
        work.advance(length)
    else:
        proof.whole = True
        return
    for offset, length in samples(at, media.size, media.block):
        if not _reads_zero(media, buffer[:length], offset):
            work.say(f"wipe: {media.path} should be zero but is not, near {offset}; reading all of it")
            work.advance(at - proof.read)  # what was counted for samples does not count
            proof.read, proof.samples = at, 0
            _overwrite_rest(media, buffer, at, proof, work)
            return
        proof.read += length
        proof.samples += 1
        work.advance(length)
    work.advance(media.size - proof.read)
    proof.whole = proof.read == media.size  # a small disk: the samples are all of it


def reads_zero_here_and_there(media: Media) -> bool:
    """Tell whether all samples are zero; a first look, no proof."""
    buffer = aligned_buffer(PIECE)
    return all(
        _reads_zero(media, buffer[:length], offset) for offset, length in samples(0, media.size, media.block)
    )


def is_zero(data: memoryview) -> bool:
    """Return whether at most 4 MiB are all zeros."""
    zeros = _ZEROS if len(data) == PIECE else _ZEROS[: len(data)]
    return zeros == data


def samples(at: int, size: int, block: int) -> Iterator[tuple[int, int]]:
    """Yield what is to be read of a disk from ``at`` on: ascending pieces of whole blocks, of at most 4 MiB.

    ``at`` and ``size`` are whole blocks.
    """
    spans = [(place, SAMPLE) for place in _WITHIN]
    spans += [(0, HEAD), (size - TAIL, TAIL)]
    stretch = max(SAMPLE, (size - at) // SAMPLES)
    for begin in range(at, size, stretch):
        room = max(min(stretch, size - begin) - SAMPLE, 0)
        place = begin + random.randrange(room + 1)  # noqa: S311
        spans.append((place - place % block, SAMPLE))
    reached = at
    for begin, length in sorted(spans):
        begin, end = max(begin, reached), min(begin + length, size)
        if begin < end:
            yield from pieces(begin, end - begin, PIECE)
            reached = end


def _overwrite_rest(media: Media, buffer: memoryview, at: int, proof: Proof, work: Work) -> None:
    for offset, length in pieces(at, media.size - at, PIECE):
        if not _reads_zero(media, buffer[:length], offset):
            _overwrite(media, buffer[:length], offset)
            proof.repaired += length
        proof.read += length
        work.advance(length)
    proof.whole = True


def _overwrite(media: Media, buffer: memoryview, offset: int) -> None:
    buffer[:] = memoryview(_ZEROS)[: len(buffer)]
    media.write(buffer, offset)
    media.sync()
    if not _reads_zero(media, buffer, offset):
        first = offset + next(at for at, byte in enumerate(buffer.tobytes()) if byte)
        raise DiskFaultError(
            f"{media.path}: {len(buffer)} bytes at {offset} do not become zero, the first at {first}; "
            "the disk is faulty"
        )


def _reads_zero(media: Media, buffer: memoryview, offset: int) -> bool:
    media.read(buffer, offset)
    return is_zero(buffer)


def _too_slow(started: float, done: int, size: int) -> bool:
    """Return whether the rest would take too long at the speed seen so far."""
    spent = time.monotonic() - started
    return spent > _PROBE_SECONDS and spent * size > FULL_SECONDS * done
