"""What the hub keeps of each noun, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hostler.model.board import Board, Lifecycle
from hostler.model.power import PowerState
from hostler.model.run import RunOrder, RunStatus
from hostler.model.seam import BootRecord


@dataclass(frozen=True, slots=True)
class BoardRecord:
    """A board and where it is in its life.

    Attributes:
        board: The board as ``lab.toml`` describes it; of a discovered one only name, network and MAC.
        lifecycle: Where it is in its life.
        reason: Why it is there, for people; empty when that goes without saying.
        claim: Id of the claim that holds it, or None.
        run: Id of its active or last run, or None.
        power: What its power is to be while no run is active.
        cycles: Power cycles ever asked for.
        image: Name of the image last installed on it and not wiped since, or None.
        facts: What it reported of its hardware.
        conflict: The contradiction last told of, so that it is told once.
        boot: Its present or last boot.
        unclean: Of a machine outside the inventory: why nobody may have it before it was wiped, or empty.
    """

    board: Board
    lifecycle: Lifecycle
    reason: str = ""
    claim: str | None = None
    run: str | None = None
    power: PowerState = PowerState.OFF
    cycles: int = 0
    image: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    conflict: str = ""
    boot: BootRecord | None = None
    unclean: str = ""

    @property
    def name(self) -> str:
        """The board's name."""
        return self.board.name


class Purpose(StrEnum):
    """Why a run was made: asked for by name, to put an image on a board, or to give it back clean."""

    USER = "user"
    DEPLOY = "deploy"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run, what was ordered and how far it is.

    Attributes:
        id: Unique for ever.
        board: The board's name.
        plan: As it was written.
        purpose: Why it was made.
        principal: Who made it.
        claim: The claim it was made under, or None.
        created: Unix time it was made.
        order: What the rack was told.
        status: What the rack last said.
    """

    id: str
    board: str
    plan: str
    purpose: Purpose
    principal: str
    claim: str | None
    created: float
    order: RunOrder
    status: RunStatus


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A named image in the catalogue.

    Attributes:
        name: Unique.
        arch: ``amd64`` or ``arm64``.
        platforms: Platforms it boots on; empty: every one of its architecture.
        index: Artefact id of its chunk index.
        size: Bytes it needs on a disk.
        data_bytes: Bytes of it that are not holes.
        chunk_size: Grid of its index in bytes.
        pattern: Regular expression on the console that tells that a board has booted it.
        seconds: Longest time from power-on until the pattern must have been seen.
        created: Unix time it was imported.
        source: Where it came from, for people.
    """

    name: str
    arch: str
    platforms: tuple[str, ...]
    index: str
    size: int
    data_bytes: int
    chunk_size: int
    pattern: str
    seconds: float
    created: float
    source: str


class Role(StrEnum):
    """What a principal may do: everything, or what concerns their own claims."""

    ADMIN = "admin"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody or something that asks."""

    name: str
    role: Role
    created: float = 0.0

    @property
    def admin(self) -> bool:
        """Whether this principal may do everything."""
        return self.role is Role.ADMIN


HUB = Principal("hostler", Role.ADMIN)
"""The hub itself, when nobody asked: a claim's time was over, a wipe failed."""


@dataclass(frozen=True, slots=True)
class Event:
    """A fact about any noun; never changed.

    Attributes:
        seq: Counts all events from 1.
        at: Unix time.
        kind: ``noun.what``, for example ``claim.granted`` or ``dhcp.offer``.
        text: One line for people.
        board: The board it is about, or None.
        boot: The boot it belongs to, or None.
        run: The run it is about, or None.
        claim: The claim it is about, or None.
        principal: Who did it, or None.
        data: Anything else worth keeping.
        trace: True for what a rack saw on the wire, false for what the hub decided.
    """

    seq: int
    at: float
    kind: str
    text: str
    board: str | None = None
    boot: str | None = None
    run: str | None = None
    claim: str | None = None
    principal: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    trace: bool = False


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent of one architecture: artefact ids of its kernel and initramfs."""

    arch: str
    kernel: str
    initrd: str
