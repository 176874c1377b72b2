"""A root file system made into a disk that boots: what is on which partition, and which loader starts it.

amd64: one disk for BIOS and UEFI. GRUB is embedded for the one and lies on the EFI system partition, signed,
for the other; both read the kernel from the root file system. arm64: the same for UEFI, and U-Boot finds
``extlinux.conf`` in the root.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.images import disk_file
from hostler.images.bootable_config import extlinux_conf, fstab, grub_cfg
from hostler.images.bootable_kernel import Kernel, find_kernel
from hostler.images.disk_file import MIB, DiskPart
from hostler.images.rootfs_ext4 import needed, room_for, write_ext4
from hostler.images.rootfs_tar import refuse_low
from hostler.images.rootfs_tree import Kind, Tree, TreeError
from hostler.images.system_tool import SystemTool
from hostler.model.bootable import DISK_BOOT_SECTOR, DISK_CORE, UEFI_GRUB, UEFI_SHIM, DiskTerms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hostler.images.rootfs_tar import Spool

PLATFORMS = ("x86-bios", "x86-uefi", "arm64-uefi", "arm64-uboot")
"""What such a disk can be made for."""
_NAMESPACE = uuid.UUID("3c1f5a86-2f0d-4b7e-9a51-8f6d0c2e7b19")
_ESP = 64 * MIB  # loaders take 4; the rest is for what a running system puts there
_GRAIN = 64 * MIB
_MOST_FSTAB = MIB  # bytes; hundreds of mounts have some ten thousand
_REMOVABLE = {"amd64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI"}
_BESIDE_SHIM = {"amd64": "grubx64.efi", "arm64": "grubaa64.efi"}
_APPEND = re.compile(r"[\x20-\x7e]*\Z")
_SPECIAL = "'\"\\$`"
# No console= for arm64: its device tree, or its firmware's table SPCR, names the console, and a name that the
# board has not would leave it with none.
_CONSOLES = {"amd64": "console=tty0 console=ttyS0,115200", "arm64": ""}


@dataclass(frozen=True, slots=True)
class Identity:
    """Ids of a disk and what is on it, made of what it holds: the same tree gives the same disk."""

    seed: bytes

    def guid(self, what: str) -> str:
        """Return the UUID of something."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.seed.hex()} {what}"))

    def word(self, what: str) -> str:
        """Return eight hexadecimal digits for something, not all zeros."""
        return hashlib.sha256(self.seed + what.encode()).hexdigest()[:7] + "1"


def check_append(words: str) -> None:
    """Raise TreeError for what cannot be put on a kernel's command line by every loader."""
    if not _APPEND.match(words) or any(sign in words for sign in _SPECIAL):
        raise TreeError(f"what is appended to the command line may be plain text without any of {_SPECIAL}")


def needed_loaders(terms: DiskTerms) -> tuple[str, ...]:
    """Return the names of the agent's files that the disk's loaders are."""
    names: list[str] = []
    if _wants(terms, "x86-bios"):
        names += [DISK_CORE, DISK_BOOT_SECTOR]
    if _wants(terms, "x86-uefi", "arm64-uefi"):
        names += [UEFI_SHIM[terms.arch], UEFI_GRUB[terms.arch]]
    return tuple(names)


def write_disk(
    path: Path, tree: Tree, terms: DiskTerms, spool: Spool, scratch: Path, beat: Callable[[], None],
    given: Kernel | None = None,
) -> None:  # fmt: skip
    """Make a disk that boots a root file system.

    Args:
        path: Of the disk's file.
        tree: The root file system; it gets the files by which it boots.
        terms: What it is to boot on.
        spool: Keeps those files.
        scratch: Folder for what is needed meanwhile.
        beat: Called all the while; what it raises ends the work.
        given: The kernel in the tree that is to be started; None: the one that is found there.

    Raises:
        StoreFullError: There is no room for it.
        TreeError: The tree lacks what it would boot with, or does not fit.
        ToolError: A program is missing or failed.
    """

    def watch() -> None:
        refuse_low(scratch, 0)  # others write there too
        beat()

    tool = SystemTool(watch)
    kernel = given or find_kernel(tree, terms.arch)
    identity = Identity(hashlib.sha256(tree.digest() + repr((terms.size, terms.append)).encode()).digest())
    root, part = identity.guid("root"), identity.guid("root partition")
    cmdline = _cmdline(kernel, root, part, terms)
    if _wants(terms, "arm64-uboot"):
        conf = extlinux_conf(kernel, cmdline, device_trees(tree, kernel.version))
        tree.place("boot/extlinux/extlinux.conf", spool.file([conf.encode()]))
    before = []
    if needed_loaders(terms):
        esp = scratch / "esp"
        serial = _serial(identity)
        _esp(esp, serial, kernel, root, cmdline, terms, spool, tool)
        before.append(DiskPart("esp", disk_file.TYPE_EFI_SYSTEM, _ESP, identity.guid("esp"), esp))
    _mount(tree, root, _serial(identity) if before else "", spool)
    if _wants(terms, "x86-bios"):
        before.insert(0, DiskPart("bios", disk_file.TYPE_BIOS_BOOT, MIB, identity.guid("bios")))
    size = root_size(tree, terms.size, disk_file.disk_size(before))
    refuse_low(scratch, spool.written)
    write_ext4(scratch / "root", size, "root", root, tree, scratch, tool, watch)
    shutil.rmtree(spool.folder, ignore_errors=True)  # its room is needed
    # U-Boot looks for its configuration where this mark is first.
    last = DiskPart(
        "root", disk_file.TYPE_LINUX, size, part, scratch / "root", bootable=terms.arch == "arm64"
    )
    disk_file.assemble(path, [*before, last], identity.guid("disk"), tool, watch)
    if _wants(terms, "x86-bios"):
        sector, core = (terms.loaders[name].read_bytes() for name in (DISK_BOOT_SECTOR, DISK_CORE))
        disk_file.embed(path, sector, core, disk_file.starts(before)[0], MIB)
    (scratch / "root").unlink()


def _wants(terms: DiskTerms, *platforms: str) -> bool:
    arch = {"x86": "amd64", "arm64": "arm64"}
    return any(
        name in terms.platforms if terms.platforms else arch[name.partition("-")[0]] == terms.arch
        for name in platforms
    )


def _cmdline(kernel: Kernel, root: str, part: str, terms: DiskTerms) -> str:
    # Only an initramfs finds a file system by its UUID.
    where = f"root=UUID={root}" if kernel.initrd else f"root=PARTUUID={part} rootwait"
    words = f"{where} rootfstype=ext4 ro {_CONSOLES[terms.arch]} {terms.append}"
    return " ".join(words.split())


def device_trees(tree: Tree, version: str) -> str:
    """Return the folder of a kernel's device trees, as Debian, Fedora, Armbian and others place it."""
    versioned = (f"usr/lib/linux-image-{version}", f"boot/dtbs/{version}", f"boot/dtb-{version}",
                 f"usr/lib/modules/{version}/dtb") if version else ()  # fmt: skip
    for place in (*versioned, "boot/dtb", "boot/dtbs"):
        if tree.holds(place, Kind.DIRECTORY):
            return f"/{place}"
    return ""


def _serial(identity: Identity) -> str:
    return identity.word("esp")


def _esp(
    path: Path, serial: str, kernel: Kernel, root: str, cmdline: str, terms: DiskTerms, spool: Spool,
    tool: SystemTool,
) -> None:  # fmt: skip
    """Make the EFI system partition; GRUB for a BIOS reads its configuration there too."""
    text = grub_cfg(kernel, root, cmdline, serial=terms.arch == "amd64")
    config, _, _ = spool.keep([text.encode()])
    files: dict[str, Path] = {}
    if _wants(terms, "x86-bios"):
        files["grub/grub.cfg"] = config
    if _wants(terms, "x86-uefi", "arm64-uefi"):
        files |= {
            f"EFI/BOOT/{_REMOVABLE[terms.arch]}": terms.loaders[UEFI_SHIM[terms.arch]],
            f"EFI/BOOT/{_BESIDE_SHIM[terms.arch]}": terms.loaders[UEFI_GRUB[terms.arch]],
            "EFI/BOOT/grub.cfg": config,
        }
    disk_file.fat(path, _ESP, "ESP", serial, files, tool)


def _mount(tree: Tree, root: str, serial: str, spool: Spool) -> None:
    mounts = {"/": f"UUID={root} / ext4 errors=remount-ro 0 1"}
    if serial and tree.holds("boot/efi", Kind.DIRECTORY):
        mounts["/boot/efi"] = f"UUID={fat_uuid(serial)} /boot/efi vfat umask=0077,nofail 0 2"
    place_fstab(tree, mounts, spool)


def fat_uuid(serial: str) -> str:
    """Return the id of a FAT as Linux writes it."""
    return f"{serial[:4]}-{serial[4:]}".upper()


def place_fstab(tree: Tree, mounts: Mapping[str, str], spool: Spool) -> None:
    """Put mounts into the tree's ``/etc/fstab``."""
    old = tree.find("etc/fstab")
    before = b"" if old is None else old.text("etc/fstab", _MOST_FSTAB)
    text = fstab(before.decode("utf-8", "surrogateescape"), mounts)
    tree.place("etc/fstab", spool.file([text.encode("utf-8", "surrogateescape")]))


def root_size(tree: Tree, disk: int | None, others: int) -> int:
    """Return the bytes of the root's partition, whole mebibytes.

    Args:
        tree: What goes into it.
        disk: Bytes the disk is to have; None: as needed.
        others: Bytes of everything else on it.

    Raises:
        TreeError: The disk is too small.
    """
    if disk is None:
        return -(-room_for(tree) // _GRAIN) * _GRAIN
    size = (disk - others) // MIB * MIB
    content, inodes = needed(tree)
    least = -(-(content * 21 // 20 + inodes * 1024 + 48 * MIB) // MIB) * MIB
    if size < least:
        raise TreeError(f"it needs a disk of at least {least + others} bytes; {disk} are too few")
    return size
