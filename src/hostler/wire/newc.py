"""The newc cpio format, as the Linux kernel unpacks it from an initramfs.

Source: Documentation/driver-api/early-userspace/buffer-format.rst in the kernel tree. Written
deterministically: the caller's entries in order of name, one time stamp for all, owner root.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
ALIGNMENT = 4
"""The kernel looks for the next archive of a chain at offsets that are multiples of this."""


class NewcError(ValueError):
    """An entry cannot be written: the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in the archive.

    Attributes:
        name: Path without a leading slash (``etc/hostler/boot.json``).
        mode: File type and permissions, as in ``st_mode``.
        data: Contents of a file or target of a symbolic link; empty otherwise.
        device: Major and minor number of a device node.
    """

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def file(name: str, data: bytes, mode: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(name, stat.S_IFREG | mode, data)


def directory(name: str, mode: int = 0o755) -> Entry:
    """A directory."""
    return Entry(name, stat.S_IFDIR | mode)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int, mode: int = 0o600) -> Entry:
    """A character device node."""
    return Entry(name, stat.S_IFCHR | mode, b"", (major, minor))


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """Add the directories that entries need and nobody listed: the kernel makes none by itself."""
    by_name: dict[str, Entry] = {}
    for entry in entries:
        if entry.name in by_name:
            raise NewcError(f'"{entry.name}" is listed twice')
        by_name[entry.name] = entry
    for name in list(by_name):
        parent = name.rpartition("/")[0]
        while parent:
            by_name.setdefault(parent, directory(parent))
            parent = parent.rpartition("/")[0]
    return list(by_name.values())


def write(entries: Iterable[Entry], mtime: int = 0) -> Iterator[bytes]:
    """The archive of ``entries`` in pieces, closed by its trailer and padded to ``ALIGNMENT``.

    Sorted by the parts of the path, so that a directory stands before what is in it.

    Args:
        entries: What to write; see `with_parents` for missing directories.
        mtime: Time stamp of every entry, seconds since 1970.

    Raises:
        NewcError: A name is absolute, empty, listed twice, or an entry is 4 GiB or more.
    """
    seen: set[str] = set()
    ordered = sorted(entries, key=lambda entry: entry.name.split("/"))
    for inode, entry in enumerate(ordered, start=1):
        if not entry.name or entry.name.startswith("/") or ".." in entry.name.split("/"):
            raise NewcError(f'"{entry.name}" is not a relative path inside the archive')
        if "\0" in entry.name:
            raise NewcError(f"{entry.name!r} holds a zero byte")
        if entry.name in seen:
            raise NewcError(f'"{entry.name}" is listed twice')
        if len(entry.data) >= 1 << 32:
            raise NewcError(f'"{entry.name}" is 4 GiB or more; the newc format cannot hold it')
        seen.add(entry.name)
        yield _header(entry, inode, mtime)
        if entry.data:
            yield entry.data
            yield _padding(len(entry.data))
    yield _header(Entry(_TRAILER, 0), 0, 0)


def archive(entries: Iterable[Entry], mtime: int = 0) -> bytes:
    """The archive of ``entries`` as one value; see `write`."""
    return b"".join(write(entries, mtime))


def _header(entry: Entry, inode: int, mtime: int) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.device
    fields = (inode, entry.mode, 0, 0, links, mtime, len(entry.data), 0, 0, major, minor, len(name), 0)
    head = _MAGIC + b"".join(b"%08X" % value for value in fields) + name
    return head + _padding(len(head))


def _padding(length: int) -> bytes:
    return b"\0" * (-length % ALIGNMENT)
