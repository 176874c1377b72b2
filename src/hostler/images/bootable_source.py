"""What an import does with a tar: a root file system, or a container's image, becomes the bytes of a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.images import bootable_disk, oci_layout
from hostler.images.bootable_pi import PI_PLATFORMS, write_pi_disk
from hostler.images.kernel_pack import put_over, read_kernel_pack
from hostler.images.rootfs_tar import Spool, read_tar
from hostler.images.rootfs_tree import Kind, Tree, TreeError
from hostler.images.unpack import OUTPUT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hostler.model.bootable import DiskTerms

_INSTALLER = ("image.toml",)
_KIWI = "pxeboot."


def disk_of(
    archive: Iterator[bytes], terms: DiskTerms, scratch: Path, beat: Callable[[], None]
) -> Iterator[bytes]:
    """Yield the disk that a tar is made into.

    Args:
        archive: The plain tar.
        terms: What the disk is to boot on.
        scratch: Folder for everything meanwhile; removed by the caller.
        beat: Called all the while; what it raises ends the work.

    Raises:
        TreeError: It cannot become one; the text says why.
        ToolError: A program is missing on the server, or failed.
        DamagedError, EOFError: It is not whole.
    """
    _check(terms)
    place = scratch / "tree"
    place.mkdir(parents=True)
    spool = Spool(place / "files", beat)
    spool.folder.mkdir()
    tree = Tree()
    read_tar(archive, tree, spool)
    if oci_layout.is_layout(tree):
        tree = oci_layout.root_file_system(tree, terms.arch, spool)
    _refuse_others(tree)
    kernel = None
    if terms.kernel is not None:
        pack, kernel = read_kernel_pack(terms.kernel, terms.arch, spool)
        put_over(tree, pack)
    disk = place / "disk"
    write = write_pi_disk if _for_pi(terms) else bootable_disk.write_disk
    write(disk, tree, terms, spool, place, beat, kernel)
    with disk.open("rb") as file:
        while data := file.read(OUTPUT_LIMIT):
            yield data
    disk.unlink()


def _for_pi(terms: DiskTerms) -> bool:
    return any(name in PI_PLATFORMS for name in terms.platforms)


def _check(terms: DiskTerms) -> None:
    """Raise TreeError, before anything is read, when the disk could not be made in the end."""
    bootable_disk.check_append(terms.append)
    known = (*bootable_disk.PLATFORMS, *PI_PLATFORMS)
    if others := [name for name in terms.platforms if name not in known]:
        raise TreeError(
            f"a root file system is made into a disk for {', '.join(known)}, not for {others[0]}; import a "
            "whole image for that"
        )
    if _for_pi(terms):
        if others := [name for name in terms.platforms if name not in PI_PLATFORMS]:
            raise TreeError(
                f"a disk for a Raspberry Pi has another table than one for {others[0]}; import it twice"
            )
        return
    absent = [name for name in bootable_disk.needed_loaders(terms) if name not in terms.loaders]
    if absent:
        raise TreeError(
            f"a root file system becomes a disk with the loaders of the agent for {terms.arch}, and "
            f"{absent[0]} is not registered; run: hostler agent build --arch {terms.arch}"
        )


def _refuse_others(tree: Tree) -> None:
    """Raise TreeError for a tar that is known, and holds no root file system."""
    names = tree.names("")
    if any(name in _INSTALLER or name.startswith(_KIWI) for name in names):
        raise TreeError("it is a system that comes over the network; import it with --kind netboot")
    if not any(tree.holds(place, Kind.DIRECTORY) for place in ("etc", "usr", "bin", "sbin", "lib")):
        there = ", ".join(names[:5]) or "nothing"
        raise TreeError(f"it holds {there}, and no root file system; give a disk image without a tar")
