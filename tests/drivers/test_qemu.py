"""QEMU without libvirt: the process is the machine, its monitor tells whether it is on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentRefused
from hostler.drivers.power.qemu import Qemu
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = ["qemu-system-x86_64", "-machine", "none", "-nodefaults"]


def _driver(folder: Path, command: list[str] = MACHINE, **more: object) -> Qemu:
    return Qemu.from_config({}, {"command": command, "monitor": str(folder / "monitor"), **more})


async def test_it_lives_on_and_is_found_again(tmp_path: Path) -> None:
    """A machine started by one driver is seen, and switched off, by the next: Hostler may be restarted."""
    await _driver(tmp_path).set(PowerState.ON)
    again = _driver(tmp_path)
    reading = await again.get()
    await again.set(PowerState.OFF)
    assert (reading.state, (await again.get()).state) == (PowerState.ON, PowerState.OFF)


async def test_off_means_that_it_is_gone(tmp_path: Path) -> None:
    """When off returns, the machine's files are free for the next start."""
    machine = _driver(tmp_path)
    for _ in range(2):
        await machine.set(PowerState.ON)
        await machine.set(PowerState.OFF)
        assert (await machine.get()).state is PowerState.OFF


async def test_what_keeps_it_from_starting_is_told(tmp_path: Path) -> None:
    """QEMU's own last words are the message; a program that is not there is the command's fault."""
    with pytest.raises(EquipmentRefused, match="unsupported machine type"):
        await _driver(tmp_path, ["qemu-system-x86_64", "-machine", "no-such-machine"]).set(PowerState.ON)
    with pytest.raises(DriverConfigError, match="is it installed"):
        await _driver(tmp_path, ["no-such-program"]).set(PowerState.ON)


async def test_somebody_elses_socket_is_not_taken_for_a_monitor(tmp_path: Path) -> None:
    """What listens there but says something else, or nothing, is named; it is never read as off."""

    async def gibberish(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(gibberish, tmp_path / "monitor"):
        with pytest.raises(EquipmentRefused, match="no monitor"):
            await _driver(tmp_path).get()
    (tmp_path / "monitor").unlink(missing_ok=True)
    async with await asyncio.start_unix_server(silence, tmp_path / "monitor"):
        with pytest.raises(DriverTimeout):
            await _driver(tmp_path, timeout=0.2).get()


@pytest.mark.parametrize(
    ("binding", "key"),
    [
        ({"monitor": "/m"}, "command"),
        ({"command": "qemu", "monitor": "/m"}, "command"),
        ({"command": ["qemu", "-daemonize"], "monitor": "/m"}, "command"),
        ({"command": ["qemu"]}, "monitor"),
        ({"command": ["qemu"], "monitor": "/" + 120 * "m"}, "monitor"),
        ({"command": ["qemu"], "monitor": "/m", "port": 1}, "port"),
    ],
)
def test_a_wrong_key_is_named(binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        Qemu.from_config({}, binding)
    assert caught.value.key == key
