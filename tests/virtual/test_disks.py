"""Disks of virtual boards: what virtual.toml says of them is what QEMU does."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from hostler.virtual import disk_wiring, qemu
from hostler.virtual.config import BoardConfig, Kind, load
from hostler.virtual.disks import Access, DiskConfig, DiskKind, Fault
from hostler.virtual.toml_table import VirtualConfigError

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
LAB = """
[lab]
state_dir = "state"
[switch]
community = "c"
[[boards]]
name = "b"
kind = "x86-uefi"
port = 1
mac = "52:54:00:77:00:01"
uuid = "b0a2d0e4-0001-4c6f-9a35-6d1f2c7e0001"
serial = "B1"
console = "127.0.0.1:1"
"""
MANY = """
[[boards.disks]]
kind = "nvme"
size = "2G"
write_limit = "60M"
[[boards.disks.faults]]
access = "write"
at = "1G"
[[boards.disks]]
kind = "sd"
size = "64M"
[[boards.disks]]
size = "512K"
"""


def lab_toml(folder: Path, disks: str) -> Path:
    path = folder / "virtual.toml"
    path.write_text(LAB + disks)
    return path


def test_a_board_has_the_disks_it_is_given(tmp_path: Path) -> None:
    """Kind, size, serial, limits and faults; ``disk`` alone is one virtio disk with the board's serial."""
    text = MANY.replace('"512K"', '"1M"')
    assert load(lab_toml(tmp_path, text)).boards[0].disks == (
        DiskConfig(DiskKind.NVME, 2 << 30, "B1", None, 60 * MIB, (Fault(Access.WRITE, at=1 << 30),)),
        DiskConfig(DiskKind.SD, 64 * MIB, ""),
        DiskConfig(DiskKind.VIRTIO, MIB, "B1-2"),
    )
    assert load(lab_toml(tmp_path, 'disk = "8G"')).boards[0].disks == (
        DiskConfig(DiskKind.VIRTIO, 8 << 30, "B1"),
    )


@pytest.mark.parametrize(
    ("disks", "complaint"),
    [
        (MANY, "boards[0].disks[2].size: must be at least 1M"),
        ('disk = "1G"' + MANY, "boards[0].disk: is a short form"),
        (MANY.replace('"nvme"', '"floppy"'), "boards[0].disks[0].kind: must be one of virtio, nvme"),
        (MANY.replace('"64M"', '"65M"'), "boards[0].disks[1].size: of an SD card must be a power of two"),
        (MANY.replace('"64M"', '"64M"\nserial = "x"'), "boards[0].disks[1].serial: the SD cards"),
        (MANY.replace('at = "1G"', 'at = "2G"'), "boards[0].disks[0].faults[0].at: lies behind the end"),
        (MANY.replace('at = "1G"', ""), "faults[0].at: a fault has either at or after"),
        (MANY.replace('"512K"', '"1M"\nserial = "B1"'), "disks[2].serial: another disk of this board has"),
        (
            MANY.replace('"nvme"\nsize = "2G"', '"sd"\nsize = "2G"').replace("512K", "1M"),
            "room for one SD card",
        ),
        (MANY.replace('"60M"', '"fast"'), "boards[0].disks[0].write_limit"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, disks: str, complaint: str) -> None:
    """Each mistake is answered with the key it is in."""
    with pytest.raises(VirtualConfigError) as caught:
        load(lab_toml(tmp_path, disks))
    assert complaint in str(caught.value)


@pytest.mark.qemu
@pytest.mark.parametrize("kind", [Kind.X86_BIOS, Kind.ARM64_UEFI])
def test_qemu_takes_every_kind_of_disk(tmp_path: Path, kind: Kind) -> None:
    """One board with all of them, some twice, limited and faulty: QEMU finds nothing to complain of."""
    disks = tuple(
        DiskConfig(
            each,
            64 * MIB,
            "" if each is DiskKind.SD else f"S-{number}",
            100 * MIB,
            50 * MIB,
            (Fault(Access.ANY, after=2),),
        )
        for number, each in enumerate([*DiskKind, DiskKind.NVME, DiskKind.AHCI, DiskKind.USB])
    )
    board = BoardConfig("b", kind, 1, "52:54:00:77:00:01", UUID(int=1), "B1", ("h", 1), 256, 1, disks)
    qemu.prepare(board, tmp_path)
    command = qemu.command(board, qemu.Plugs("tap0", 0, "tcg", "unsafe"))
    command[command.index("-netdev") + 1] = "user,id=net"  # no tap device here
    command[command.index("-chardev") + 1] = "null,id=line"
    done = subprocess.run(
        [*command, "-S", "-monitor", "stdio"],
        input="info block\nquit\n", cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for number in range(len(disks)):
        assert f"blkdebug:{disk_wiring.faults_name(number)}" in done.stdout


def said_by_disk(folder: Path, faults: tuple[Fault, ...], *requests: str) -> list[bool]:
    """Whether each request to a disk of 8 MiB with these faults went well, by QEMU's own client."""
    disk_wiring.prepare([DiskConfig(DiskKind.VIRTIO, 8 * MIB, "S", faults=faults)], folder)
    command = [word for request in requests for word in ("-c", request)]
    image = "driver=raw,file.driver=blkdebug,file.config=disk.faults,file.image.driver=file"
    done = subprocess.run(
        ["qemu-io", "--image-opts", f"{image},file.image.filename=disk.raw", *command],
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    lines = (done.stdout + done.stderr).splitlines()
    failed = [line for line in lines if "failed: Input/output error" in line]
    good = [line for line in lines if "bytes at offset" in line]
    assert len(failed) + len(good) == len(requests), lines
    # One stream each; their order between them is not kept, so each request is asked for by itself.
    return [not failed] if len(requests) == 1 else [True] * len(good) + [False] * len(failed)


def test_a_bad_place_fails_and_the_others_do_not(tmp_path: Path) -> None:
    """Only what touches the place, and only as it is said."""
    faults = (Fault(Access.WRITE, at=MIB),)
    assert said_by_disk(tmp_path, faults, "write 960k 128k") == [False]
    assert said_by_disk(tmp_path, faults, "write -z 1M 64k") == [False]
    assert said_by_disk(tmp_path, faults, "write 0 1M") == [True]
    assert said_by_disk(tmp_path, faults, "read 1M 64k") == [True]
    assert said_by_disk(tmp_path, (Fault(Access.READ, at=MIB),), "read 1M 64k") == [False]


def test_a_disk_dies_after_so_many_requests(tmp_path: Path) -> None:
    """Three writes go well; from then on nothing does."""
    asked = [f"write {number}M 64k" for number in range(5)]
    assert said_by_disk(tmp_path, (Fault(Access.ANY, after=3),), *asked, "read 0 64k") == [
        *[True] * 3,
        *[False] * 3,
    ]
    assert said_by_disk(tmp_path, (Fault(Access.WRITE, after=3, once=True),), *asked) == [
        *[True] * 4,
        False,
    ]
