"""TFTP names: what exists depends on who asks."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from hostler.model.boot import BootIntent
from hostler.netboot.boot_files import BootFiles
from hostler.netboot.hold_image import HOLD_IMAGE
from hostler.netboot.table import BootTable, NetworkConfig, Target

MINE, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
NETWORK = NetworkConfig(
    "bench", "br0", IPv4Interface("10.77.0.1/24"), IPv4Address("10.77.0.100"), IPv4Address("10.77.0.200")
)
ME, THEM, NOBODY = (IPv4Address(f"10.77.0.{last}") for last in (101, 102, 103))
LEASES = {ME: MINE, THEM: OTHER, NOBODY: "52:54:00:00:00:03"}


@pytest.fixture
def files(tmp_path: Path) -> BootFiles:
    table = BootTable()
    for name in ("k1", "i1", "k2", "i2"):
        (tmp_path / name).write_bytes(name.encode())
        table.put_artefact(name, tmp_path / name)
    step = Target("b1", "arm64-uboot", "arm64", (MINE,), intent=BootIntent.STEP, boot="x1", token="t1",
                  kernel="k1", initrd="i1")  # fmt: skip
    table.put(step)
    table.put(
        dataclasses.replace(step, board="b2", macs=(OTHER,), boot="x2", token="t2", kernel="k2", initrd="i2")
    )
    (tmp_path / "snponly.efi").write_bytes(b"MZ")
    return BootFiles(table, [NETWORK], LEASES.get, {"snponly.efi": tmp_path / "snponly.efi"})


def read(files: BootFiles, client: IPv4Address, name: str) -> bytes | None:
    file = files.open(client, name)
    if file is None:
        return None
    with file:
        return file.read_at(0, file.size)


def test_each_board_reads_its_own(files: BootFiles):
    """The same name is another file for another board, and no name leads to the other's."""
    assert read(files, ME, "boot/kernel") == b"k1"
    assert read(files, THEM, "boot/kernel") == b"k2"
    initrd = read(files, ME, "boot/initrd")
    assert initrd is not None
    assert initrd.endswith(b"i1")
    assert b"t1" in initrd
    assert b"t2" not in initrd
    assert read(files, ME, "pxelinux.cfg/01-52-54-00-00-00-02") is None


def test_the_configuration_of_a_board_is_found_by_its_mac(files: BootFiles):
    """U-Boot asks for its MAC in dashes, in either case."""
    text = read(files, ME, "pxelinux.cfg/01-52-54-00-00-00-01")
    assert text is not None
    assert b"LINUX boot/kernel" in text


def test_a_stranger_reads_only_what_makes_it_wait(files: BootFiles):
    """A machine nobody knows gets boot loaders and the hold file, nothing else."""
    text = read(files, NOBODY, "pxelinux.cfg/01-52-54-00-00-00-03")
    assert text is not None
    assert b"LINUX boot/hold" in text
    assert read(files, NOBODY, "boot/hold") == HOLD_IMAGE
    assert read(files, NOBODY, "snponly.efi") == b"MZ"
    assert read(files, NOBODY, "boot/kernel") is None
    assert read(files, IPv4Address("10.9.9.9"), "boot/kernel") is None


@pytest.mark.parametrize(
    "name", ["", "boot", "k1", "etc/passwd", "pxelinux.cfg", "pxelinux.cfg/default", "boot/initrd/"]
)
def test_nothing_else_exists(files: BootFiles, name: str):
    """No directory, no artefact by its id, no file of the host."""
    assert read(files, ME, name) is None
