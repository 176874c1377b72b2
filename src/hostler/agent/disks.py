"""Which disks a board has: a chain of managers, each of which knows one family.

The managers are asked in order of priority. One that does not know a device raises ``NotMineError`` and
the next is asked; a device nobody knows is not a disk. A new family is a new manager in ``MANAGERS``.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hostler.agent.disk_place import by_path, transport, wwn
from hostler.agent.medium import is_medium, rack_of_medium
from hostler.agent.work import NoDiskError
from hostler.model import disk_hint
from hostler.model.disk_hint import REMOVABLE, DiskHintError, parse_hint

if TYPE_CHECKING:
    from hostler.model.json import Document

_SECTOR = 512  # the unit of /sys/block/*/size, whatever the disk's own is


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the kernel shows the hardware. Tests give a tree of their own.

    Attributes:
        sys: ``/sys``.
        proc: ``/proc``.
        dev: ``/dev``.
    """

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of the board.

    Attributes:
        path: For example ``/dev/nvme0n1``.
        bus: ``virtio``, ``nvme``, ``mmc``, ``ata``, ``usb``, ``scsi`` or ``other``.
        size: Bytes.
        model: As the disk gives it; empty if it gives none.
        serial: Likewise.
        rotational: Whether it has platters.
        removable: Whether the medium can be taken out, as in a card reader or a stick.
        read_only: Whether it refuses writes.
        spared: Why it is never wiped nor chosen to install on; None for an ordinary disk.
        wwn: World wide name, as udev writes it; empty if it has none.
        by_path: Where it is attached, as udev writes it below ``/dev/disk/by-path``; empty if unknown.
        transport: What carries it, closer than the bus: ``pcie``, ``sd``, ``sas``, ….
    """

    path: str
    bus: str
    size: int
    model: str
    serial: str
    rotational: bool
    removable: bool
    read_only: bool
    spared: str | None
    wwn: str = ""
    by_path: str = ""
    transport: str = ""

    def to_json(self) -> Document:
        """Return the disk as a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        named = " ".join(word for word in (self.bus, self.model, self.serial) if word)
        return f"{self.path} ({named}, {self.size} bytes)"


class NotMineError(Exception):
    """The manager does not know this device."""


class Block:
    """A directory of ``/sys/block``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def text(self, *names: str) -> str:
        """Return the first of these attributes that can be read and is not empty, else an empty string."""
        for name in names:
            try:
                value = (self.path / name).read_text(errors="replace").strip().strip("\0")
            except OSError:
                continue
            if value:
                return value
        return ""

    def flag(self, name: str) -> bool:
        """Return whether an attribute reads ``1``."""
        return self.text(name) == "1"

    def disk(self, bus: str, model: str, serial: str, dev: Path, spared: str | None = None) -> Disk:
        """Return the disk with what all families show alike."""
        return Disk(
            path=str(dev / self.name),
            bus=bus,
            size=int(self.text("size") or 0) * _SECTOR,
            model=model,
            serial=serial,
            rotational=self.flag("queue/rotational"),
            removable=self.flag("removable"),
            read_only=self.flag("ro"),
            spared=spared,
            wwn=wwn(self.path),
            by_path=by_path(self.path),
            transport=transport(self.path, bus),
        )


class DiskManager(Protocol):
    """Knows one family of disks."""

    priority: int

    def identify(self, block: Block, dev: Path) -> Disk:
        """Return the disk; raises NotMineError if it is of another family."""
        ...


class Virtio:
    """Disks of virtual machines, ``vda``."""

    priority = 50

    def identify(self, block: Block, dev: Path) -> Disk:
        """Virtio disks have a serial, and only if the host sets one."""
        if not block.name.startswith("vd"):
            raise NotMineError
        return block.disk("virtio", block.text("device/vendor"), block.text("serial"), dev)


class Nvme:
    """NVMe namespaces, ``nvme0n1``."""

    priority = 50

    def identify(self, block: Block, dev: Path) -> Disk:
        """Model and serial are those of the controller above the namespace."""
        if not block.name.startswith("nvme"):
            raise NotMineError
        return block.disk("nvme", block.text("device/model"), block.text("device/serial"), dev)


class Mmc:
    """eMMC and SD cards, ``mmcblk0``."""

    priority = 50

    def identify(self, block: Block, dev: Path) -> Disk:
        """The hardware partitions of an eMMC are devices of their own, and spared.

        Boot partitions often hold the board's firmware, general purpose partitions (``gp0``) what the factory
        put there.
        """
        name = re.fullmatch(r"mmcblk\d+(.*)", block.name)
        if name is None:
            raise NotMineError
        spared = f"hardware partition {name[1]} of an eMMC" if name[1] else None
        return block.disk("mmc", block.text("device/name"), block.text("device/serial"), dev, spared)


class Scsi:
    """Whatever speaks SCSI to the kernel, ``sda``: SATA, SAS, USB."""

    priority = 20

    def identify(self, block: Block, dev: Path) -> Disk:
        """The bus is in the device's place in the tree; the serial in vital product data page 0x80."""
        if not block.name.startswith("sd"):
            raise NotMineError
        place = block.path.resolve().parts
        if any(part.startswith("usb") for part in place):
            bus = "usb"
        elif any(part.startswith("ata") for part in place):
            bus = "ata"
        else:
            bus = "scsi"
        vendor = block.text("device/vendor")
        words = [vendor if vendor != "ATA" else "", block.text("device/model")]
        return block.disk(bus, " ".join(word for word in words if word), self._serial(block), dev)

    def _serial(self, block: Block) -> str:
        try:
            page = (block.path / "device/vpd_pg80").read_bytes()
        except OSError:
            return ""
        return page[4:].decode("ascii", "replace").strip().strip("\0")  # SPC-4 7.8.18: four bytes of header


class Other:
    """The last resort: any other disk with hardware below it, such as ``xvda``."""

    priority = 0

    def identify(self, block: Block, dev: Path) -> Disk:
        """Optical and floppy drives, raw flash and what the kernel makes up are not disks."""
        if not (block.path / "device").exists() or block.name.startswith(("sr", "fd", "mtdblock", "nbd")):
            raise NotMineError
        return block.disk("other", block.text("device/model"), block.text("device/serial", "serial"), dev)


MANAGERS: tuple[DiskManager, ...] = tuple(
    sorted((Virtio(), Nvme(), Mmc(), Scsi(), Other()), key=lambda manager: -manager.priority)
)


def find_disks(
    machine: Machine, managers: tuple[DiskManager, ...] = MANAGERS, *, removable: bool = False
) -> list[Disk]:
    """Return all disks with a medium in them, ordered by path, spared ones included.

    Args:
        machine: Where the kernel shows them.
        managers: Who knows the families.
        removable: Whether removable media are disks like any other.
    """
    found = []
    for path in sorted((machine.sys / "block").iterdir()):
        block = Block(path)
        if block.flag("hidden"):  # one path of a multipath NVMe namespace
            continue
        for manager in managers:
            try:
                disk = manager.identify(block, machine.dev)
            except NotMineError:
                continue
            if disk.size:  # an empty card reader has none
                found.append(disk)
            break
    medium = _medium(machine)
    return [_spared(disk, medium, removable) for disk in sorted(found, key=lambda disk: disk.path)]


def _spared(disk: Disk, medium: str | None, removable: bool) -> Disk:
    """Return a disk with the reason why it is left alone, if there is one."""
    if disk.spared is not None:
        return disk
    if disk.path == medium and (disk.bus == "usb" or disk.removable or disk.read_only):
        return replace(disk, spared="medium that brings the agent")
    return replace(disk, spared=REMOVABLE) if disk.removable and not removable else disk


def _medium(machine: Machine) -> str | None:
    """Return the device that brought this agent, if it can be told.

    What a device holds is no proof: whoever had the board could have made a disk look like the medium, for it
    to be spared when the board is wiped. So only one that is alone in looking so counts, and of the disks
    only what can be plugged in or cannot be written.
    """
    if rack_of_medium(machine) is None:
        return None
    devices = [str(machine.dev / path.name) for path in (machine.sys / "block").iterdir()]
    media = [device for device in devices if is_medium(Path(device))]
    return media[0] if len(media) == 1 else None


def choose_disk(disks: list[Disk], wanted: str | None) -> Disk:
    """Choose the disk to install on.

    Args:
        disks: What ``find_disks`` found.
        wanted: A hint (``model/disk_hint.py``); None for the only ordinary disk.

    Raises:
        NoDiskError: there is no such disk, or more than one; the message names the candidates.
    """
    facts = {disk.path: disk.to_json() for disk in disks}
    try:
        chosen = disk_hint.choose_disk([*facts.values()], parse_hint(wanted) if wanted else None)
    except DiskHintError as error:
        raise NoDiskError(str(error)) from error
    return next(disk for disk in disks if disk.path == chosen["path"])
