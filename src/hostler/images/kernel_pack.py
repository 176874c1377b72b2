"""A kernel with its modules put over a root file system that has none, as most containers' trees have.

It comes as a tar with ``boot/vmlinuz-VERSION``, its initramfs and ``lib/modules/VERSION``: what ``hostler``
makes of Debian's package, and what Linux' own ``make tar-pkg`` makes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.images.bootable_kernel import Kernel, find_kernel
from hostler.images.rootfs_tar import Spool, read_tar
from hostler.images.rootfs_tree import Kind, Node, Tree, TreeError
from hostler.images.source import Source
from hostler.images.unpack import DamagedError

if TYPE_CHECKING:
    from pathlib import Path

_MODULES = "lib/modules"


def read_kernel_pack(path: Path, arch: str, spool: Spool) -> tuple[Tree, Kernel]:
    """Read a tar, compressed in any way or not; returns what it holds, and the kernel in it to be started.

    Raises:
        TreeError: It has no kernel for the architecture, or the kernel lacks its initramfs.
        SourceError: It is damaged.
    """
    pack = Tree()
    with path.open("rb", buffering=0) as file:
        source = Source("the kernel", path.stat().st_size, file.read)
        # What blocks() says of its own errors names the source; those of the tar would speak of the root.
        try:
            read_tar(source.blocks(beat=spool.beat), pack, spool)
        except (TreeError, DamagedError) as error:
            raise TreeError(f"the kernel that came with it: {error}") from None
        except EOFError:
            raise TreeError("the kernel that came with it ends too early") from None
    try:
        kernel = find_kernel(pack, arch)
    except TreeError as error:
        raise TreeError(f"in the kernel that came with it: {error}") from None
    return pack, replace(
        kernel, path=f"/{_place(kernel.path)}", initrd=kernel.initrd and f"/{_place(kernel.initrd)}"
    )


def put_over(tree: Tree, pack: Tree) -> None:
    """Put what a kernel's tar holds into a tree, whose directories stay as they are.

    Modules go where the tree's ``/lib/modules`` is, whether ``/lib`` is a directory of its own or a link to
    ``/usr/lib``: there every ``modprobe`` looks for them.
    """
    for path, node in pack.walk():
        place = _place(path)
        if node.kind is not Kind.DIRECTORY:
            tree.place(place, node)
        elif not tree.holds(place, Kind.DIRECTORY):
            tree.place(place, Node(Kind.DIRECTORY, node.mode, node.uid, node.gid, node.mtime))


def _place(path: str) -> str:
    inner = path.lstrip("/")
    merged = f"usr/{_MODULES}"
    return _MODULES + inner.removeprefix(merged) if f"{inner}/".startswith(f"{merged}/") else inner
