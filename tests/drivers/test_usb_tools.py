"""The programs that serve boot ROMs over USB, as Debian ships them: with a device where one can stand in."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from fastboot_device import fastboot_device

from hostler.drivers.bootctl.tool import UsbBootTool
from hostler.drivers.bootctl.usb_sd_mux import UsbSdMux
from hostler.drivers.errors import EquipmentRefused
from hostler.model.boot import BootTarget

PROGRAMS = ("dfu-util", "fastboot", "usbsdmux", "uuu")


@pytest.fixture(autouse=True)
def _programs() -> None:
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        pytest.fail(f"needs {', '.join(absent)}: scripts/setup test")


def tool(*run: object) -> UsbBootTool:
    return UsbBootTool.from_config({}, {"run": [str(word) for word in run]})


async def test_fastboot_brings_a_board_to_what_it_was_given(tmp_path: Path) -> None:
    """The real program sends the image to a board in fastboot mode and has it booted; that is success."""
    loader = tmp_path / "u-boot.bin"
    loader.write_bytes(b"this is the loader" * 1000)
    async with fastboot_device() as device, asyncio.timeout(60):
        said = await tool("fastboot", "-s", f"tcp:127.0.0.1:{device.port}", "boot", loader).boot()
    assert device.commands == ["download", "boot"]
    assert device.booted is not None
    assert loader.read_bytes() in device.booted
    assert said.startswith("tool fastboot: ")


async def test_a_board_that_refuses_says_why(tmp_path: Path) -> None:
    """A locked bootloader's own words are the reason."""
    loader = tmp_path / "u-boot.bin"
    loader.write_bytes(b"loader" * 1000)
    async with fastboot_device(refuses="device is locked") as device, asyncio.timeout(60):
        with pytest.raises(EquipmentRefused, match="device is locked"):
            await tool("fastboot", "-s", f"tcp:127.0.0.1:{device.port}", "boot", loader).boot()
    assert device.booted is None


@pytest.mark.parametrize("waits", [("fastboot", "boot"), ("dfu-util", "-w", "-D")])
async def test_a_program_that_waits_for_its_board_ends_with_its_time(
    tmp_path: Path, waits: tuple[str, ...]
) -> None:
    """It waits as long as it may, and nothing of it is left afterwards."""
    loader = tmp_path / f"loader-of-{waits[0]}"
    loader.write_bytes(bytes(100))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await tool(*waits, loader).boot()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert str(loader).encode() not in process.read_bytes()
        except OSError:
            continue  # it ended while we looked


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (("dfu-util", "-D", "LOADER"), "No DFU capable USB device available"),
        (("uuu", "/no/such/loader"), "fail open file: >/no/such/loader"),
    ],
)
async def test_a_board_that_is_not_there_is_told_in_the_programs_words(
    tmp_path: Path, run: tuple[str, ...], says: str
) -> None:
    """The last line that says something is the reason, without colours and cursor movements."""
    loader = tmp_path / "loader"
    loader.write_bytes(bytes(100))
    with pytest.raises(EquipmentRefused) as refused:
        await tool(*(str(loader) if word == "LOADER" else word for word in run)).boot()
    assert says in str(refused.value)
    assert str(refused.value).isprintable()
    assert "[" not in str(refused.value)


async def test_a_multiplexer_that_is_not_plugged_in_is_named() -> None:
    """Debian's usbsdmux itself."""
    with pytest.raises(EquipmentRefused, match="/dev/usb-sd-mux/id-00000"):
        await UsbSdMux.from_config({}, {"path": "/dev/usb-sd-mux/id-00000.00000"}).direct(BootTarget.NETWORK)
