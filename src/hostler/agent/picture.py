"""What an image is to hold of a disk: the bytes in use, some of them read or put from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.agent.media import up
from hostler.agent.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hostler.agent.media import Media


class Picture:
    """The image that is to be of a disk. Safe to use from many threads.

    Args:
        media: The disk.
        size: Length of the image in bytes; not more than the disk's, a multiple of its blocks.
        used: First byte and first byte behind of what is in use; everything else reads as zeros.
        instead: Devices that are read in place of a part of the disk: its begin, its length, the device.
        put: Bytes that are put over everything else, by place.
    """

    def __init__(
        self,
        media: Media,
        size: int,
        used: Iterable[tuple[int, int]],
        instead: Sequence[tuple[int, int, Media]] = (),
        put: Sequence[tuple[int, bytes]] = (),
    ) -> None:
        self.size = size
        self._media = media
        self._instead = sorted(instead, key=lambda one: one[0])
        self._put = tuple(put)
        own = [(at, at + len(content)) for at, content in put]
        self.used = Ranges((start, min(end, size)) for start, end in [*used, *own])

    def read(self, into: memoryview, offset: int) -> None:
        """Fill a buffer from a place of the image; both must be aligned to a page, or end with the image.

        Raises:
            DiskFaultError: The disk cannot be read; with the offset.
        """
        end = offset + len(into)
        at = offset
        for start, length, device in self._instead:
            first, last = max(at, start), min(end, start + length)
            if first >= last:
                continue
            self._from(self._media, into, offset, at, first, 0)
            self._from(device, into, offset, first, last, start)
            at = last
        self._from(self._media, into, offset, at, end, 0)
        for first, last in self.used.between(offset, end):
            into[first - offset : last - offset] = bytes(last - first)
        for place, content in self._put:
            first, last = max(offset, place), min(end, place + len(content))
            if first < last:
                into[first - offset : last - offset] = content[first - place : last - place]

    @staticmethod
    def _from(device: Media, into: memoryview, offset: int, start: int, end: int, origin: int) -> None:
        """Read from a device the part of the image between two places; the device begins at ``origin``."""
        if start < end:
            end = min(end, origin + device.size // device.block * device.block)
            length = up(end - start, device.block)
            device.read(into[start - offset : start - offset + length], start - origin)
