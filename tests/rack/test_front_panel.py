"""Fronts of switches as a rack reads them, of a real SNMP agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from snmpd import snmpd

from hostler.link.port import RequestRefusedError
from hostler.model.board import Equipment
from hostler.rack.front_panel import read_panel
from hostler.rack.wires import Wires

if TYPE_CHECKING:
    from pathlib import Path

BRIDGE, PSE = "1.3.6.1.2.1.17", "1.3.6.1.2.1.105.1"


@pytest.fixture(autouse=True)
def _community(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_COMMUNITY", "test")


def switch(port: int, **more: Any) -> Equipment:
    table = {"host": f"127.0.0.1:{port}", "community": "env:LAB_COMMUNITY", "timeout": 0.3, **more}
    return Equipment("switch1", "snmp-poe", table)


async def test_a_switch_tells_power_and_ports_at_once(tmp_path: Path) -> None:
    """Power of each port, the supply's watts, and link, VLAN and who was heard, in one picture."""
    values: dict[str, int | str] = {
        f"{PSE}.1.1.3.1.1": 1, f"{PSE}.1.1.6.1.1": 3,
        f"{PSE}.1.1.3.1.2": 2, f"{PSE}.1.1.6.1.2": 1,
        f"{PSE}.3.1.1.2.1": 370, f"{PSE}.3.1.1.4.1": 12,
        f"{BRIDGE}.1.4.1.2.1": 101, f"{BRIDGE}.1.4.1.2.25": 125,
        "1.3.6.1.2.1.2.2.1.8.101": 1,
        f"{BRIDGE}.7.1.4.5.1.1.1": 20,
        f"{BRIDGE}.7.1.2.2.1.2.20.82.84.0.0.0.10": 1,
    }  # fmt: skip
    async with snmpd(tmp_path / "agent", values, {}) as port:
        panel = await read_panel(switch(port), Wires())
    on = {"params": {"port": 1}, "state": "on", "watts": None, "detail": "delivering power"}
    off = {"params": {"port": 2}, "state": "off", "watts": None, "detail": "disabled"}
    nobody = {"up": None, "spanning_tree": None, "pvid": None, "tagged": [], "macs": []}
    assert panel == {
        "asked": True, "ends": [on, off], "trouble": "",
        "pools": [{"pool": "group 1", "limit": 370.0, "drawn": 12.0}],
        "ports": [
            {**nobody, "number": 1, "up": True, "pvid": 20, "macs": ["52:54:00:00:00:0a"]},
            {**nobody, "number": 25},
        ],
    }  # fmt: skip


async def test_what_cannot_be_read_is_told_and_what_cannot_be_asked_is_left_alone() -> None:
    """A switch that is silent is a trouble with words; a kind without a table is never asked port by port."""
    silent = await read_panel(switch(9), Wires())
    assert silent["asked"] is True
    assert "snmp agent 127.0.0.1:9" in str(silent["trouble"])
    fake = await read_panel(Equipment("plugs", "fake", {}), Wires())
    assert fake == {"asked": False, "ends": [], "pools": [], "ports": [], "trouble": ""}
    with pytest.raises(RequestRefusedError, match="no equipment"):
        await read_panel(None, Wires())
