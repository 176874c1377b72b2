"""The verb media against the real server: what it is made of, what it says, and how it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from simulated_lab import LAB, simulated_lab
from test_commands import Shell

from hostler.build.loaders import build_loaders
from hostler.build.media_loaders import build_media_loaders
from hostler.client.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = Path(__file__).parents[2] / "var" / "cache"


@pytest.fixture(scope="module")
def loaders() -> dict[str, Path]:
    """The real loaders: small, and in the cache."""
    built = CACHE / "built"
    return {**build_loaders("amd64", built, CACHE), **build_media_loaders("amd64", built, CACHE)}


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Shell]:
    """A server whose agents were registered without loaders."""
    with simulated_lab(tmp_path / "state") as lab:
        yield Shell(lab)


@pytest.fixture
def shell(bare: Shell, loaders: dict[str, Path], tmp_path: Path) -> Shell:
    """A server with an agent of a few bytes and the real loaders."""
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    with Client(bare.lab.settings) as client:
        client.register_agent("amd64", tmp_path / "kernel", tmp_path / "initrd", loaders)
    return bare


def inside(image: Path, path: str) -> str:
    """Return a file of the image, as xorriso reads it."""
    target = image.with_suffix(".out")
    command = ["xorriso", "-osirrox", "on", "-indev", str(image), "-extract", path, str(target)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return target.read_text()


def test_a_medium_for_a_board(shell: Shell, tmp_path: Path) -> None:
    """It knows the board's interfaces, its console and its rack; made again, it has the same bytes."""
    image = tmp_path / "pc-1.iso"
    told = shell.json("media", "pc-1", "--output", str(image))
    assert (told["rack"], told["board"], told["size"]) == (
        "http://10.77.0.1:8067",
        "pc-1",
        image.stat().st_size,
    )
    words = inside(image, "/boot/grub/grub.cfg")
    assert (
        "linux /boot/kernel console=tty0 console=ttyS0,115200 quiet hostler.rack=http://10.77.0.1:8067 "
        "hostler.macs=52:54:00:00:00:01\n"
    ) in words
    assert "cmostest" in words
    first = image.read_bytes()
    shell("media", "pc-1", "--output", str(image), "--force")
    assert image.read_bytes() == first
    assert first[510:512] == b"\x55\xaa"
    assert first[32808:32840].rstrip() == b"HOSTLER_AGENT"
    assert list(tmp_path.glob(".pc-1*")) == []


def test_a_medium_for_any_machine(shell: Shell, tmp_path: Path) -> None:
    """No board's name and no board's address are in it."""
    image = tmp_path / "any.iso"
    done = shell("media", "--any", "--arch", "amd64", "--network", "boot", "--output", str(image))
    assert "write it to a stick" in done.stdout
    assert "hostler.macs" not in inside(image, "/boot/grub/grub.cfg")


def test_a_fixed_address_is_baked_in(shell: Shell, tmp_path: Path) -> None:
    """With the subnet and router of its network; a board without an address of its own has none to bake."""
    refused = shell("media", "pc-1", "--static", "--output", str(tmp_path / "x"), status=1)
    assert 'board "pc-1" has no address of its own' in refused.stderr
    text = LAB.replace('mac = "52:54:00:00:00:01"', 'mac = "52:54:00:00:00:01"\naddress = "10.77.0.9"')
    with Client(shell.lab.settings) as client:
        client.apply(text.replace("[classes.pc]", 'router = "10.77.0.1"\n[classes.pc]', 1))
    image = tmp_path / "static.iso"
    assert shell.json("media", "pc-1", "--static", "--output", str(image))["address"] == "10.77.0.9/24"
    assert "hostler.address=10.77.0.9/24 hostler.router=10.77.0.1\n" in inside(image, "/boot/grub/grub.cfg")


def test_bad_input_is_named_and_leaves_nothing(shell: Shell, tmp_path: Path) -> None:
    """Unknown board, network or firmware; a place that is taken or cannot be written."""
    output = tmp_path / "new.iso"

    def says(*arguments: str, status: int = 1) -> str:
        return shell("media", *arguments, status=status).stderr

    assert "pc-9" in says("pc-9", "--output", str(output))
    assert "whose firmware starts no such medium" in says("arm-1", "--output", str(output))
    assert 'no network "attic"; known: boot' in says(
        "--any", "--arch", "amd64", "--network", "attic", "--output", str(output)
    )
    assert "comes without shimaa64.efi" in says("--any", "--arch", "arm64", "--output", str(output))
    assert "there is no such folder" in says("pc-1", "--output", str(tmp_path / "none" / "x.iso"))
    assert "is no file" in says("pc-1", "--output", "/dev/null")
    assert "say either which BOARD" in says("--output", str(output), status=2)
    assert "say either which BOARD" in says("pc-1", "--any", "--output", str(output), status=2)
    assert "--any needs --arch" in says("--any", "--output", str(output), status=2)
    assert "go with --any" in says("pc-1", "--arch", "amd64", "--output", str(output), status=2)
    assert not output.exists()
    output.write_text("mine")
    assert "is there already" in says("pc-1", "--output", str(output))
    assert output.read_text() == "mine"


def test_a_missing_tool_names_its_package(shell: Shell, tmp_path: Path) -> None:
    """On a machine without xorriso; nothing is left of the attempt."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "out").mkdir()
    shell.environment["PATH"] = str(tmp_path / "tools")
    said = shell("media", "pc-1", "--output", str(tmp_path / "out" / "x.iso"), status=1).stderr
    assert '"xorriso" is not installed; install the Debian package "xorriso"' in said
    assert list((tmp_path / "out").iterdir()) == []


def test_an_agent_without_the_loaders_is_told_how_to_get_them(bare: Shell, tmp_path: Path) -> None:
    """An agent that was registered before there were media."""
    output = tmp_path / "x.iso"
    said = bare("media", "pc-1", "--output", str(output), status=1).stderr
    assert "comes without shimx64.efi, gcdx64.efi, media-bios.img, media-mbr.img" in said
    assert "hostler agent build --arch amd64" in said
    assert not output.exists()
