"""TFTP names: what exists depends on who asks."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from hostler.agent.rack import BootConfig
from hostler.model.boot import BootIntent
from hostler.netboot.boot_files import BootFiles
from hostler.netboot.config_cpio import boot_config, config_cpio
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
                  kernel="k1", initrd="i1", uuid="52540000-0000-4000-8000-000000000001",
                  files={"lpxelinux.0": "k2"})  # fmt: skip
    table.put(step)
    table.put(
        dataclasses.replace(
            step,
            board="b2",
            macs=(OTHER,),
            boot="x2",
            token="t2",
            kernel="k2",
            initrd="i2",
            files={},
            uuid="52540000-0000-4000-8000-000000000002",
        )
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
    "name",
    [
        "pxelinux.cfg/01-52-54-00-00-00-01",
        "pxelinux.cfg/52540000-0000-4000-8000-000000000001",
        "pxelinux.cfg/00005452-0000-0040-8000-000000000001",
        *(f"pxelinux.cfg/{'0A4D0065'[:digits]}" for digits in range(8, 0, -1)),
        "pxelinux.cfg/default-arm-bcm283x-rpi",
        "pxelinux.cfg/default-arm-rockchip-evb_rk3399",
        "pxelinux.cfg/default-arm-rk3399",
        "pxelinux.cfg/default-arm",
        "pxelinux.cfg/default",
    ],
)
def test_every_name_by_which_a_loader_looks_for_its_own_leads_there(files: BootFiles, name: str):
    """UUID in either byte order, MAC, address with ever fewer digits, and the defaults: all mean who asks."""
    mine = read(files, ME, "pxelinux.cfg/01-52-54-00-00-00-01")
    assert mine is not None
    assert read(files, ME, name) == mine
    assert read(files, ME, f"pxelinux/{name}") is not None


@pytest.mark.parametrize(
    "name",
    [
        "pxelinux.cfg/01-52-54-00-00-00-02",
        "pxelinux.cfg/52540000-0000-4000-8000-000000000002",
        "pxelinux.cfg/0A4D0066",
        "pxelinux.cfg/0A4D00650",
        "pxelinux.cfg/0a4d0065",
        "pxelinux.cfg/default-x86",
        "pxelinux.cfg/",
    ],
)
def test_a_name_that_is_anothers_is_not_found(files: BootFiles, name: str):
    """The loader then goes on to its next name."""
    assert read(files, ME, name) is None
    assert read(files, ME, f"pxelinux/{name}") is None


def test_pxelinux_finds_its_programs_and_its_own_files_below_its_prefix(files: BootFiles):
    """The same names mean other files for another board; configuration and initramfs are two files."""
    assert read(files, ME, "pxelinux/lpxelinux.0") == b"k2"
    assert read(files, THEM, "pxelinux/lpxelinux.0") is None
    assert read(files, ME, "pxelinux/boot/kernel") == b"k1"
    assert read(files, ME, "pxelinux/boot/initrd") == b"i1"
    config = read(files, ME, "pxelinux/boot/config")
    assert config is not None
    assert b"t1" in config
    text = read(files, ME, "pxelinux/pxelinux.cfg/default")
    assert text is not None
    assert b"INITRD boot/config,boot/initrd\n" in text
    assert read(files, NOBODY, "pxelinux/boot/config") is None
    assert read(files, NOBODY, "pxelinux/lpxelinux.0") is None


@pytest.mark.parametrize(
    "name", ["", "boot", "k1", "etc/passwd", "pxelinux.cfg", "boot/initrd/", "pxelinux/"]
)
def test_nothing_else_exists(files: BootFiles, name: str):
    """No directory, no artefact by its id, no file of the host."""
    assert read(files, ME, name) is None


def test_only_an_agent_that_is_to_set_the_boot_order_is_told_so():
    """It is a change to the board's firmware, made where lab.toml asks for it and nowhere else."""
    target = Target("b1", "x86-uefi", "amd64", (MINE,), intent=BootIntent.STEP, boot="x1", token="t1")
    plain = {"rack": "http://r", "token": "t1", "board": "b1", "boot": "x1"}
    assert boot_config(target, "http://r") == plain
    first = dataclasses.replace(target, network_first=True)
    assert boot_config(first, "http://r") == plain | {"network_first": True}
    assert b'"network_first": true' in config_cpio(first, "http://r")
    assert BootConfig.of(boot_config(first, "http://r"), "test").network_first
    assert not BootConfig.of(plain, "test").network_first
