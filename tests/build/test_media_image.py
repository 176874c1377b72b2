"""The medium as tools read it: GRUB's own checker, mtools, xorriso and fdisk."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hostler.build.loaders import build_loaders
from hostler.build.media import MediumTerms, build_medium, files_needed, grub_configuration
from hostler.build.media_loaders import build_media_loaders
from hostler.model.medium import DISK_WORD

if TYPE_CHECKING:
    from pathlib import Path

TERMS = MediumTerms("amd64", "http://10.77.0.1:8067")


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_grub_takes_its_configuration(arch: str) -> None:
    """GRUB's own parser finds no fault; only a PC asks the clock chip, for every bit of the word."""
    text = grub_configuration(replace(TERMS, arch=arch))
    subprocess.run(["grub-script-check"], input=text.encode(), check=True, timeout=30)
    assert text.count("cmostest") == (8 * len(DISK_WORD) if arch == "amd64" else 0)
    set_bits = sum(value.bit_count() for value in DISK_WORD.values())
    assert text.count("cmosclean") == (set_bits if arch == "amd64" else 0)


def test_what_the_agent_is_told_is_on_the_kernels_command_line() -> None:
    """A router goes with a fixed address only."""
    line = replace(
        TERMS, platform="x86-bios", macs=("02:00:00:00:00:01", "02:00:00:00:00:02"), router="10.77.0.254"
    ).cmdline
    assert line == (
        "console=tty0 console=ttyS0,115200 quiet hostler.rack=http://10.77.0.1:8067 "
        "hostler.macs=02:00:00:00:00:01,02:00:00:00:00:02"
    )
    line = replace(TERMS, arch="arm64", address="10.77.0.9/24", router="10.77.0.254").cmdline
    assert "console=ttyAMA0,115200" in line
    assert line.endswith("hostler.address=10.77.0.9/24 hostler.router=10.77.0.254")


@pytest.mark.parametrize(("arch", "first"), [("amd64", "BOOTX64"), ("arm64", "BOOTAA64")])
def test_firmware_finds_a_loader_by_the_partition_table_and_on_the_cd(
    arch: str, first: str, packages: Path, images: Path, tmp_path: Path
) -> None:
    """An EFI system partition with shim where UEFI looks, El Torito entries, and by BIOS on amd64 only."""
    loaders = {**build_loaders(arch, images, packages), **build_media_loaders(arch, images, packages)}
    for name in ("kernel", "initrd"):
        loaders[name] = tmp_path / name
        loaders[name].write_bytes(name.encode())
    assert set(files_needed(arch)) <= set(loaders)
    image = tmp_path / "medium.iso"
    build_medium(image, replace(TERMS, arch=arch), loaders)

    told = subprocess.run(
        ["fdisk", "-l", image], check=True, capture_output=True, text=True, timeout=30
    ).stdout
    (line,) = [line for line in told.splitlines() if "EFI System" in line]
    start = int(line.split()[1]) * 512
    listed = subprocess.run(
        ["mdir", "-i", f"{image}@@{start}", "-b", "::/EFI/BOOT"],
        check=True, capture_output=True, text=True, timeout=30,
    ).stdout.split()  # fmt: skip
    assert f"::/EFI/BOOT/{first}.EFI" in listed
    report = subprocess.run(
        ["xorriso", "-indev", image, "-report_el_torito", "plain"],
        check=True, capture_output=True, text=True, timeout=30,
    ).stdout  # fmt: skip
    kinds = [line.split()[6] for line in report.splitlines() if line.startswith("El Torito boot img :")]
    assert kinds == (["BIOS", "UEFI"] if arch == "amd64" else ["UEFI"])
