"""Which board hangs on which end, and how a reading and the boards' own readings come together."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hostler.hub.front_panel import MOST_STRANGERS, PanelReading, front_panel
from hostler.hub.records import BoardRecord
from hostler.model.board import Binding, Board, Lifecycle
from hostler.model.power import PowerReading, PowerState
from hostler.model.seam import Observed

if TYPE_CHECKING:
    from hostler.hub.state import State

MAC = "52:54:00:00:00:0{}"


def board(
    number: int, port: int | None, lifecycle: Lifecycle = Lifecycle.AVAILABLE, **more: Any
) -> BoardRecord:
    power = (Binding("snmp-poe", "switch1", {"port": port}),) if port else ()
    made = Board(f"b{number}", "pc", "boot", (MAC.format(number),), power=power)
    return BoardRecord(replace(made, **more), lifecycle)


def state(*records: BoardRecord, **observed: Observed) -> State:
    made: Any = SimpleNamespace(boards={one.name: one for one in records}, observed=observed)
    return made


def end(port: int, on: bool, **params: Any) -> dict[str, Any]:
    word = "on" if on else "off"
    return {"params": {"port": port, **params}, "state": word, "watts": None, "detail": f"reads {word}"}


def port(number: int, *macs: str) -> dict[str, Any]:
    return {
        "number": number, "up": True, "spanning_tree": None, "pvid": 1, "tagged": [7], "macs": list(macs)
    }  # fmt: skip


def test_ports_stand_in_order_with_their_boards_and_whom_the_switch_heard() -> None:
    """Group 1 is the switch itself, ports count as numbers, and a machine nobody knows is a stranger."""
    found = board(3, None, Lifecycle.DISCOVERED)
    reading = PanelReading(
        100.0, True, (end(10, False), end(2, True), end(1, True, group=2)),
        ports=(port(2, MAC.format(1)), port(10, MAC.format(3), MAC.format(2)), port(25, *"abcdefghijk")),
    )  # fmt: skip
    bound = Binding("snmp-poe", "switch1", {"port": 2, "group": 1})
    ends = front_panel(state(board(1, None, power=(bound,)), board(2, 2), found), "switch1", reading)
    assert [(one.kind, one.place, one.boards, one.state, one.heard) for one in ends] == [
        ("power", "group 2, port 1", (), "on", ()),
        ("power", "port 2", ("b1", "b2"), "on", ("b1",)),
        ("power", "port 10", (), "off", ("b2",)),
        ("network", "port 25", (), None, ()),
    ]
    assert (ends[2].strangers, ends[2].stranger_count, ends[2].link) == ((MAC.format(3),), 1, True)
    assert (len(ends[3].strangers), ends[3].stranger_count) == (MOST_STRANGERS, 11)


def test_without_a_reading_boards_are_shown_as_they_were_read() -> None:
    """What cannot be asked as a whole shows what each board's driver read, its console and boot control."""
    wires = (Binding("ipmi", "bmc", {}),)
    line = Binding("telnet", "bmc", {"port": 7001})
    seen = Observed("b1", PowerReading(PowerState.ON, 31.5, "chassis on"), console=True, at=50.0)
    record = board(1, None, power=wires, console=line, bootctl=wires)
    ends = front_panel(state(record, board(2, 4), b1=seen), "bmc", None)
    assert [(one.kind, one.place, one.state, one.watts, one.connected) for one in ends] == [
        ("bootctl", "", None, None, None),
        ("power", "", "on", 31.5, None),
        ("console", "port 7001", None, None, True),
    ]
    assert ends[1].at == 50.0


def test_watts_come_from_the_boards_driver_only_while_both_agree() -> None:
    """A switch's table has no watts for a port; a board's own reading counts as a whole where it is newer."""
    seen = Observed("b1", PowerReading(PowerState.ON, 4.5), at=50.0)
    on, off = (PanelReading(100.0, True, (end(1, word),)) for word in (True, False))
    watts = [front_panel(state(board(1, 1), b1=seen), "switch1", one)[0].watts for one in (on, off)]
    assert watts == [4.5, None]
    newer = replace(seen, at=150.0)
    (now,) = front_panel(state(board(1, 1), b1=newer), "switch1", off)
    assert (now.state, now.watts, now.at) == ("on", 4.5, 150.0)
    two = (Binding("snmp-poe", "switch1", {"port": 1}), Binding("snmp-poe", "switch1", {"port": 2}))
    assert front_panel(state(board(1, None, power=two), b1=seen), "switch1", on)[0].watts is None
