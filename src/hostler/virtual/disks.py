"""The disks of a virtual board, as virtual.toml has them: kind, size, speed, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.virtual.toml_table import Table

SECTOR = 512
_MOST_DISKS = 16  # each takes a slot of the root PCI bus, which has 32 for everything
_SIZE = r"[1-9][0-9]{0,6}[KMGT]"
_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}
_KEYS = ("kind", "size", "serial", "read_limit", "write_limit", "faults")


class DiskKind(StrEnum):
    """What a disk is wired to.

    Attributes:
        VIRTIO: virtio-blk.
        NVME: An NVMe controller with one namespace.
        AHCI: A SATA disk on an AHCI controller.
        SD: An SD card in an SDHCI reader.
        USB: A USB stick: mass storage, bulk only, on an xHCI controller.
    """

    VIRTIO = "virtio"
    NVME = "nvme"
    AHCI = "ahci"
    SD = "sd"
    USB = "usb"


class Access(StrEnum):
    """Which requests a fault answers with an error.

    Attributes:
        READ: Reads.
        WRITE: Writes, and writes of zeros.
        ANY: Everything, flush and discard too.
    """

    READ = "read"
    WRITE = "write"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Fault:
    """A place or a time from which on a disk answers with an I/O error; a power cycle begins anew.

    Attributes:
        access: Which requests fail.
        at: Requests that touch this byte fail; None: see ``after``.
        after: So many requests of ``access`` go well, then all fail; None: see ``at``.
        once: Only the first one fails.
    """

    access: Access
    at: int | None = None
    after: int | None = None
    once: bool = False


@dataclass(frozen=True, slots=True)
class DiskConfig:
    """One disk.

    Attributes:
        kind: What it is wired to.
        size: Bytes; the file is sparse.
        serial: Its serial number; an SD card of QEMU has always the same one, and "" here.
        read_limit: Most bytes a second it reads, or None.
        write_limit: Most bytes a second it writes, or None.
        faults: What is wrong with it.
    """

    kind: DiskKind
    size: int
    serial: str
    read_limit: int | None = None
    write_limit: int | None = None
    faults: tuple[Fault, ...] = ()


def read_disks(board: Table, serial: str) -> tuple[DiskConfig, ...]:
    """Return the disks of a board: ``disk = SIZE`` is one virtio disk, ``[[boards.disks]]`` are any.

    Args:
        board: The board's table.
        serial: The board's serial number; disks without one of their own get it, from the second on with
            their number behind it.

    Raises:
        VirtualConfigError: Names the file and the key.
    """
    if not board.has("disks"):
        return (DiskConfig(DiskKind.VIRTIO, read_size(board, "disk", "4G"), serial[:20]),)
    if board.has("disk"):
        raise board.wrong("disk", "is a short form; with [[boards.disks]] say the size there")
    tables = board.tables("disks")
    disks = tuple(_disk(table, serial, number) for number, table in enumerate(tables))
    if sum(disk.kind is DiskKind.SD for disk in disks) > 1:
        raise board.wrong("disks", "a board has room for one SD card")
    if len(disks) > _MOST_DISKS:
        raise board.wrong("disks", f"a board has room for {_MOST_DISKS} disks")
    seen: set[str] = set()
    for table, disk in zip(tables, disks, strict=True):
        if disk.serial and disk.serial in seen:
            raise table.wrong("serial", f"another disk of this board has {disk.serial!r}")
        seen.add(disk.serial)
    return disks


def read_size(table: Table, key: str, default: str | None = None) -> int:
    """Return a number of bytes written as ``512K``, ``4G``.

    Raises:
        VirtualConfigError: It is not one.
    """
    value = table.text(key, default, _SIZE)
    return int(value[:-1]) << _UNITS[value[-1]]


def _disk(table: Table, serial: str, number: int) -> DiskConfig:
    table.only(*_KEYS)
    kind = DiskKind(table.choice("kind", tuple(DiskKind), DiskKind.VIRTIO))
    size = read_size(table, "size", "4G")
    if size < 1 << 20:
        raise table.wrong("size", "must be at least 1M")
    if kind is DiskKind.SD:
        if size & (size - 1):
            raise table.wrong("size", "of an SD card must be a power of two")
        if table.has("serial"):
            raise table.wrong("serial", "the SD cards of QEMU have a fixed one")
    tail = f"-{number}" if number else ""
    # Twenty characters is what virtio and ATA have room for.
    own = "" if kind is DiskKind.SD else serial[: 20 - len(tail)] + tail
    return DiskConfig(
        kind=kind,
        size=size,
        serial=table.text("serial", own, r"[A-Za-z0-9._-]{1,20}"),
        read_limit=read_size(table, "read_limit") if table.has("read_limit") else None,
        write_limit=read_size(table, "write_limit") if table.has("write_limit") else None,
        faults=tuple(_fault(fault, size) for fault in table.tables("faults")) if table.has("faults") else (),
    )


def _fault(table: Table, size: int) -> Fault:
    table.only("access", "at", "after", "once")
    access = Access(table.choice("access", tuple(Access)))
    if table.has("at") == table.has("after"):
        raise table.wrong("at", "a fault has either at or after")
    if table.has("after"):
        # Each request counted is a rule that QEMU looks through at each request.
        return Fault(access, after=table.number("after", 0, 2000), once=table.flag("once"))
    at = 0 if table.text("at", None, f"0|{_SIZE}") == "0" else read_size(table, "at")
    if at >= size:
        raise table.wrong("at", "lies behind the end of the disk")
    return Fault(access, at=at, once=table.flag("once"))
