"""Reading a tar of a root file system, or of one layer of it, into a tree; what files hold goes to a spool.

Read from front to back. ``tarfile`` takes the headers apart; what they say is not believed: neither lengths,
nor sparse maps, nor names.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from typing import TYPE_CHECKING

from hostler.images.rootfs_tree import Kind, Node, Tree, TreeError
from hostler.images.store_errors import StoreFullError
from hostler.images.tar_feed import TarFeed, opened
from hostler.images.unpack import DamagedError
from hostler.model.store_room import kept_free
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

MOST_BYTES = 256 * 1024**3
"""Of all files together, holes too: what says it has more is a mistake or an attack."""
_PIECE = 256 * 1024
_ROOM_EVERY = 64 * 1024 * 1024  # bytes written between two looks at the free space
_FAN = 1000  # files of the spool in one folder
_XATTR = "SCHILY.xattr."
_XATTR_SPACES = ("user.", "security.", "trusted.")
_MOST_XATTRS = 3500  # bytes: attributes of a file share one block of 4096 in ext4
_XATTR_ENTRY = 22  # bytes of an attribute beside its name and value, both in steps of four
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MOST_ID = 2**32 - 2
_LATEST = 2**31 - 1
_USTAR = b"ustar"


def is_tar(head: bytes) -> bool:
    """Whether a stream's first 512 bytes are the header of a tar (POSIX.1-1988 or GNU), by its checksum."""
    if len(head) < tarfile.BLOCKSIZE or head[257:262] != _USTAR:
        return False
    try:
        stated = int(head[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return stated == sum(head[:148]) + 8 * ord(" ") + sum(head[156:512])


class Spool:
    """What files hold, each in a file of our own naming.

    Args:
        folder: Where; removed by the caller.
        beat: Called all the while; what it raises ends the work.

    Attributes:
        written: Bytes that its files take of the disk, without holes.
    """

    def __init__(self, folder: Path, beat: Callable[[], None]) -> None:
        self.folder = folder
        self.beat = beat
        self._count = 0
        self._bytes = 0
        self.written = 0
        self._until_look = 0

    def file(self, pieces: Iterable[bytes], mode: int = 0o644) -> Node:
        """Keep what a file of the tree holds, and return the file."""
        path, size, digest = self.keep(pieces)
        return Node(Kind.FILE, mode, size=size, content=path, digest=digest)

    def keep(self, pieces: Iterable[bytes]) -> tuple[Path, int, bytes]:
        """Write a file, zeros as holes; returns where it is, its length and its SHA-256.

        Raises:
            TreeError: It all has more bytes than any root file system.
            StoreFullError: The disk has no more room for it.
        """
        path = self.folder / str(self._count // _FAN) / str(self._count)
        self._count += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        zeros = bytes(_PIECE)
        digest = hashlib.sha256()
        with path.open("wb", buffering=0) as file:
            for piece in pieces:
                digest.update(piece)
                self._grow(len(piece))
                if piece == zeros[: len(piece)]:
                    file.seek(len(piece), 1)
                else:
                    file.write(piece)
                    self._look(len(piece))
                self.beat()
            size = file.tell()
            file.truncate(size)
        return path, size, digest.digest()

    def _grow(self, more: int) -> None:
        self._bytes += more
        if self._bytes > MOST_BYTES:
            raise TreeError(f"its files have more than {MOST_BYTES} bytes")

    def _look(self, written: int) -> None:
        self.written += written
        self._until_look -= written
        if self._until_look < 0:
            self._until_look = _ROOM_EVERY
            refuse_low(self.folder, _ROOM_EVERY)


def refuse_low(folder: Path, more: int) -> None:
    """Raise StoreFullError when so many bytes more in a folder would leave too little free."""
    disk = shutil.disk_usage(folder)
    kept = kept_free(disk.total)
    if disk.free - more < kept:
        raise StoreFullError(
            f"there is no room to make a disk of the root file system: {disk.free} bytes are free beside the "
            f"image store, of which {kept} are kept, and {more} are needed. Nothing was stored: remove "
            "images, or give it a larger file system"
        )


def read_tar(blocks: Iterator[bytes], tree: Tree, spool: Spool, *, layer: bool = False) -> None:
    """Put what a tar holds into a tree.

    Args:
        blocks: The plain tar; read to its end.
        tree: Where to.
        spool: Keeps what files hold.
        layer: It is one, and names that begin with ``.wh.`` take away what layers before it have (OCI image
            specification 1.0, layer.md); else they are names like others.

    Raises:
        TreeError: What it holds cannot be taken.
        DamagedError: It is no tar, or not whole.
    """
    if layer:
        tree.begin_layer()
    feed = TarFeed(blocks)
    try:
        with opened(feed) as archive:
            while True:
                feed.before_header()
                member = archive.next()
                archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                if member is None:
                    feed.at_end()
                    break
                feed.before_data()
                _take(archive, member, tree, spool, layer)
                spool.beat()
    except (tarfile.TarError, ValueError, OverflowError, IndexError) as error:
        raise DamagedError(f"tar: {error}") from error
    feed.drain(spool.beat)


def first_name(blocks: Iterator[bytes]) -> str | None:
    """Return what the first member of a tar is called; None: it is no tar."""
    try:
        with opened(TarFeed(blocks)) as archive:
            member = archive.next()
    except (tarfile.TarError, ValueError, OverflowError, IndexError, DamagedError):
        return None
    return None if member is None else str(member.name)


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, tree: Tree, spool: Spool, layer: bool) -> None:
    name = member.name
    if layer:
        above, _, last = name.rstrip("/").rpartition("/")
        if last == _OPAQUE:
            tree.hide_all(above)
            return
        if last.startswith(_WHITEOUT):
            tree.hide(f"{above}/{last.removeprefix(_WHITEOUT)}")
            return
    if member.islnk():
        tree.link(name, member.linkname)
        return
    node = _node(member)
    if node.kind is Kind.FILE and member.size:
        node.content, node.size, node.digest = spool.keep(_content(archive, member))
    tree.place(name, node)


def _node(member: tarfile.TarInfo) -> Node:
    kind = _KINDS.get(member.type)
    if kind is None:
        raise TreeError(f"{_shown(member)} is of a kind ({member.type!r}) that is not taken here")
    if not (0 <= member.uid <= _MOST_ID and 0 <= member.gid <= _MOST_ID):
        raise TreeError(f"{_shown(member)} belongs to a user or group that no Linux has")
    node = Node(
        kind, member.mode & 0o7777, member.uid, member.gid, max(0, min(int(member.mtime), _LATEST)),
        target=member.linkname if kind is Kind.SYMLINK else "", xattrs=_xattrs(member),
    )  # fmt: skip
    if kind in (Kind.CHARACTER, Kind.BLOCK):
        # Linux allows minor numbers of 20 bits, debugfs writes those of 16.
        if not (0 <= member.devmajor < 1 << 12 and 0 <= member.devminor < 1 << 16):
            raise TreeError(f"{_shown(member)} is a device with numbers that are not taken here")
        node.device = (member.devmajor, member.devminor)
    return node


_KINDS = {
    **dict.fromkeys(tarfile.REGULAR_TYPES, Kind.FILE),
    tarfile.DIRTYPE: Kind.DIRECTORY,
    tarfile.SYMTYPE: Kind.SYMLINK,
    tarfile.CHRTYPE: Kind.CHARACTER,
    tarfile.BLKTYPE: Kind.BLOCK,
    tarfile.FIFOTYPE: Kind.FIFO,
}


def _xattrs(member: tarfile.TarInfo) -> dict[str, bytes]:
    """Return the extended attributes that GNU tar, bsdtar and containers' tools write."""
    found: dict[str, bytes] = {}
    room = _MOST_XATTRS
    for key, value in member.pax_headers.items():
        name = key.removeprefix(_XATTR)
        if name == key or not name.startswith(_XATTR_SPACES):
            continue
        found[name] = value.encode("utf-8", "surrogateescape")
        room -= _XATTR_ENTRY + len(name) + len(found[name])
        if not re.fullmatch(r"[\x21-\x7e]{1,200}", name) or room < 0:
            raise TreeError(f"{_shown(member)} has attributes that ext4 has no room for")
    return found


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    sparse = getattr(member, "sparse", None) or ()
    at = 0
    for offset, length in sparse:
        if offset < at or length < 0 or offset + length > member.size:
            raise DamagedError(f"tar: the sparse map of {_shown(member)} is not one")
        at = offset + length
    if member.size > MOST_BYTES:
        raise TreeError(f"{_shown(member)} has {member.size} bytes")
    file = archive.extractfile(member)
    assert file is not None
    left = member.size
    while left:
        piece = file.read(min(_PIECE, left))
        if not piece:
            raise DamagedError(f"tar: {_shown(member)} ends too early")
        left -= len(piece)
        yield piece


def _shown(member: tarfile.TarInfo) -> str:
    return printable(member.name.encode("utf-8", "replace").decode(), 200)
