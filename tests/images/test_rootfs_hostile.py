"""A tar that lies or leads elsewhere is refused, or stays within its tree: nothing lands on the server."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

from hostler.images.bootable_disk import write_disk
from hostler.images.bootable_kernel import find_kernel
from hostler.images.importer import import_image
from hostler.images.rootfs_tar import Spool, read_tar
from hostler.images.rootfs_tree import Kind, Tree, TreeError
from hostler.images.source import SourceError
from hostler.images.store import ImageStore
from hostler.images.store_errors import StoreFullError
from hostler.images.unpack import DamagedError
from root_trees import Tar, bootable, kernel, terms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOMB = 160 << 20


def read(tar: bytes, folder: Path) -> Tree:
    """Read a tar into a tree."""
    tree = Tree()
    folder.mkdir(exist_ok=True)
    read_tar(iter([tar]), tree, Spool(folder, lambda: None))
    return tree


def header(change: Callable[[bytearray], None], name: str = "x", data: bytes = b"") -> bytes:
    """Make a tar of one member whose header was changed, its checksum right again."""
    tar = bytearray(Tar().add(name, data).bytes())
    change(tar)
    tar[148:156] = b" " * 8
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    return bytes(tar)


def field(start: int, value: bytes) -> Callable[[bytearray], None]:
    """Return what writes a field of a header."""

    def write(tar: bytearray) -> None:
        tar[start : start + len(value)] = value

    return write


def pax(text: bytes, kind: bytes = b"x") -> bytes:
    """Make a tar whose first header is a pax header of this text."""
    body = text.ljust(-(-len(text) // 512) * 512, b"\0")

    def change(tar: bytearray) -> None:
        tar[124:136] = b"%011o\0" % len(text)
        tar[156:157] = kind

    return header(change)[:512] + body + Tar().add("y").bytes()


LIES = {
    'leads outside it, by ".."': lambda: Tar().add("a/../../etc/cron.d/x", b"x").bytes(),
    "is a hard link to etc/shadow, which is no file": lambda: (
        Tar().link("x", "etc/shadow", tarfile.LNKTYPE).bytes()
    ),
    "etc/shadow leads outside": lambda: Tar().link("x", "../../etc/shadow", tarfile.LNKTYPE).bytes(),
    "lies in what is a file": lambda: Tar().add("a", b"x").add("a/b", b"x").bytes(),
    "leads to no directory": lambda: Tar().link("a", "/nowhere").add("a/b", b"x").bytes(),
    "leads to no directory ": lambda: Tar().link("a", "b").link("b", "a").add("a/c", b"x").bytes(),
    "line break": lambda: Tar().add("a\nrm <2>", b"x").bytes(),
    "the target of x has a line break": lambda: Tar().link("x", "y\nsif / mode 0").bytes(),
    "directories deep": lambda: Tar().add("d/" * 300 + "x").bytes(),
    "longer than 255 bytes": lambda: Tar().add("n" * 256).bytes(),
    "of a kind": lambda: header(field(156, b"V")),
    "numbers that are not taken": lambda: (
        Tar().add("d", type=tarfile.CHRTYPE, devmajor=1 << 13, devminor=0).bytes()
    ),
    "no room for": lambda: Tar().add("x", pax_headers={"SCHILY.xattr.user.big": "v" * 4000}).bytes(),
    "attributes that ext4 has no room for": lambda: (
        Tar().add("x", pax_headers={f"SCHILY.xattr.user.{n}": "v" for n in range(200)}).bytes()
    ),
    "has 1099511627776 bytes": lambda: header(field(124, b"\x80" + (1 << 40).to_bytes(11, "big"))),
}


@pytest.mark.parametrize("why", LIES)
def test_what_no_tree_has_is_refused(why: str, tmp_path: Path) -> None:
    """By its name, and with the reason."""
    with pytest.raises(TreeError, match=why.strip()):
        read(LIES[why](), tmp_path / "spool")
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


DAMAGED = {
    "a size that is negative": lambda: header(field(124, b"\xff" * 12), data=b"x"),
    "a header of the wrong sum": lambda: Tar().add("x", b"1" * 600).bytes()[:1536] + b"garbage " * 80,
    "a pax header of 16 MiB": lambda: pax(b"9" * 100 + b"\n" + bytes(16 << 20)),
    "a pax header that is one long number": lambda: pax(b"1" * 200_000),
    "a pax header of records that have no end": lambda: pax(b"2 " * 10_000 + b"="),
    "a pax header that ends within a record": lambda: pax(b"900 path=y\n"),
    "global headers for ever": lambda: (
        8 * pax(b"9009 k=" + b"v" * 9001 + b"\n", b"g")[:-10240] + Tar().add("y").bytes()
    ),
    "headers of headers for ever": lambda: 400 * pax(b"")[:512] + Tar().add("y").bytes(),
    "a sparse map beyond the file": lambda: (
        Tar().add("x", b"z" * 512, pax_headers={
            "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "x",
            "GNU.sparse.realsize": "1024", "GNU.sparse.map": "1048576,512",
        }).bytes()
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGED)
def test_lengths_that_lie_are_damage(what: str, tmp_path: Path) -> None:
    """At once: neither memory nor time goes by what a header claims."""
    with pytest.raises(DamagedError):
        read(DAMAGED[what](), tmp_path / "spool")


@pytest.mark.parametrize("end", [512, 1024, 1500, 2048])
def test_a_tar_that_ends_early_is_not_whole(end: int, tmp_path: Path) -> None:
    """Also where it ends between two members: the end mark is missing."""
    tar = Tar().add("x", b"1" * 600).add("y", b"2").bytes()
    with pytest.raises((EOFError, DamagedError)):
        read(tar[:end], tmp_path / "spool")


def test_links_lead_nowhere_but_into_the_tree(tmp_path: Path) -> None:
    """Absolute ones and those with many ``..`` stay below its root, as for a system that boots from it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    tar = Tar().folder("srv").link("abs", str(outside)).link("up", "../../../../srv")
    tar.folder(str(outside).lstrip("/")).add("abs/one", b"1").add("up/two", b"2").add("/etc/three", b"3")
    tree = read(tar.bytes(), tmp_path / "spool")
    assert list(outside.iterdir()) == []
    assert tree.holds(f"{outside}/one", Kind.FILE)
    assert tree.holds("srv/two", Kind.FILE)
    assert tree.holds("etc/three", Kind.FILE)


def test_a_bomb_of_zeros_takes_no_room(store_place: Path, tmp_path: Path) -> None:
    """Holes stay holes: zeros that gzip made next to nothing of need next to none of the disk."""
    tar = bootable().bytes()[:-1024]
    member = tarfile.TarInfo("zeros")
    member.size = BOMB
    with gzip.open(tmp_path / "bomb", "wb", compresslevel=1) as file:
        file.write(tar.rstrip(b"\0").ljust(-(-len(tar.rstrip(b"\0")) // 512) * 512, b"\0"))
        file.write(member.tobuf())
        for _ in range(BOMB >> 20):
            file.write(bytes(1 << 20))
        file.write(bytes(1024))
    store = ImageStore(store_place)
    most = 0

    def seen(_now: object) -> None:
        nonlocal most
        held = sum(path.stat().st_blocks * 512 for path in store.root.rglob("*") if path.is_file())
        most = max(most, held)

    made = import_image(tmp_path / "bomb", store, seen, disk=terms(tmp_path))
    assert made.size > BOMB
    assert most < 64 << 20


def test_a_version_is_a_word_of_the_loaders_configuration(tmp_path: Path) -> None:
    """A directory of modules is called what it likes; no loader's line is made of that."""
    for number, (name, version) in enumerate({"6.1": "6.1", "6.1 fdt": "", "6.1;x": ""}.items()):
        tar = Tar().add("boot/Image", kernel()).folder(f"usr/lib/modules/{name}")
        assert find_kernel(read(tar.bytes(), tmp_path / str(number)), "amd64").version == version


def test_what_is_read_whole_has_an_end(store_place: Path, tmp_path: Path) -> None:
    """A long fstab, which is a hole in a small tar, is not taken into memory."""
    sparse = {"GNU.sparse.size": str(64 << 20), "GNU.sparse.numblocks": "0"}
    (tmp_path / "tree").write_bytes(bootable().add("etc/fstab", pax_headers=sparse).bytes())
    with pytest.raises(SourceError, match="etc/fstab has 67108864 bytes"):
        import_image(tmp_path / "tree", ImageStore(store_place), disk=terms(tmp_path))


def test_a_disk_larger_than_the_room_is_not_begun(tmp_path: Path) -> None:
    """What files hold is written a second time: that must be free before any of it is."""
    spool, tree = Spool(tmp_path / "files", lambda: None), Tree()
    read_tar(iter([bootable().bytes()]), tree, spool)
    assert 0 < spool.written < 1 << 20
    spool.written = shutil.disk_usage(tmp_path).total
    with pytest.raises(StoreFullError, match="no room to make a disk"):
        write_disk(tmp_path / "disk", tree, terms(tmp_path), spool, tmp_path, lambda: None)
    assert not (tmp_path / "root").exists()


def test_too_many_bytes_are_refused(store_place: Path, tmp_path: Path) -> None:
    """A sparse file of a petabyte costs an error, and leaves nothing."""
    tar = bootable().add("x", b"z" * 512, pax_headers={
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "x",
        "GNU.sparse.realsize": str(1 << 50), "GNU.sparse.map": "0,512",
    })  # fmt: skip
    (tmp_path / "tree").write_bytes(tar.bytes())
    store = ImageStore(store_place)
    with pytest.raises(SourceError, match="has 1125899906842624 bytes"):
        import_image(tmp_path / "tree", store, disk=terms(tmp_path))
    assert list((store.root / "tmp").iterdir()) == []


@pytest.fixture
def store_place(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "store"
