"""Ports of boards that boot, as a real SNMP agent tells of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from snmpd import snmpd

from hostler.model.board import Binding, Board, Equipment
from hostler.model.network_trouble import NetworkTrouble
from hostler.model.seam import RackPlan
from hostler.model.trace import TraceEvent
from hostler.rack.port_watch import PortWatch

if TYPE_CHECKING:
    from pathlib import Path

BRIDGE, STATUS = "1.3.6.1.2.1.17", "1.3.6.1.2.1.2.2.1.8"
MAC, INDEX = "52:54:00:00:00:0a", "82.84.0.0.0.10"
BOARD = Board("b1", "pc", "lab", (MAC,), power=(Binding("snmp-poe", "switch1", {"port": 3}),))
LINK = {f"{BRIDGE}.1.4.1.2.3": 1003}
ON = TraceEvent(1000.0, "power", "on", "b1 is on", "b1", boot="boot-1")
OFF = TraceEvent(1002.0, "power", "off", "b1 is off", "b1")
ASKS = TraceEvent(1001.0, "dhcp", "discover", "b1 asks", "b1", MAC, "boot-1")


@pytest.fixture(autouse=True)
def _community(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_COMMUNITY", "test")


async def told(
    port: int, *events: TraceEvent, boots: bool = True, board: Board = BOARD, follow: float = 0.0
) -> list[TraceEvent]:
    """Return what is told of a boot with these events, after everything was looked at."""
    table: dict[str, Any] = {
        "host": f"127.0.0.1:{port}",
        "community": "env:LAB_COMMUNITY",
        "timeout": 0.5,
        "retries": 0,
    }
    plan = RackPlan(equipment=(Equipment("switch1", "snmp-poe", table),))
    found: list[TraceEvent] = []
    trouble = NetworkTrouble()
    watch = PortWatch(lambda: plan, trouble, found.append, silent=0.1, follow=follow, each=0.01)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for event in events:
            trouble.note(event, "lab")
            watch.note(event, board, tasks, boots=boots)
    return found


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        ({f"{STATUS}.1003": 2}, "down", "port 3 of switch1 has no link"),
        ({f"{STATUS}.1003": 1, f"{BRIDGE}.2.15.1.3.3": 3}, "closed", "still listening (spanning tree)"),
        ({f"{STATUS}.1003": 1, f"{BRIDGE}.2.15.1.3.3": 4}, "closed", "still learning (spanning tree)"),
        ({f"{STATUS}.1003": 1, f"{BRIDGE}.2.15.1.3.3": 6}, "closed", "is broken"),
        ({f"{STATUS}.1003": 1, f"{BRIDGE}.2.15.1.3.3": 5}, None, ""),
        ({f"{STATUS}.1003": 1}, None, ""),
    ],
)
async def test_a_silent_boards_port_is_looked_at(
    tmp_path: Path, values: dict[str, int], kind: str | None, says: str
) -> None:
    """No link and a closed port are told with what to do; a port that is well is no news."""
    async with snmpd(tmp_path / "agent", {**LINK, **values}, {}) as port:
        found = await told(port, ON)
    assert [event.kind for event in found] == ([kind] if kind else [])
    for event in found:
        assert (event.source, event.board, event.boot) == ("link", "b1", "boot-1")
        assert says in event.text


async def test_who_was_heard_or_boots_its_disk_is_left_alone(tmp_path: Path) -> None:
    """Only silence of a board that is to boot from the network is trouble, and only while it is on."""
    dead = {**LINK, f"{STATUS}.1003": 2, f"{BRIDGE}.4.3.1.2.{INDEX}": 3}
    async with snmpd(tmp_path / "agent", dead, {}) as port:
        assert await told(port, ON, boots=False) == []
        assert await told(port, ON, ASKS) == []
        assert await told(port, ON, OFF) == []


async def test_a_board_on_another_port_is_told_once(tmp_path: Path) -> None:
    """The switch hears its MAC elsewhere than where its power is; its later questions are no news."""
    values = {**LINK, f"{BRIDGE}.4.3.1.2.{INDEX}": 7}
    async with snmpd(tmp_path / "agent", values, {}) as port:
        (event,) = await told(port, ON, ASKS, ASKS)
    assert (event.source, event.kind, event.mac) == ("link", "other-port", MAC)
    assert "asks through port 7 of switch1, and lab.toml has its power on port 3" in event.text
    assert event.data == {"equipment": "switch1", "port": 7, "expected": 3}


async def test_a_board_where_it_should_be_is_no_news(tmp_path: Path) -> None:
    """The same port, or a port that the switch does not know yet."""
    for values in ({**LINK, f"{BRIDGE}.4.3.1.2.{INDEX}": 3}, LINK):
        async with snmpd(tmp_path / f"agent{len(values)}", values, {}) as port:
            assert await told(port, ON, ASKS) == []


async def test_what_cannot_be_asked_is_not_guessed() -> None:
    """A switch that is away and a supply that is no switch: nothing is told."""
    assert await told(9, ON) == []
    fake = Board("b1", "pc", "lab", (MAC,), power=(Binding("fake"),))
    assert await told(9, ON, ASKS, board=fake) == []


async def test_a_look_that_falls_over_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """It runs in the rack's own task group, beside every keeper: it is logged, and the others go on."""
    plans = iter([RackPlan(equipment=(Equipment("switch1", "snmp-poe", {}),))])
    trouble = NetworkTrouble()
    watch = PortWatch(lambda: next(plans), trouble, lambda _event: None, silent=0.01, follow=0.0)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        trouble.note(ON, "lab")
        watch.note(ON, BOARD, tasks, boots=True)
        beside = tasks.create_task(asyncio.sleep(0.1, "went on"))
    assert beside.result() == "went on"
    assert "could not be looked at" in caplog.text


async def test_each_change_of_the_port_is_told_as_long_as_the_board_is_on(tmp_path: Path) -> None:
    """What the port is at first, and each change of link and spanning tree, also of a boot from disk."""
    tree, link_up, opened = f"{BRIDGE}.2.15.1.3.3", f"{STATUS}.9999", f"{BRIDGE}.2.15.1.3.99"
    effects: dict[str, Any] = {link_up: {1: {f"{STATUS}.1003": 1}}, opened: {1: {tree: 5}}}
    table: dict[str, Any] = {"community": "env:LAB_COMMUNITY", "timeout": 5.0, "retries": 3}
    found: list[TraceEvent] = []
    async with (
        snmpd(tmp_path / "agent", {**LINK, f"{STATUS}.1003": 2, tree: 3}, effects) as port,
        asyncio.timeout(120),
        asyncio.TaskGroup() as tasks,
    ):
        host = f"127.0.0.1:{port}"
        plan = RackPlan(equipment=(Equipment("switch1", "snmp-poe", {**table, "host": host}),))
        watch = PortWatch(lambda: plan, NetworkTrouble(), found.append, follow=3600.0, each=0.01)
        watch.note(ON, BOARD, tasks, boots=False)
        for number, object_ in ((1, link_up), (2, opened), (3, "")):
            while len(found) < number:
                await asyncio.sleep(0.01)
            if object_:
                done = await asyncio.create_subprocess_exec(
                    "snmpset", "-v2c", "-c", "test", host, object_, "i", "1",
                    stdout=asyncio.subprocess.DEVNULL,
                )  # fmt: skip
                assert await done.wait() == 0
        watch.note(OFF, BOARD, tasks, boots=False)
    assert [event.kind for event in found] == ["port-down", "port-up", "port-up"]
    assert found[0].text == "port 3 of switch1 has no link"
    assert found[1].text == "port 3 of switch1 has a link, spanning tree listening"
    assert found[2].text == "port 3 of switch1 has a link, spanning tree forwarding"
    assert {event.boot for event in found} == {"boot-1"}
