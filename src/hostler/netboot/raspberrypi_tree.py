"""The files a Raspberry Pi finds by TFTP: a tree of its own, under its serial number and without it.

The firmware looks for ``start4.elf`` and ``start.elf`` under a prefix first, which is the serial number,
or the MAC with dashes (EEPROM setting ``TFTP_PREFIX``). If neither is there, it drops the prefix for all
later files. A Pi 5 fetches neither of them to boot and looks for ``config.txt`` at once.

For intent ``local`` the tree is empty: the firmware is told so at its first file and goes on to the next
entry of its boot order, without waiting until its DHCP timeout is over. With U-Boot as its loader there may
be a build of U-Boot that does that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.model.identity import serial_digits
from hostler.netboot.quoting import QuotingError
from hostler.netboot.raspberrypi_hold import HOLD_PROGRAM
from hostler.netboot.raspberrypi_uboot import UBOOT, uboot_variant
from hostler.netboot.render_raspberrypi import (
    ALIASES,
    CMDLINE,
    CONFIG,
    GENERATIONS,
    INITRD,
    KERNEL,
    STAND_INS,
    render_cmdline,
    render_config,
    system_of,
)
from hostler.netboot.virtual_file import VirtualFileError
from hostler.wire import fat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostler.netboot.table import Target

    Parts = tuple[bytes | Path, ...]

BOOT_IMAGE = "boot.img"
_SERIAL = re.compile(r"[0-9a-f]{8}\Z")
_MAC = re.compile(r"(?:[0-9a-f]{2}-){5}[0-9a-f]{2}\Z")


class RaspberryPiTree:
    """One board's files.

    Args:
        target: The board.
        artefact: Finds a registered file by its id.
        base: URL by which the board reaches the boot listener, without a slash at the end; None: it does not.
    """

    def __init__(self, target: Target, artefact: Callable[[str], Path | None], base: str | None) -> None:
        self._target = target
        self._artefact = artefact
        self._base = base
        self._generation = GENERATIONS[target.platform]
        self._uboot = uboot_variant(target)

    def parts(self, name: str) -> Parts | None:
        """Return what a file consists of, or None if the board has no such file now.

        Args:
            name: Cleaned name as asked for, with or without the board's prefix.

        Raises:
            VirtualFileError: A part of ``boot.img`` cannot be read.
        """
        if self._target.intent in (BootIntent.LOCAL, BootIntent.DENY) and self._uboot is None:
            return None
        inner = self._inner(name)
        return self._file(inner) if inner is not None else None

    def _inner(self, name: str) -> str | None:
        """Take the board's own prefix off; None for that of another board."""
        first, slash, rest = name.partition("/")
        if not slash:
            return name
        folder = first.lower()
        if _SERIAL.match(folder):
            known = serial_digits(self._target.serial)
            return rest if known in (None, folder) else None
        if _MAC.match(folder):
            return rest if folder.replace("-", ":") in self._target.macs else None
        return name

    def _file(self, name: str) -> Parts | None:
        target = self._target
        if name == CONFIG:
            return (render_config(target, self._base).encode(),)
        if self._uboot is not None and name in (UBOOT, CMDLINE, KERNEL, INITRD):
            return self._registered(target.files[self._uboot]) if name == UBOOT else None
        if name in (CMDLINE, KERNEL, INITRD):
            return self._system_file(name)
        if name == BOOT_IMAGE:
            return self._image()
        for alias, prefix in ALIASES.items():
            if name.startswith(alias):
                name = prefix + name.removeprefix(alias)
        if name in self._generation.firmware_files or name.startswith(self._generation.device_trees):
            return self._registered(target.files.get(name) or target.files.get(STAND_INS.get(name, "")))
        return None

    def _image(self) -> Parts | None:
        """All of the tree as one FAT file system, for a board whose EEPROM has ``boot_ramdisk=1``."""
        trees = sorted(name for name in self._target.files if name.startswith(self._generation.device_trees))
        names = (CONFIG, CMDLINE, *self._generation.firmware_files, *trees, UBOOT, KERNEL, INITRD)
        files = [(name, parts) for name in names if (parts := self._file(name)) is not None]
        try:
            sizes = [
                (name, sum(len(part) if isinstance(part, bytes) else part.stat().st_size for part in parts))
                for name, parts in files
            ]
            plan = fat.layout(sizes)
        except (OSError, fat.FatError) as error:
            raise VirtualFileError(f"{BOOT_IMAGE} cannot be put together: {error}") from error
        whole: list[bytes | Path] = [plan.head]
        for (_, parts), padding in zip(files, plan.padding, strict=True):
            whole += [*parts, bytes(padding)]
        return *whole, bytes(plan.tail)

    def _system_file(self, name: str) -> Parts | None:
        try:
            system = system_of(self._target, self._base)
        except QuotingError:
            system = None
        if name == CMDLINE:
            return ((render_cmdline(system) if system is not None else "\n").encode(),)
        if name == KERNEL:
            return self._registered(system.kernel) if system is not None else (HOLD_PROGRAM,)
        # The firmware loads one file of this name; two archives, one after the other, are one initramfs.
        parts = system.initrd_parts(self._artefact) if system is not None else None
        return parts or None

    def _registered(self, artefact: str | None) -> Parts | None:
        path = self._artefact(artefact) if artefact else None
        return (path,) if path is not None else None
