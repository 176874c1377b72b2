"""The front of an equipment: its ends, which boards hang on them, and what was read there. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from hostler.model.board import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.hub.records import BoardRecord
    from hostler.hub.state import State
    from hostler.model.board import Binding, Board
    from hostler.model.json import Document

Kind = Literal["power", "console", "bootctl", "network"]

PLACES = ("port", "outlet", "channel", "relay", "index", "path")
"""Keys of a wire that tell where it ends; others may be addresses with a password in them."""

MOST_STRANGERS = 8
"""MACs named on a port: behind an uplink there is everybody."""


@dataclass(frozen=True, slots=True)
class PanelEnd:
    """One port, outlet or serial line.

    Attributes:
        kind: What a wire there is for; ``network``: a port of a switch that feeds nothing.
        place: Which it is, as ``port 3``.
        wire: Every key that tells it from the other ends; for the hub alone, an address may have a password.
        boards: Those that ``lab.toml`` has there.
        state: ``on``, ``off`` or ``unknown`` as read last; None: never read, or nothing to switch.
        watts: Power drawn, where the equipment or the board's driver tells.
        detail: The equipment's own words.
        at: Unix time of that reading; None: there is none.
        connected: Of a console, whether somebody is there.
        link: Whether the port's link is up; None: not known.
        spanning_tree: What spanning tree does there; None: not known.
        pvid: VLAN of what comes in without a tag.
        tagged: VLANs carried with a tag.
        heard: Boards the switch heard there.
        strangers: MACs heard there that are no board's, some of them.
        stranger_count: How many there are.
    """

    kind: Kind
    place: str
    wire: tuple[tuple[str, str], ...] = ()
    boards: tuple[str, ...] = ()
    state: str | None = None
    watts: float | None = None
    detail: str = ""
    at: float | None = None
    connected: bool | None = None
    link: bool | None = None
    spanning_tree: str | None = None
    pvid: int | None = None
    tagged: tuple[int, ...] = ()
    heard: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    stranger_count: int = 0


@dataclass(frozen=True, slots=True)
class PanelReading:
    """What a rack said of an equipment; ``at`` is Unix time, the rest as in ``rack/front_panel.py``.

    ``asked`` is None where the rack itself did not answer: nobody knows whether the equipment can be asked.
    """

    at: float
    asked: bool | None = None
    ends: tuple[Mapping[str, Any], ...] = ()
    pools: tuple[Mapping[str, Any], ...] = ()
    ports: tuple[Mapping[str, Any], ...] = ()
    trouble: str = ""

    @classmethod
    def of(cls, document: Document, at: float) -> PanelReading:
        """Take over what a rack answered."""
        said: dict[str, Any] = dict(document)
        return cls(
            at, bool(said["asked"]), tuple(said["ends"]), tuple(said["pools"]), tuple(said["ports"]),
            str(said["trouble"]),
        )  # fmt: skip

    def after(self, last: PanelReading | None) -> PanelReading:
        """Return this reading with what could not be had this time as it was read last."""
        if not self.trouble or last is None or not (last.ends or last.ports):
            return self
        if not self.ends and not self.ports:
            return replace(last, trouble=self.trouble)  # and as old as that one
        return replace(self, ports=self.ports or last.ports)


_Key = tuple[Kind, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class _Front:
    ends: dict[_Key, PanelEnd] = field(default_factory=dict)

    def end(self, kind: Kind, params: Mapping[str, Any]) -> PanelEnd:
        key = _key(params)
        return self.ends.get((kind, key)) or PanelEnd(kind, place_of(params), key)

    def put(self, params: Mapping[str, Any], end: PanelEnd) -> None:
        self.ends[end.kind, _key(params)] = end


def front_panel(
    state: State, name: str, reading: PanelReading | None, *,
    wired: Iterable[BoardRecord] | None = None, owners: Mapping[str, str] | None = None,
) -> list[PanelEnd]:  # fmt: skip
    """Return the ends of an equipment in the order they have on its front.

    Args:
        state: What the hub knows of boards.
        name: The equipment.
        reading: What it said of itself; None: nobody has asked yet.
        wired: The boards with a wire there, where somebody knows; None: they are looked for.
        owners: ``owners_of`` all boards, likewise.
    """
    front = _Front()
    if reading is not None:
        for row in reading.ends:
            one = replace(
                front.end("power", row["params"]), state=str(row["state"]), watts=row["watts"],
                detail=str(row["detail"]), at=reading.at,
            )  # fmt: skip
            front.put(row["params"], one)
    for record in state.boards.values() if wired is None else wired:
        for kind, wire in wires_of(record.board):
            if wire.equipment == name:
                front.put(wire.params, _with_board(state, record, front.end(kind, wire.params)))
    if reading is not None:
        owners = owners_of(state.boards.values()) if owners is None else owners
        for port in reading.ports:
            _hear(front, port, owners)
    return sorted(front.ends.values(), key=lambda end: (end.kind == "network", _natural(end.place), end.kind))


def wires_of(board: Board) -> list[tuple[Kind, Binding]]:
    """Return the wires of a board with what each is for."""
    found: list[tuple[Kind, Binding]] = [("power", wire) for wire in board.power]
    if board.console is not None:
        found.append(("console", board.console))
    return [*found, *(("bootctl", wire) for wire in board.bootctl)]


def place_of(params: Mapping[str, Any]) -> str:
    """Return where a wire ends, in words: ``port 3``; empty where the equipment has but one end."""
    words = [f"{key} {params[key]}" for key in PLACES if key in params]
    if str(params.get("group", "1")) != "1":  # a member of a stack
        words.insert(0, f"group {params['group']}")
    return ", ".join(words)


def _with_board(state: State, record: BoardRecord, end: PanelEnd) -> PanelEnd:
    seen = state.observed.get(record.name)
    end = replace(end, boards=(*end.boards, record.name))
    if seen is None:
        return end
    if end.kind == "console":
        return replace(end, connected=bool(seen.console), at=seen.at or None)
    if end.kind != "power":
        return end
    alone = len(record.board.power) == 1  # else the board's reading is that of all its wires together
    watts = seen.power.watts if alone else None
    if end.at is None or (alone and seen.at > end.at):
        return replace(
            end, state=seen.power.state.value, watts=watts, detail=seen.power_error or seen.power.detail,
            at=seen.at or None,
        )  # fmt: skip
    if end.watts is None and end.state == seen.power.state:
        return replace(end, watts=watts)  # what a board's driver measures, a table of ports need not have
    return end


def owners_of(records: Iterable[BoardRecord]) -> dict[str, str]:
    """Return whose each MAC is; a machine that was only discovered is nobody's."""
    return {
        mac: record.name
        for record in records
        if record.lifecycle is not Lifecycle.DISCOVERED
        for mac in record.board.macs
    }


def _hear(front: _Front, port: Mapping[str, Any], owners: Mapping[str, str]) -> None:
    params = {"port": port["number"]}
    known = ("power", _key(params)) in front.ends
    macs = [str(mac) for mac in port["macs"]]
    strangers = [mac for mac in macs if mac not in owners]
    front.put(
        params,
        replace(
            front.end("power" if known else "network", params),
            link=port["up"], spanning_tree=port["spanning_tree"], pvid=port["pvid"],
            tagged=tuple(port["tagged"]),
            heard=tuple(sorted({owners[mac] for mac in macs if mac in owners})),
            strangers=tuple(strangers[:MOST_STRANGERS]), stranger_count=len(strangers),
        ),
    )  # fmt: skip


def _key(params: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    # Group 1 is what is meant where a switch of its own is described without one.
    rows = ((key, str(value)) for key, value in params.items())
    return tuple(sorted(row for row in rows if row != ("group", "1")))


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort ``port 10`` behind ``port 9``."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)]
