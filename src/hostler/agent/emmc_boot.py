"""The boot partitions of an eMMC, ``mmcblk0boot0`` and ``mmcblk0boot1``, and from what it boots.

The kernel keeps boot partitions read-only until it is told otherwise (``force_ro`` in sysfs), and they are
made so again whatever happens: what lies there is often all that a board can start from.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.disks import choose_disk
from hostler.agent.mmc import KernelMmc, MmcError, ext_csd_bytes, write_ext_csd
from hostler.agent.work import NoDiskError, StepError
from hostler.model.emmc_boot import BOOT_BUS_CONDITIONS, PARTITION_CONFIG, emmc_boot_words, parse_emmc_boot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.agent.disks import Disk, Machine
    from hostler.agent.mmc import MmcPort

_BOOT_WP_STATUS = 174  # JESD84-B51 7.4.77: two bits for each boot partition
_PROTECTED = {1: "until its power is cut", 2: "for ever"}


def emmc_with(part: str, disks: list[Disk], hint: str | None) -> Disk:
    """Return the eMMC that has a boot partition; raises NoDiskError naming the disks there are.

    Args:
        part: ``boot0`` or ``boot1``.
        disks: All of the board.
        hint: Which, if there is more than one.
    """
    paths = {disk.path for disk in disks}
    found = [disk for disk in disks if disk.path + part in paths]
    if not found:
        has = "; ".join(map(str, disks)) or "none"
        raise NoDiskError(f"no disk is an eMMC with a boot partition {part}; this board has: {has}")
    return choose_disk(found, hint)


@contextmanager
def writable(part: Path, machine: Machine) -> Iterator[None]:
    """Let a boot partition be written while the context lasts.

    Args:
        part: Its device.
        machine: Where the hardware is.

    Raises:
        StepError: The kernel does not let it be written.
    """
    switch = machine.sys / "block" / part.name / "force_ro"
    try:
        switch.write_text("0\n")
    except OSError as error:
        raise StepError(f"{part} stays read-only: {error.strerror}") from error
    try:
        yield
    finally:
        switch.write_text("1\n")


def refuse_protected(disk: Disk, part: str) -> None:
    """Raise StepError if the card itself protects a boot partition from being written."""
    try:
        with KernelMmc(Path(disk.path)) as port:
            why = protection(port, part)
    except (MmcError, OSError) as error:
        raise StepError(f"{disk.path} does not tell what protects its boot partitions: {error}") from error
    if why:
        raise StepError(f"{disk.path}: the card protects its boot partition {part} {why}; it was not written")


def protection(port: MmcPort, part: str) -> str:
    """Say for how long the card protects a boot partition; empty if it does not. Raises MmcError."""
    status = ext_csd_bytes(port)[_BOOT_WP_STATUS] >> (2 if part == "boot1" else 0) & 3
    return _PROTECTED.get(status, "") if status else ""


def set_boot(disk: Disk, words: str) -> str:
    """Set from what an eMMC boots; return what it says of that then, in the same words.

    Raises:
        StepError: It is no eMMC, or does not take it.
    """
    if disk.transport != "mmc":
        raise StepError(
            f"{disk} is no eMMC, and boots as its firmware says; leave out what is to be set there"
        )
    try:
        with KernelMmc(Path(disk.path)) as port:
            return put_boot(port, words)
    except (MmcError, OSError) as error:
        raise StepError(f"{disk.path} does not take how it is to boot ({words}): {error}") from error


def put_boot(port: MmcPort, words: str) -> str:
    """Write what differs of the two bytes, and read them back; raises MmcError."""
    wish = parse_emmc_boot(words)
    present = ext_csd_bytes(port)
    # The bus before the partition: what boots from it then finds it as it should be.
    wanted = {
        BOOT_BUS_CONDITIONS: wish.bus_conditions(present[BOOT_BUS_CONDITIONS]),
        PARTITION_CONFIG: wish.partition_config(present[PARTITION_CONFIG]),
    }
    for index, value in wanted.items():
        if present[index] != value:
            write_ext_csd(port, index, value)
    after = ext_csd_bytes(port)
    for index, value in wanted.items():
        if after[index] != value:
            raise MmcError(f"EXT_CSD[{index}] is {after[index]:#04x} after {value:#04x} was written")
    return emmc_boot_words(after[PARTITION_CONFIG], after[BOOT_BUS_CONDITIONS])
