"""What a Raspberry Pi fetches before its kernel comes from Debian's packages, whole and with its origin."""

from __future__ import annotations

import json
from pathlib import Path

from hostler.build.agent_image import build_agent
from hostler.build.raspberrypi import FILES, build_firmware
from hostler.model.platform import PLATFORMS


def test_the_files_are_those_of_raspi_firmware(packages: Path, images: Path):
    """The GPU's firmware is ELF; the record tells the package; asking again needs no network."""
    files = build_firmware(images, packages)
    assert set(files) == set(FILES)
    for name in ("start.elf", "start4.elf"):
        assert files[name].read_bytes()[:4] == b"\x7fELF"
    record = json.loads((files["start.elf"].parent / "packages.json").read_text())
    assert [package["name"] for package in record] == ["raspi-firmware"]
    assert build_firmware(images, packages / "none") == files


def test_its_component_stays_apart(packages: Path, images: Path):
    """A mirror without non-free-firmware stops nothing else: the other builds read main alone."""
    build_firmware(images, packages)
    apart = packages / "apt-arm64-non-free-firmware" / "debian.sources"
    assert "Components: main non-free-firmware\n" in apart.read_text()
    plain = packages / "apt-arm64" / "debian.sources"
    assert not plain.exists() or "non-free" not in plain.read_text()


def test_with_the_agent_they_are_all_that_a_pi_3_and_4_need(packages: Path, images: Path):
    """Device trees come with the agent's kernel; without them a board would not start, and that is said."""
    agent = build_agent("arm64", images, packages)
    for tree in agent.device_trees.values():
        assert tree.read_bytes()[:4] == b"\xd0\x0d\xfe\xed"
    files = {**agent.device_trees, **build_firmware(images, packages)}
    assert PLATFORMS["raspberrypi3"].lacks(files) == ""
    assert PLATFORMS["raspberrypi4"].lacks(files) == ""
    assert "bcm2711-rpi-*.dtb" in PLATFORMS["raspberrypi4"].lacks(build_firmware(images, packages))
