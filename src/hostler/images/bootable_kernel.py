"""Which kernel of a root file system is to be started, and with which initramfs: found in the tree itself."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.images.rootfs_tree import Kind, Node, Tree, TreeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAIRS = (
    # Links that follow every update: Debian's, Ubuntu's, openSUSE's.
    ("vmlinuz", ("initrd.img",)),
    ("boot/vmlinuz", ("boot/initrd.img", "boot/initrd")),
    # Names that every update keeps: Alpine's, Arch's.
    *((f"boot/vmlinuz-{name}", (f"boot/initramfs-{name}", f"boot/initramfs-{name}.img")) for name in
      ("lts", "virt", "linux", "linux-lts")),
)  # fmt: skip
_VERSIONED = re.compile(r"(?:vmlinuz|vmlinux|kernel|Image|bzImage)-(.+)\Z")
_PLAIN = ("boot/Image", "boot/bzImage", "boot/kernel", "boot/vmlinux")
_SAFE = re.compile(r"[A-Za-z0-9._+~/-]+\Z")
"""What a path may have that goes into the configuration of GRUB and of U-Boot unquoted."""
_HEAD = 4096
_MOST_BUILTIN = 4 * 1024 * 1024  # bytes of modules.builtin, which has some ten thousand
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Kernel:
    """What is started.

    Attributes:
        path: Of the kernel, from the root, with a slash before it.
        initrd: Of its initramfs; empty: it needs none.
        version: Its release, if its name tells it.
    """

    path: str
    initrd: str
    version: str = ""


def find_kernel(tree: Tree, arch: str) -> Kernel:
    """Return the kernel to start: one whose name follows updates, else the newest.

    Raises:
        TreeError: There is none, it is for another architecture, or lacks its initramfs.
    """
    for path, initrds, version in _candidates(tree):
        kernel = tree.find(path)
        if kernel is None or kernel.kind is not Kind.FILE or not kernel.size or not _SAFE.match(path):
            continue
        _check_arch(kernel, path, arch)
        version = version or _version_behind(tree, path)
        found = [one for one in initrds if tree.holds(one, Kind.FILE) and _SAFE.match(one)]
        if not found and _needs_initrd(tree, version):
            raise TreeError(
                f"its kernel {path} finds no disk without an initramfs, and there is no "
                f"{' or '.join(initrds[:2]) or 'initramfs'}; make one in the tree (update-initramfs, dracut)"
            )
        return Kernel(f"/{path}", f"/{found[0]}" if found else "", version)
    raise TreeError(
        "it has no kernel: neither boot/vmlinuz-… nor usr/lib/modules/…/vmlinuz nor a link to one; install "
        "one in the tree (Debian: linux-image-amd64 or linux-image-arm64) and pack it again, or import it "
        "with --kernel debian"
    )


def _candidates(tree: Tree) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield kernels that there may be, the best first: path, possible paths of an initramfs, version."""
    for path, initrds in _PAIRS:
        yield path, initrds, ""
    versions = [(name, match[1]) for name in tree.names("boot") if (match := _VERSIONED.match(name))]
    for name, version in sorted(versions, key=lambda one: _order(one[1]), reverse=True):
        yield f"boot/{name}", tuple(f"boot/{initrd}" for initrd in _initrds(version)), version
    for version in sorted(tree.names("usr/lib/modules"), key=_order, reverse=True):
        place = f"usr/lib/modules/{version}"
        beside = (f"{place}/initramfs.img", f"{place}/initrd")
        yield f"{place}/vmlinuz", (*beside, *(f"boot/{initrd}" for initrd in _initrds(version))), version
    for path in _PLAIN:
        yield path, ("boot/initrd.img", "boot/initrd", "boot/initramfs", "boot/initramfs.img"), ""


def _initrds(version: str) -> tuple[str, ...]:
    return (
        f"initrd.img-{version}", f"initramfs-{version}.img", f"initrd-{version}", f"initramfs-{version}",
        f"initrd-{version}.img",
    )  # fmt: skip


def _order(version: str) -> list[tuple[int, str]]:
    """A key by which 6.10 comes after 6.9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", version) if part]


def _version_behind(tree: Tree, path: str) -> str:
    """Find the version of a kernel that has a name without: another name leads to the same file."""
    kernel = tree.find(path)
    for name in tree.names("boot"):
        match = _VERSIONED.match(name)
        if match and _SAFE.match(match[1]) and tree.find(f"boot/{name}") is kernel:
            return match[1]
    versions = [
        name for name in tree.names("usr/lib/modules") or tree.names("lib/modules") if _SAFE.match(name)
    ]
    return versions[0] if len(versions) == 1 else ""


def _needs_initrd(tree: Tree, version: str) -> bool:
    """Whether ext4 is a module of a kernel: then it cannot mount the root by itself. Unknown counts as no."""
    for place in (f"usr/lib/modules/{version}", f"lib/modules/{version}"):
        built_in = tree.find(f"{place}/modules.builtin") if version else None
        if built_in is not None and built_in.content is not None:
            return b"/ext4.ko" not in built_in.text(f"{place}/modules.builtin", _MOST_BUILTIN)
    return False


def _check_arch(kernel: Node, path: str, arch: str) -> None:
    """Raise TreeError for a kernel that says to be for another architecture."""
    assert kernel.content is not None
    with kernel.content.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_GZIP):
        try:
            with gzip.open(kernel.content) as packed:
                head = packed.read(_HEAD)
        except (OSError, EOFError):
            head = b""
    # Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst of Linux; a zboot image (EFI)
    # of arm64 says "zimg" and its machine is in the PE header.
    found = "amd64" if head[0x202:0x206] == b"HdrS" else "arm64" if head[0x38:0x3C] == b"ARM\x64" else None
    if found is None and head[:2] == b"MZ":
        place = int.from_bytes(head[0x3C:0x40], "little")
        found = {b"\x64\xaa": "arm64", b"\x64\x86": "amd64"}.get(head[place + 4 : place + 6])
    if found != arch:
        raise TreeError(f"its kernel {path} is " + (f"for {found}, not {arch}" if found else "no kernel"))
