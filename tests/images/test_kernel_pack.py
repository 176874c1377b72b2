"""A kernel put over a tree that has none."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest
import zstandard

from hostler.images.importer import import_image
from hostler.images.source import SourceError
from hostler.images.store import ImageStore
from root_trees import Disk, Tar, bootable, debugfs, kernel, terms

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = "6.9-mine"


def pack(arch: str = "amd64", modules: str = "lib/modules") -> Tar:
    """Return what ``make tar-pkg`` makes, with an initramfs: directories have members of their own."""
    tar = Tar().folder("boot").folder("lib").folder("lib/modules", 0o700)
    tar.add(f"boot/vmlinuz-{RELEASE}", kernel(arch)).add(f"boot/initrd.img-{RELEASE}", b"initramfs")
    return tar.add(f"{modules}/{RELEASE}/modules.dep", b"dep")


def made(tree: Tar, given: bytes, place: Path) -> Disk:
    """Import a tree with a kernel."""
    (place / "tree.tar").write_bytes(tree.bytes())
    (place / "kernel").write_bytes(given)
    store = ImageStore(place / "store")
    found = import_image(
        place / "tree.tar", store, disk=terms(place, "amd64", "x86-bios", kernel=place / "kernel")
    )
    return Disk.of(store, found.index, place / "disk")


def container() -> Tar:
    """Return a tree as a container has it."""
    return Tar().folder("./").folder("./etc").folder("./usr").folder("./usr/lib").folder("./bin")


@pytest.mark.parametrize("modules", ["lib/modules", "usr/lib/modules"])
@pytest.mark.parametrize("merged", [True, False])
def test_modules_are_where_modprobe_looks(tmp_path: Path, modules: str, merged: bool) -> None:
    """Below /lib of the tree, whether that is a link or a directory; neither is turned into the other."""
    tree = container().link("./lib", "usr/lib") if merged else container().folder("./lib", 0o711)
    disk = made(tree, zstandard.compress(pack(modules=modules).bytes()), tmp_path)
    root = disk.root()
    assert debugfs(root, f"cat {'/usr' if merged else ''}/lib/modules/{RELEASE}/modules.dep") == "dep"
    kind = debugfs(root, "stat /lib").split("Type:")[1].split()[0]
    assert kind == ("symlink" if merged else "directory")
    cfg = disk.fat_file(2, "grub/grub.cfg").decode()
    assert f"linux /boot/vmlinuz-{RELEASE} " in cfg
    assert f"initrd /boot/initrd.img-{RELEASE}\n" in cfg


def test_the_kernel_that_is_given_is_started(tmp_path: Path) -> None:
    """Though the tree has another one, whose name follows updates."""
    tree = bootable().link("./vmlinuz", "boot/vmlinuz-6.1").link("./initrd.img", "boot/initrd.img-6.1")
    disk = made(tree, pack().bytes(), tmp_path)
    assert f"linux /boot/vmlinuz-{RELEASE} " in disk.fat_file(2, "grub/grub.cfg").decode()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pack("arm64").bytes(), "in the kernel that came with it: its kernel .* is for arm64, not amd64"),
        (container().bytes(), "in the kernel that came with it: it has no kernel"),
        (b"no tar at all" * 100, "the kernel that came with it: tar: "),
        (pack().bytes()[:9000], "the kernel that came with it: tar: unexpected end"),
        (Tar().add("../vmlinuz", b"x").bytes(), "the kernel that came with it: .* leads outside"),
    ],
)
def test_what_is_no_kernel_is_refused(tmp_path: Path, given: bytes, words: str) -> None:
    """It is said that the kernel is at fault, not the tree, and nothing is kept."""
    with pytest.raises(SourceError, match=words):
        made(container(), given, tmp_path)
    assert not list((tmp_path / "store/tmp").iterdir())


def test_a_disk_has_its_own_kernel(tmp_path: Path) -> None:
    """A kernel that is given for what is no tar is not left out in silence."""
    (tmp_path / "disk.raw").write_bytes(b"x" * 4096)
    with tarfile.open(tmp_path / "kernel", "w"):
        pass
    given = terms(tmp_path, "amd64", "x86-bios", kernel=tmp_path / "kernel")
    with pytest.raises(SourceError, match="its kernel"):
        import_image(tmp_path / "disk.raw", ImageStore(tmp_path / "store"), disk=given)
