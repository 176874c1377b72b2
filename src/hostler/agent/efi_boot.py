"""The boot order of UEFI firmware, from within: have it start the disk at the next restart, once.

UEFI specification 2.10, section 3.1 (``BootNext``, ``BootOrder``, load options), chapter 10 (device paths).
Variables are files of efivarfs, four bytes of attributes before the value.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.agent.medium import is_medium
from hostler.agent.partitions import partitions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hostler.agent.disks import Machine
    from hostler.agent.partitions import Partition

_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"  # EFI_GLOBAL_VARIABLE
_KEPT = struct.pack("<I", 7)  # non-volatile, for boot services and for a running system
_ACTIVE, _HIDDEN, _CATEGORY, _APPLICATION = 0x1, 0x8, 0x1F00, 0x0100
_MEDIA, _HARD_DRIVE, _FILE = 4, 1, 4
_FIRMWARE_VOLUME = {(4, 6), (4, 7)}  # what the firmware brings itself: its shell, its setup
_NETWORK = {(3, 11), (3, 12), (3, 13), (3, 24)}  # MAC, IPv4, IPv6, URI
_END = (0x7F, 0xFF)
_OURS = "Hostler: disk"
_LOADERS = {"x86_64": "\\EFI\\BOOT\\BOOTX64.EFI", "aarch64": "\\EFI\\BOOT\\BOOTAA64.EFI"}

Node = tuple[int, int, bytes]


class EfiBootError(Exception):
    """The firmware cannot be told to start the disk; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A load option of the firmware.

    Attributes:
        number: That of its variable, ``Boot0001``.
        attributes: Active, hidden, category.
        description: What its menu shows.
        path: Its device path, node by node: type, subtype, data.
    """

    number: int
    attributes: int
    description: str
    path: tuple[Node, ...]

    @property
    def device(self) -> tuple[Node, ...]:
        """The hardware part of its path, which is the same for all that is on one disk; may be empty."""
        hardware = []
        for node in self.path:
            if node[0] == _MEDIA:
                break
            hardware.append(node)
        return tuple(hardware)

    @property
    def drives(self) -> set[bytes]:
        """Signatures of the partitions it names: one or none."""
        return {data[20:36] for kind, subkind, data in self.path if (kind, subkind) == (_MEDIA, _HARD_DRIVE)}

    def starts_network(self) -> bool:
        """Tell whether it is meant to be tried and fetches from the network."""
        return bool(self.attributes & _ACTIVE) and any(node[:2] in _NETWORK for node in self.path)

    def starts_disk(self) -> bool:
        """Tell whether it is meant to be tried, and is neither the network nor part of the firmware."""
        if not self.attributes & _ACTIVE or self.attributes & _HIDDEN:
            return False
        if self.attributes & _CATEGORY == _APPLICATION:
            return False
        return not any(node[:2] in _NETWORK | _FIRMWARE_VOLUME for node in self.path)


def boot_disk_once(machine: Machine, disks: Iterable[Path], arch: str) -> str:
    """Have the firmware start the disk at the next restart; returns the name of the entry it will use.

    The first entry of the boot order that leads to a disk and not to the medium. Firmware that has none for
    the disk gets one for its EFI system partition.

    Args:
        machine: Where the variables are.
        disks: The board's disks.
        arch: As ``uname -m`` says.

    Raises:
        EfiBootError: There is nothing to start, or the firmware does not take it.
    """
    variables = _Variables(machine.sys / "firmware/efi/efivars")
    on_disk = [part for disk in disks if not is_medium(disk) for part in partitions(disk)]
    entry = _choose(variables, {part.signature for part in on_disk})
    if entry is None:
        system = next((part for part in on_disk if part.system), None)
        if system is None or arch not in _LOADERS:
            raise EfiBootError(
                "the firmware has no boot entry for a disk, and no disk has an EFI system partition"
            )
        entry = _make(variables, system, _LOADERS[arch])
    variables.write("BootNext", struct.pack("<H", entry.number))
    return f'Boot{entry.number:04X} "{entry.description}"'


def put_network_first(machine: Machine) -> str:
    """Have the firmware ask the network before everything else from now on; returns what was done.

    The entry this boot came from goes first if it is one of the network, then the others of the network in
    their order, then the rest.

    Args:
        machine: Where the variables are.

    Raises:
        EfiBootError: The firmware has no entry for the network, or does not take another order.
    """
    variables = _Variables(machine.sys / "firmware/efi/efivars")
    order = variables.numbers("BootOrder")
    current = variables.numbers("BootCurrent")[:1]
    known = dict.fromkeys([*current, *order])
    entries = [entry for number in known if (entry := variables.entry(number)) is not None]
    network = [entry.number for entry in entries if entry.starts_network()]
    if not network:
        raise EfiBootError("the firmware has no boot entry for the network; switch its network boot on")
    wanted = [*network, *(number for number in order if number not in network)]
    if wanted == order:
        return f"Boot{network[0]:04X} of the network is first in the firmware's boot order"
    variables.write("BootOrder", struct.pack(f"<{len(wanted)}H", *wanted))
    return f"put Boot{network[0]:04X} of the network first in the firmware's boot order"


def _choose(variables: _Variables, present: set[bytes]) -> Entry | None:
    """Return the first entry in order that leads to a disk other than the one the board came from."""
    order = variables.numbers("BootOrder")
    current = variables.entry(next(iter(variables.numbers("BootCurrent")), -1))
    for number in order:
        entry = variables.entry(number)
        if entry is None or not entry.starts_disk():
            continue
        if current is not None:
            same_device = bool(entry.device) and entry.device == current.device
            if number == current.number or same_device or entry.drives & current.drives:
                continue
        if entry.drives and not entry.drives & present:
            continue  # of a system that is no longer there
        return entry
    return None


def _make(variables: _Variables, system: Partition, loader: str) -> Entry:
    """Write an entry for the loader that a disk has for any firmware; not in the order, used when named."""
    number = variables.free(_OURS)
    drive = struct.pack("<IQQ", system.number, system.start, system.sectors) + system.signature
    drive += bytes((2, 2)) if system.gpt else bytes((1, 1))
    file = _ucs2(loader)
    entry = Entry(number, _ACTIVE, _OURS, ((_MEDIA, _HARD_DRIVE, drive), (_MEDIA, _FILE, file)))
    path = b"".join(_packed(node) for node in (*entry.path, (*_END, b"")))
    head = struct.pack("<IH", entry.attributes, len(path))
    variables.write(f"Boot{number:04X}", head + _ucs2(_OURS) + path)
    return entry


def _ucs2(text: str) -> bytes:
    """Encode a text as firmware has it, closed by zero; the agent's Python has no codec for it."""
    return struct.pack(f"<{len(text) + 1}H", *map(ord, text), 0)


def _packed(node: Node) -> bytes:
    kind, subkind, data = node
    return struct.pack("<BBH", kind, subkind, len(data) + 4) + data


class _Variables:
    """The firmware's variables in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, name: str) -> bytes | None:
        try:
            return (self._directory / f"{name}-{_GLOBAL}").read_bytes()[4:]
        except OSError:
            return None

    def write(self, name: str, value: bytes) -> None:
        path = self._directory / f"{name}-{_GLOBAL}"
        try:
            # One write for all of it: that is what efivarfs takes for a new value.
            with path.open("wb", buffering=0) as file:
                file.write(_KEPT + value)
        except OSError as error:
            raise EfiBootError(
                f"the firmware takes no {name} from a running system: {error.strerror}"
            ) from None

    def numbers(self, name: str) -> list[int]:
        value = self.read(name) or b""
        return [number for (number,) in struct.iter_unpack("<H", value[: len(value) & ~1])]

    def entry(self, number: int) -> Entry | None:
        value = self.read(f"Boot{number:04X}") if number >= 0 else None
        return _entry(number, value) if value is not None else None

    def free(self, description: str) -> int:
        """Return the number of the entry with this description, else one that is not used."""
        for number in range(0x100):
            entry = self.entry(number)
            if entry is None and self.read(f"Boot{number:04X}") is None:
                return number
            if entry is not None and entry.description == description:
                return number
        raise EfiBootError("the firmware's boot entries are all in use")


def _entry(number: int, value: bytes) -> Entry | None:
    """Read a load option; None if it is not one."""
    if len(value) < 6:
        return None
    attributes, length = struct.unpack_from("<IH", value)
    end = 6
    while end + 2 <= len(value) and value[end : end + 2] != b"\0\0":
        end += 2
    units = (unit for (unit,) in struct.iter_unpack("<H", value[6:end]))
    description = "".join(chr(unit) if 0x20 <= unit < 0x7F else "?" for unit in units)
    path = value[end + 2 : end + 2 + length]
    nodes: list[Node] = []
    at = 0
    while at + 4 <= len(path):
        kind, subkind, size = struct.unpack_from("<BBH", path, at)
        if size < 4 or (kind, subkind) == _END:
            break
        nodes.append((kind, subkind, path[at + 4 : at + size]))
        at += size
    return Entry(number, attributes, description, tuple(nodes))
