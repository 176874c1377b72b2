"""VLANs of a TP-Link switch: made, put on ports, read back, and taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hostler.drivers.errors import DidNotHappen, EquipmentRefused, UnknownPort
from hostler.drivers.network.jetstream_vlans import JetstreamVlans, PortVlans
from hostler.drivers.power.switch_cli_fake import FakeSwitch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def switch() -> FakeSwitch:
    return FakeSwitch("tp-link", "s3cret")


@pytest.fixture(params=["telnet", "ssh"])
async def vlans(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, switch: FakeSwitch
) -> AsyncIterator[JetstreamVlans]:
    monkeypatch.setenv("LAB_PASSWORD", "s3cret")
    table = {"dialect": "tp-link", "user": "admin", "password": "env:LAB_PASSWORD", "timeout": 5}
    if request.param == "telnet":
        async with switch.telnet() as host:
            yield JetstreamVlans.from_equipment({**table, "transport": "telnet", "host": host})
    else:
        async with switch.ssh() as (host, fingerprint):
            yield JetstreamVlans.from_equipment({**table, "host": host, "host_key": fingerprint})


async def test_a_board_gets_a_network_of_its_own(vlans: JetstreamVlans, switch: FakeSwitch) -> None:
    """Untagged to the board, tagged to the host, the other ports as they were; and all of it back."""
    await vlans.create(20, "boards")
    to_board = await vlans.attach("3", 20, tagged=False)
    to_host = await vlans.attach("1/0/8", 20, tagged=True)
    assert (to_board.pvid, to_board.untagged >= {20}) == (20, True)
    assert to_host == PortVlans(1, frozenset({1}), frozenset({20}))
    assert await vlans.vlans() == {1: "System-VLAN", 20: "boards"}
    assert await vlans.detach("3", 20) == PortVlans(20, frozenset({1}), frozenset())
    await vlans.remove(20)
    await vlans.remove(20)
    assert (await vlans.vlans(), switch.members[4]) == ({1: "System-VLAN"}, {1: "Untagged"})
    await vlans.save()
    assert switch.lines[-1] == "copy running-config startup-config"


async def test_what_the_switch_refuses_is_told(vlans: JetstreamVlans, switch: FakeSwitch) -> None:
    """A port it does not have, a VLAN it does not have, and a promise it does not keep."""
    with pytest.raises(UnknownPort):
        await vlans.port("99")
    with pytest.raises(EquipmentRefused, match="does not exist"):
        await vlans.attach("3", 77, tagged=True)
    await vlans.create(20)
    switch.misbehaviour = "lie"
    with pytest.raises(DidNotHappen, match="port 3"):
        await vlans.attach("3", 20, tagged=True)


@pytest.mark.parametrize("vlan", [0, 4095, -1])
async def test_only_real_vlans_reach_the_switch(vlans: JetstreamVlans, switch: FakeSwitch, vlan: int) -> None:
    """A number that no tag can carry, or a port that is a command, is refused before anything is said."""
    with pytest.raises(ValueError, match="no VLAN"):
        await vlans.attach("3", vlan, tagged=True)
    with pytest.raises(ValueError, match="no port"):
        await vlans.attach("3\nreset", 20, tagged=True)
    assert switch.lines == []
