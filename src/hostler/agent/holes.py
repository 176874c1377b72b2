"""The holes of an image on a disk, and what lies behind its end.

Holes must read as zeros, and an unwiped disk may hold anything there. If the disk can zero by itself (see
``Media.zero``) the holes are zeroed that way, which costs next to nothing, and both ends and samples of
every hole are read back. If it cannot, the holes are discarded, all of them are read, and what is not
zero is overwritten: reading is several times faster than writing on the media concerned (SD cards, USB
sticks, plain hard disks). The last MiB of a disk that is larger than the image is zeroed too, so that no
old backup partition table or RAID label is found there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.agent.media import aligned_buffer, pieces, up
from hostler.agent.read_back import is_zero
from hostler.agent.work import DiskFaultError

if TYPE_CHECKING:
    from hostler.agent.media import Media
    from hostler.agent.work import Work
    from hostler.model.chunkindex import ChunkIndex

PIECE = 4 * 1024 * 1024
TAIL = 1024 * 1024
HOLE_SAMPLE = 64 * 1024
HOLE_STRIDE = 64 * 1024 * 1024


def clear_holes(index: ChunkIndex, media: Media, work: Work, *, keep_rest: bool = False) -> str:
    """Make the holes and the end of the disk, unless that is to be kept, zeros; return what did it, in words.

    Raises:
        DiskFaultError: the disk fails.
    """
    holes = [(offset, up(offset + length, media.block) - offset) for offset, length in index.holes()]
    tail = max(up(index.size, media.block), media.size - TAIL)
    ends = [(tail, media.size - tail)] if tail < media.size and not keep_rest else []
    counted = 0
    for hole in holes + ends:
        for offset, length in pieces(*hole):
            if not media.zero(offset, length):
                break
            if offset < index.size:
                counted += min(length, index.size - offset)
                work.advance(min(length, index.size - offset))
        else:
            continue
        break
    else:
        return "disk"
    work.say(
        f"install: {media.path} cannot zero by itself; holes are read, and written where they are not zero"
    )
    for hole in holes + ends:
        for part in pieces(*hole):
            media.discard(*part)
    buffer, zeros = aligned_buffer(PIECE), aligned_buffer(PIECE)
    for hole in holes + ends:
        for offset, length in pieces(*hole, PIECE):
            media.read(buffer[:length], offset)
            if not is_zero(buffer[:length]):
                media.write(zeros[:length], offset)
            if offset < index.size:
                done = min(length, index.size - offset)
                again = min(counted, done)  # what was zeroed before the disk refused is not counted twice
                counted -= again
                work.advance(done - again)
    return "reading and overwriting"


def sample_holes(index: ChunkIndex, media: Media, work: Work) -> int:
    """Read both ends of every hole and a piece every 64 MiB; return how many bytes were zero.

    Raises:
        DiskFaultError: what is read is not zero, or the disk fails.
    """
    buffer = aligned_buffer(HOLE_SAMPLE)
    read = 0
    for offset, length in index.holes():
        places = {offset, *range(offset, offset + length, HOLE_STRIDE)}
        places.add(max(offset, (offset + length - HOLE_SAMPLE) // media.block * media.block))
        for place in sorted(places):
            count = min(HOLE_SAMPLE, offset + length - place)
            part = buffer[: up(count, media.block)]
            media.read(part, place)
            if not is_zero(part):
                raise DiskFaultError(
                    f"{media.path}: the disk was told to zero {length} bytes at {offset}, "
                    f"but they are not zero at {place}"
                )
            read += count
        work.check()
    return read
