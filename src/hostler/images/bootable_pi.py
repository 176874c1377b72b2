"""A root file system made into a disk for a Raspberry Pi: MBR, a FAT that its firmware reads, and the root.

The firmware reads ``config.txt``, and what that names, from the first FAT (Raspberry Pi documentation, "The
boot folder" and "config.txt"). A tree that has all this in ``/boot/firmware``, as Raspberry Pi OS and Ubuntu
have, keeps it. Of one that has Debian's package ``raspi-firmware`` alone, the same is made as by its hook.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from typing import TYPE_CHECKING

from hostler.images import disk_file
from hostler.images.bootable_disk import Identity, device_trees, fat_uuid, place_fstab, root_size
from hostler.images.bootable_kernel import Kernel, find_kernel
from hostler.images.disk_file import MIB, DiskPart
from hostler.images.rootfs_ext4 import write_ext4
from hostler.images.rootfs_tar import refuse_low
from hostler.images.rootfs_tree import Kind, Node, Tree, TreeError
from hostler.images.system_tool import SystemTool
from hostler.model.platform import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hostler.images.rootfs_tar import Spool
    from hostler.model.bootable import DiskTerms

PI_PLATFORMS = ("raspberrypi3", "raspberrypi4", "raspberrypi5")
"""Boards whose firmware reads such a disk; one disk may be for all of them."""
_FIRMWARE = "boot/firmware"
_PACKAGED = "usr/lib/raspi-firmware"
_CONFIG, _CMDLINE = "config.txt", "cmdline.txt"
_KERNEL, _INITRD = "vmlinuz", "initrd.img"
_DEFAULT_KERNELS = ("kernel8.img", "kernel_2712.img")
"""What a 64-bit firmware starts when ``config.txt`` names nothing."""
_SETTING = re.compile(r"(kernel|os_prefix|cmdline)=(\S+)\s*\Z")
_NAME = re.compile(r"[A-Za-z0-9._+~@-]+(?:/[A-Za-z0-9._+~@-]+)*\Z")
"""What mtools takes as it is."""
_ROOT_WORDS = ("root=", "rootfstype=", "rootwait", "ro", "rw")
_LEAST_BOOT = 256 * MIB  # of FAT32, which begins at 65 525 clusters, and for the next kernel beside this one
_MOST_FILES, _MOST_BOOT = (
    5000,
    2048 * MIB,
)  # Raspberry Pi OS has 400 files of 80 MiB; each is a call of mtools
_CLUSTER = 32 * 1024  # the largest that a FAT32 has
_MOST_TEXT = 64 * 1024  # bytes of config.txt and of cmdline.txt


def write_pi_disk(
    path: Path, tree: Tree, terms: DiskTerms, spool: Spool, scratch: Path, beat: Callable[[], None],
    given: Kernel | None = None,
) -> None:  # fmt: skip
    """Make a disk that boots a root file system on Raspberry Pis.

    Args:
        path: Of the disk's file.
        tree: The root file system; what is for the firmware is taken out of it.
        terms: What it is to boot on.
        spool: Keeps files that are made.
        scratch: Folder for what is needed meanwhile.
        beat: Called all the while; what it raises ends the work.
        given: The kernel that is to be started; None: the one that the tree's ``config.txt`` or names tell.

    Raises:
        StoreFullError: There is no room for it.
        TreeError: The tree lacks what it would boot with, or does not fit.
        ToolError: A program is missing or failed.
    """

    def watch() -> None:
        refuse_low(scratch, 0)  # others write there too
        beat()

    tool = SystemTool(watch)
    identity = Identity(hashlib.sha256(tree.digest() + repr(terms.append).encode()).digest())
    disk, serial, root = identity.word("disk"), identity.word("boot"), identity.guid("root")
    files = _firmware(tree, terms)
    # The kernel itself knows no file system's UUID, and with an MBR a partition's id is this.
    where = f"root=PARTUUID={disk}-02 rootfstype=ext4 rootwait"
    config = _text(files, _CONFIG)
    if given is None and (prefix := _started_by(config, files)) is not None:
        name = prefix + (_settings(config).get("cmdline") or [_CMDLINE])[-1]
        kept = [word for word in _text(files, name).split() if not word.startswith(_ROOT_WORDS[:2])]
        words = [*(word for word in kept if word not in _ROOT_WORDS), where, terms.append]
        files[name] = spool.file([(" ".join(" ".join(words).split()) + "\n").encode()])
    else:
        kernel = given or find_kernel(tree, terms.arch)
        if kernel.initrd:
            where = f"root=UUID={root} rootfstype=ext4"  # every initramfs finds it by that
        files |= _started(tree, kernel, config, where, terms, spool)
    _clear(tree)
    place_fstab(
        tree,
        {
            "/": f"UUID={root} / ext4 errors=remount-ro 0 1",
            f"/{_FIRMWARE}": f"UUID={fat_uuid(serial)} /{_FIRMWARE} vfat umask=0077,nofail 0 2",
        },
        spool,
    )
    fat = scratch / "boot"
    content = sum(-(-node.size // _CLUSTER) * _CLUSTER for node in files.values())
    if len(files) > _MOST_FILES or content > _MOST_BOOT:
        raise TreeError(f"/{_FIRMWARE} has more than {_MOST_FILES} files, or than {_MOST_BOOT} bytes")
    room = max(_LEAST_BOOT, -(-2 * content // MIB) * MIB)
    boot = DiskPart("boot", disk_file.MBR_FAT32, room, "", fat, bootable=True)
    disk_file.fat(fat, room, "FIRMWARE", serial, _paths(files, spool), tool, bits=32)
    size = root_size(tree, terms.size, disk_file.disk_size([boot]))
    refuse_low(scratch, spool.written)
    write_ext4(scratch / "root", size, "root", root, tree, scratch, tool, watch)
    shutil.rmtree(spool.folder, ignore_errors=True)  # its room is needed
    parts = [boot, DiskPart("root", disk_file.MBR_LINUX, size, "", scratch / "root")]
    disk_file.assemble(path, parts, f"0x{disk}", tool, watch)
    (scratch / "root").unlink()


def _firmware(tree: Tree, terms: DiskTerms) -> dict[str, Node]:
    """Return what the firmware is to find, by its path in the FAT."""
    files = dict(_files(tree, tree.find(_FIRMWARE), _FIRMWARE))
    wanted = {name for platform in terms.platforms for name in PLATFORMS[platform].firmware_files}
    if wanted - files.keys():
        files = {**dict(_files(tree, tree.find(_PACKAGED), _PACKAGED)), **files}
    if absent := sorted(wanted - files.keys()):
        raise TreeError(
            f"it lacks the firmware of a Raspberry Pi: {absent[0]} is neither in /{_FIRMWARE} nor in "
            f"/{_PACKAGED}; install the package raspi-firmware in the tree (Debian: component "
            "non-free-firmware), or import it with --kernel debian, which brings it"
        )
    return files


def _files(tree: Tree, folder: Node | None, path: str) -> Iterator[tuple[str, Node]]:
    """Yield the files below a directory by their paths below it, links within the tree followed."""
    pending = [("", folder)] if folder is not None else []
    while pending:
        above, directory = pending.pop()
        assert directory is not None
        for name, node in sorted(directory.children.items()):
            found = tree.find(f"{path}/{above}{name}") if node.kind is Kind.SYMLINK else node
            if found is None:
                continue
            if found.kind is Kind.FILE:
                yield f"{above}{name}", found
            elif node.kind is Kind.DIRECTORY:
                pending.append((f"{above}{name}/", node))


def _settings(config: str) -> dict[str, list[str]]:
    """Return what ``config.txt`` says of the kernel, in whichever of its sections."""
    found: dict[str, list[str]] = {}
    for line in config.splitlines():
        if match := _SETTING.match(line.strip()):
            found.setdefault(match[1], []).append(match[2])
    return found


def _started_by(config: str, files: dict[str, Node]) -> str | None:
    """Return the ``os_prefix`` with which the tree's own ``config.txt`` starts a kernel; None: none."""
    settings = _settings(config)
    kernels = (*settings.get("kernel", ()), *_DEFAULT_KERNELS)
    prefixes = (*settings.get("os_prefix", ()), "")
    return next((one for one in prefixes if any(f"{one}{name}" in files for name in kernels)), None)


def _started(
    tree: Tree, kernel: Kernel, config: str, where: str, terms: DiskTerms, spool: Spool
) -> dict[str, Node]:
    """Return a kernel with what it needs, and the two files by which the firmware starts it."""
    image = tree.find(kernel.path)
    assert image is not None
    files = {_KERNEL: image, **_device_trees(tree, kernel.version, terms)}
    lines = ["arm_64bit=1", "enable_uart=1", "upstream_kernel=1", f"kernel={_KERNEL}"]
    if kernel.initrd:
        initrd = tree.find(kernel.initrd)
        assert initrd is not None
        files[_INITRD] = initrd
        lines.append(f"initramfs {_INITRD} followkernel")
    # What the tree says besides (overlays, memory of the GPU) stays; a section may be open at its end.
    before = f"{config.rstrip()}\n[all]\n" if config.strip() else ""
    consoles = dict.fromkeys(f"console={PLATFORMS[name].console}" for name in terms.platforms)
    cmdline = " ".join(f"console=tty0 {' '.join(consoles)} {where} ro {terms.append}".split())
    files[_CONFIG] = spool.file([(before + "\n".join(lines) + "\n").encode()])
    files[_CMDLINE] = spool.file([cmdline.encode() + b"\n"])
    return files


def _device_trees(tree: Tree, version: str, terms: DiskTerms) -> dict[str, Node]:
    """Return the device trees of the boards, and the kernel's overlays; the firmware picks its own."""
    places = [device_trees(tree, version).strip("/"), f"usr/lib/firmware/{version}/device-tree"]
    found: dict[str, Node] = {}
    for place in (inner for one in places if one for inner in (f"{one}/broadcom", one)):
        overlays = _files(tree, tree.find(f"{place}/overlays"), f"{place}/overlays")
        found |= {f"overlays/{name}": node for name, node in overlays}
        for name in tree.names(place):
            node = tree.find(f"{place}/{name}")
            if name.endswith(".dtb") and node is not None and node.kind is Kind.FILE:
                found.setdefault(name, node)
    for platform in terms.platforms:
        begins = PLATFORMS[platform].device_trees
        if begins and not any(name.startswith(begins) for name in found):
            raise TreeError(
                f"its kernel has no device tree {begins}….dtb, without which no {platform} starts it; take a "
                "kernel that knows the board (of Debian the linux-image-arm64 of a newer release)"
            )
    wanted = tuple(PLATFORMS[platform].device_trees for platform in terms.platforms)
    return {name: node for name, node in found.items() if name.startswith((*wanted, "overlays/"))}


def _clear(tree: Tree) -> None:
    """Leave the place where the FAT is mounted empty."""
    firmware = tree.find(_FIRMWARE)
    if firmware is not None and firmware.kind is Kind.DIRECTORY:
        firmware.children.clear()
    else:
        tree.place(_FIRMWARE, Node(Kind.DIRECTORY))


def _paths(files: dict[str, Node], spool: Spool) -> dict[str, Path]:
    """Return where the content of each file is; raises TreeError for a name that a FAT here does not take."""
    empty, _, _ = spool.keep([])
    for name in files:
        if not _NAME.match(name):
            raise TreeError(f"/{_FIRMWARE}/{name[:200]!r} has a name that is not taken here")
    return {name: node.content or empty for name, node in files.items()}


def _text(files: dict[str, Node], name: str) -> str:
    node = files.get(name)
    return "" if node is None else node.text(f"{_FIRMWARE}/{name}", _MOST_TEXT).decode("utf-8", "replace")
