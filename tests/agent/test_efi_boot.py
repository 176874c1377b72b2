"""The firmware's boot entries as real ones look: which leads to the disk, and what is written for one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from hostler.agent.disks import Machine
from hostler.agent.efi_boot import EfiBootError, boot_disk_once, put_network_first
from hostler.agent.partitions import partitions

if TYPE_CHECKING:
    from collections.abc import Sequence

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
PART, GONE = UUID(int=0x1234), UUID(int=0x9999)
ESP = UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
Node = tuple[int, int, bytes]


def pci(slot: int) -> Node:
    return (1, 1, bytes((0, slot)))


def drive(signature: UUID) -> Node:
    return (4, 1, struct.pack("<IQQ", 1, 2048, 4096) + signature.bytes_le + b"\x02\x02")


MAC = (3, 11, bytes(33))
SHELL = (4, 6, bytes(16))
FILE = (4, 4, "\\EFI\\debian\\shimx64.efi\0".encode("utf-16-le"))


def option(text: str, *path: Node, attributes: int = 1) -> bytes:
    nodes = [*path, (0x7F, 0xFF, b"")]
    packed = b"".join(struct.pack("<BBH", kind, sub, len(data) + 4) + data for kind, sub, data in nodes)
    return struct.pack("<IH", attributes, len(packed)) + (text + "\0").encode("utf-16-le") + packed


def gpt(*parts: tuple[UUID, UUID]) -> bytes:
    """Return the beginning of a disk with these partitions: type and GUID."""
    entries = b"".join(
        struct.pack("<16s16sQQQ72s", kind.bytes_le, own.bytes_le, 2048 * n, 2048 * n + 4095, 0, b"")
        for n, (kind, own) in enumerate(parts, 1)
    )
    head = struct.pack("<8s64xQII", b"EFI PART", 2, 128, 128).ljust(512, b"\0")
    return bytes(512) + head + entries.ljust(128 * 128, b"\0")


class Firmware:
    """Variables in a folder, as efivarfs shows them."""

    def __init__(self, root: Path) -> None:
        self.machine = Machine(sys=root / "sys", proc=root / "proc", dev=root / "dev")
        self.place = self.machine.sys / "firmware/efi/efivars"
        self.place.mkdir(parents=True)
        self.root = root

    def set(self, name: str, value: bytes) -> None:
        (self.place / f"{name}-{GLOBAL}").write_bytes(struct.pack("<I", 7) + value)

    def get(self, name: str) -> bytes | None:
        path = self.place / f"{name}-{GLOBAL}"
        return path.read_bytes()[4:] if path.exists() else None

    def entries(self, current: int, order: Sequence[int], **options: bytes) -> None:
        self.set("BootCurrent", struct.pack("<H", current))
        self.set("BootOrder", struct.pack(f"<{len(order)}H", *order))
        for name, value in options.items():
            self.set(name, value)

    def disk(self, content: bytes) -> Path:
        path = self.root / f"disk{len(list(self.root.glob('disk*')))}"
        path.write_bytes(content.ljust(65536, b"\0"))
        return path


@pytest.fixture
def firmware(tmp_path: Path) -> Firmware:
    return Firmware(tmp_path)


def test_the_first_entry_that_leads_to_the_disk(firmware: Firmware) -> None:
    """Past the medium by any path, the network, the shell, what is off, hidden, or of a disk that went."""
    firmware.entries(
        1, [1, 2, 3, 4, 5, 6, 7, 8, 9],
        Boot0001=option("USB", pci(4)),
        Boot0002=option("USB partition 2", pci(4), drive(UUID(int=7))),
        Boot0003=option("PXE", pci(2), MAC),
        Boot0004=option("Shell", SHELL),
        Boot0005=option("off", pci(3), attributes=0),
        Boot0006=option("hidden", pci(3), attributes=9),
        Boot0007=option("Setup", pci(3), attributes=0x101),
        Boot0008=option("old debian", drive(GONE), FILE),
        Boot0009=option("debian", drive(PART), FILE),
    )  # fmt: skip
    said = boot_disk_once(firmware.machine, [firmware.disk(gpt((ESP, PART)))], "x86_64")
    assert said == 'Boot0009 "debian"'
    assert firmware.get("BootNext") == struct.pack("<H", 9)


def test_a_disk_by_its_place_counts_without_partitions(firmware: Firmware) -> None:
    """As firmware lists disks by itself, and whatever is on them."""
    firmware.entries(0, [0, 1], Boot0000=option("Media", pci(4)), Boot0001=option("Disk", pci(3)))
    assert boot_disk_once(firmware.machine, [], "aarch64") == 'Boot0001 "Disk"'


def test_firmware_that_lists_no_disk_gets_an_entry_once(firmware: Firmware) -> None:
    """For the EFI system partition's own loader; asked again, the same entry is used."""
    firmware.entries(0, [0], Boot0000=option("Media", pci(4)))
    disk = firmware.disk(gpt((UUID(int=5), UUID(int=6)), (ESP, PART)))
    for _ in range(2):
        assert boot_disk_once(firmware.machine, [disk], "x86_64") == 'Boot0001 "Hostler: disk"'
    assert firmware.get("Boot0002") is None
    assert firmware.get("BootNext") == b"\x01\x00"
    (part,) = [part for part in partitions(disk) if part.system]
    made = firmware.get("Boot0001")
    assert made is not None
    assert made == option(
        "Hostler: disk",
        (4, 1, struct.pack("<IQQ", 2, part.start, part.sectors) + PART.bytes_le + b"\x02\x02"),
        (4, 4, "\\EFI\\BOOT\\BOOTX64.EFI\0".encode("utf-16-le")),
    )
    assert firmware.get("BootOrder") == b"\x00\x00"


def test_what_cannot_be_is_said(firmware: Firmware) -> None:
    """No entry and nothing on the disk; firmware that takes nothing from a running system."""
    firmware.entries(0, [0], Boot0000=option("Media", pci(4)))
    with pytest.raises(EfiBootError, match="no disk has an EFI system partition"):
        boot_disk_once(firmware.machine, [firmware.disk(b""), Path("/nonexistent")], "x86_64")
    bare = Machine(sys=firmware.root / "none", proc=firmware.root, dev=firmware.root)
    with pytest.raises(EfiBootError, match="takes no Boot0000 from a running system"):
        boot_disk_once(bare, [firmware.disk(gpt((ESP, PART)))], "x86_64")


@pytest.mark.parametrize(
    "junk", [b"", b"\x01", b"\x01\0\0\0\xff\xff" + b"A" * 7, b"\x01\0\0\0\x08\0\0\0\x01\x01\x01\0"]
)
def test_an_entry_of_nonsense_is_passed_over(firmware: Firmware, junk: bytes) -> None:
    """Firmware has them; the next one is taken."""
    firmware.entries(0, [2, 1], Boot0000=junk, Boot0001=option("Disk", pci(3)))
    firmware.set("Boot0002", option("x", attributes=0) + junk)
    assert boot_disk_once(firmware.machine, [], "x86_64") == 'Boot0001 "Disk"'


def test_an_mbr_is_read(tmp_path: Path) -> None:
    """Number, place, the disk's signature, and which is the EFI system partition."""
    assert partitions(Path(__file__)) == []
    table = (
        struct.pack("<4xB3xII", 0xEF, 2048, 8192)
        + bytes(16)
        + struct.pack("<4xB3xII", 0x83, 10240, 100)
        + bytes(16)
    )
    path = tmp_path / "disk"
    path.write_bytes((bytes(440) + b"\x11\x22\x33\x44\0\0" + table + b"\x55\xaa").ljust(8192, b"\0"))
    first, second = partitions(path)
    assert (first.number, first.start, first.sectors, first.system, first.gpt) == (1, 2048, 8192, True, False)
    assert first.signature == b"\x11\x22\x33\x44" + bytes(12)
    assert (second.number, second.system) == (3, False)


def test_the_network_is_put_before_everything_else(tmp_path: Path) -> None:
    """The entry that brought the agent first, then the network's others; the rest keeps its order."""
    firmware = Firmware(tmp_path)
    firmware.entries(
        7,
        (1, 5, 2, 7, 3),
        Boot0001=option("debian", drive(PART), FILE),
        Boot0002=option("UEFI Shell", SHELL),
        Boot0003=option("a stick", pci(5)),
        Boot0005=option("PXEv4, other card", pci(2), MAC),
        Boot0007=option("PXEv4", pci(3), MAC),
    )
    assert "put Boot0007" in put_network_first(firmware.machine)
    assert firmware.get("BootOrder") == struct.pack("<5H", 7, 5, 1, 2, 3)
    assert "is first" in put_network_first(firmware.machine)
    assert firmware.get("BootOrder") == struct.pack("<5H", 7, 5, 1, 2, 3)


def test_a_network_entry_that_is_not_in_the_order_comes_into_it(tmp_path: Path) -> None:
    """An installer that wrote an order of its own may have left it out."""
    firmware = Firmware(tmp_path)
    firmware.entries(
        7, (1,), Boot0001=option("debian", drive(PART), FILE), Boot0007=option("PXE", pci(3), MAC)
    )
    put_network_first(firmware.machine)
    assert firmware.get("BootOrder") == struct.pack("<2H", 7, 1)


def test_firmware_without_network_entries_is_left_alone(tmp_path: Path) -> None:
    """An entry that is switched off does not count; the error says what to do."""
    firmware = Firmware(tmp_path)
    firmware.entries(
        1,
        (1, 2),
        Boot0001=option("debian", drive(PART), FILE),
        Boot0002=option("PXE", pci(3), MAC, attributes=0),
    )
    with pytest.raises(EfiBootError, match="switch its network boot on"):
        put_network_first(firmware.machine)
    assert firmware.get("BootOrder") == struct.pack("<2H", 1, 2)
