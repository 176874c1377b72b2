"""Boards, their classes, and the life of a board as a table of allowed moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hostler.model.first_stages import Loader
from hostler.model.health import HealthPlan
from hostler.model.wipe import Effort


class Lifecycle(StrEnum):
    """Where a board is in its life; power and runs are separate axes.

    Attributes:
        DISCOVERED: It asked over the network and nobody has adopted it.
        AVAILABLE: Clean and free to be claimed.
        CLAIMED: Held by somebody.
        RELEASING: Given back, being wiped.
        QUARANTINED: Something about it is not understood; never given to anybody.
        MAINTENANCE: An admin works on it.
        RETIRED: Gone; kept for its history.
    """

    DISCOVERED = "discovered"
    AVAILABLE = "available"
    CLAIMED = "claimed"
    RELEASING = "releasing"
    QUARANTINED = "quarantined"
    MAINTENANCE = "maintenance"
    RETIRED = "retired"


_L = Lifecycle
MOVES: dict[Lifecycle, frozenset[Lifecycle]] = {
    _L.DISCOVERED: frozenset({_L.AVAILABLE, _L.QUARANTINED, _L.MAINTENANCE, _L.RETIRED}),
    _L.AVAILABLE: frozenset({_L.CLAIMED, _L.QUARANTINED, _L.MAINTENANCE, _L.RETIRED}),
    _L.CLAIMED: frozenset({_L.RELEASING}),
    # A release ends in AVAILABLE only when the wipe was verified; every other end is QUARANTINED.
    _L.RELEASING: frozenset({_L.AVAILABLE, _L.QUARANTINED}),
    _L.QUARANTINED: frozenset({_L.RELEASING, _L.MAINTENANCE, _L.RETIRED}),
    _L.MAINTENANCE: frozenset({_L.RELEASING, _L.QUARANTINED, _L.RETIRED}),
    _L.RETIRED: frozenset({_L.MAINTENANCE}),
}
"""Which lifecycle may follow which. Coming back from the side goes through RELEASING: a wipe."""


class IllegalMoveError(ValueError):
    """The board's present lifecycle does not allow this; wait for it to change, or choose another board."""


def move(board: str, present: Lifecycle, to: Lifecycle) -> Lifecycle:
    """Return ``to`` when the table allows it from ``present``; raises IllegalMoveError otherwise."""
    if to not in MOVES[present]:
        allowed = ", ".join(sorted(MOVES[present])) or "nothing"
        raise IllegalMoveError(
            f'board "{board}" is {present} and cannot become {to}; from there it may become {allowed}'
        )
    return to


@dataclass(frozen=True, slots=True)
class Binding:
    """One wire from a board to a driver.

    Attributes:
        driver: Entry point name of the driver, for example ``snmp-poe``.
        equipment: Name of the equipment it goes through, or None for a wire of its own.
        params: What tells this board's end apart, for example ``{"port": 3}``.
    """

    driver: str
    equipment: str | None = None
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Equipment:
    """A switch, PDU, BMC or relay card: a driver and how to reach it; secrets are references.

    Attributes:
        name: Unique in the lab.
        driver: Entry point name of the driver.
        params: How to reach it.
        ports: Its ends that a new board may hang on: numbers, names, or whole tables of a wire's keys.
        budget_watts: What it may deliver in all, or None: as much as it says itself, if it does.
        stagger: Seconds between switching on two of its outlets, or None: the usual.
    """

    name: str
    driver: str
    params: dict[str, Any] = field(default_factory=dict)
    ports: tuple[int | str | dict[str, Any], ...] = ()
    budget_watts: float | None = None
    stagger: float | None = None


@dataclass(frozen=True, slots=True)
class BoardClass:
    """Boards that can stand in for each other.

    Attributes:
        name: Unique in the lab.
        platform: Name of its platform.
        health: How its boards are checked, or None: only when somebody asks.
        idle_off: Seconds without a sign of use after which a held board is switched off, or None: never.
        max_ttl: Longest time in seconds that anybody but an admin may hold one of them, or None: no limit.
        loader: What brings their kernel, or None: what suits the platform and the board.
        metadata: What templates find for its boards.
        device_tree: Boot file that describes them to their kernel, or None: their firmware knows that.
        disk: Hint for the disk that images go to (``model/disk_hint.py``), or None: they have one.
        removable: Whether their removable media are disks like any other: installed on, and wiped.
        grow: Whether an image's last partition grows to the size of the disk.
        wipe: How far a wipe of their disks goes.
        require_signed: Whether they take only images that somebody signed whom their agent trusts.
    """

    name: str
    platform: str
    idle_off: float | None = None
    health: HealthPlan | None = None
    max_ttl: float | None = None
    loader: Loader | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    device_tree: str | None = None
    disk: str | None = None
    removable: bool = False
    grow: bool = False
    wipe: Effort = Effort.CLEAR
    require_signed: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One physical unit as ``lab.toml`` describes it.

    Attributes:
        name: Unique in the lab.
        board_class: Name of its class.
        network: Name of the network it boots on.
        macs: Every MAC it boots with; lower case with colons.
        uuid: SMBIOS UUID, lower case, if known.
        serial: Serial number, if known.
        address: Fixed IPv4 address, or None.
        labels: Free key-value pairs to select it by.
        power: Power wires in the order they are switched on.
        console: Serial console, or None.
        watts: The most it draws from each of its power wires, or None: not said.
        circuit_id: Port on which a DHCP relay or switch hears it (option 82.1), as hex, or None.
        remote_id: The relay or switch that has this port (option 82.2), as hex, or None.
        bootctl: What brings it to boot from the network, tried in order; empty: its firmware does by itself.
        metadata: What templates find for it.
        disk: Hint for the disk that images go to, or None: that of its class.
    """

    name: str
    board_class: str
    network: str
    macs: tuple[str, ...]
    uuid: str | None = None
    serial: str | None = None
    address: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    power: tuple[Binding, ...] = ()
    console: Binding | None = None
    watts: float | None = None
    bootctl: tuple[Binding, ...] = ()
    circuit_id: str | None = None
    remote_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    disk: str | None = None
