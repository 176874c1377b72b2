"""pdudaemon: a wish handed over, and nothing claimed about it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from other_daemons import pdudaemon

from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.pdudaemon import Pdudaemon
from hostler.drivers.power.pdudaemon_fake import FakePdudaemon
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from pathlib import Path

    from silent import SilentPort


async def test_the_wish_arrives_without_delay() -> None:
    """By PDU and port, and by alias; and not five seconds later, which is pdudaemon's custom."""
    daemon = FakePdudaemon(["rack1"], {"nuc": ("rack1", "7")})
    async with daemon.serve() as host:
        await Pdudaemon.from_config({"host": host, "pdu": "rack1"}, {"port": 4}).set(PowerState.ON)
        await Pdudaemon.from_config({"host": host}, {"alias": "nuc"}).set(PowerState.OFF)
    assert daemon.outlets == {("rack1", "4"): "on", ("rack1", "7"): "off"}
    assert daemon.delays == ["0", "0"]


async def test_it_does_not_know_the_outlet() -> None:
    """The daemon's words are told, and the binding is blamed."""
    async with FakePdudaemon(["rack1"], {}).serve() as host:
        with pytest.raises(UnknownPort, match="PDU was not found"):
            await Pdudaemon.from_config({"host": host}, {"pdu": "rack2", "port": 1}).set(PowerState.ON)
        with pytest.raises(UnknownPort, match="Alias"):
            await Pdudaemon.from_config({"host": host}, {"alias": "nuc"}).set(PowerState.ON)


async def test_silence_and_nobody(silent_port: SilentPort) -> None:
    """A daemon that hangs costs the deadline; one that is not there is told at once."""
    pdu = Pdudaemon.from_config({"host": silent_port.address, "timeout": 0.2}, {"alias": "a"})
    with pytest.raises(DriverTimeout):
        await pdu.set(PowerState.ON)
    silent_port.close()
    with pytest.raises(EquipmentUnreachable):
        await pdu.set(PowerState.ON)


@pytest.mark.parametrize(
    ("equipment", "binding", "key"),
    [
        ({}, {"alias": "a"}, "host"),
        ({"host": "d"}, {"port": 1}, "pdu"),
        ({"host": "d", "pdu": "p"}, {}, "port"),
        ({"host": "d"}, {"alias": "a", "port": 1}, "port"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        Pdudaemon.from_config(equipment, binding)
    assert caught.value.key == key


async def test_the_real_daemon_switches(tmp_path: Path) -> None:
    """LAVA's own pdudaemon takes our wishes, by port and by alias, and refuses as the driver expects."""
    async with pdudaemon(tmp_path) as host:
        await Pdudaemon.from_config({"host": host, "pdu": "rack1"}, {"port": 4}).set(PowerState.ON)
        await Pdudaemon.from_config({"host": host}, {"alias": "nuc"}).set(PowerState.OFF)
        async with asyncio.timeout(60):
            while (said := [_said(tmp_path, outlet) for outlet in (4, 7)]) != ["on", "off"]:
                await asyncio.sleep(0.05)
        with pytest.raises(UnknownPort, match="rack2"):
            await Pdudaemon.from_config({"host": host, "pdu": "rack2"}, {"port": 1}).set(PowerState.ON)
        with pytest.raises(UnknownPort):
            await Pdudaemon.from_config({"host": host}, {"alias": "nobody"}).set(PowerState.ON)
    assert said == ["on", "off"]


def _said(folder: Path, outlet: int) -> str:
    path = folder / f"outlet-{outlet}"
    return path.read_text().strip() if path.exists() else ""
