"""What crosses the seam between hub and rack for one board: desired down, observed up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hostler.model.board import Board, Equipment, Lifecycle
from hostler.model.first_stages import Loader
from hostler.model.power import UNSEEN, PowerReading, PowerState
from hostler.model.run import RunOrder, RunStatus


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything a rack needs to know of a board.

    Attributes:
        board: The board and its wires.
        platform: Name of its platform.
        lifecycle: Where it is in its life.
        claim: Id of the claim that holds it, or None.
        power: What its power should be while no run is active.
        cycles: How many power cycles were ever asked for; the rack does those it has not done.
        asked: How often its power was asked for: asking again has the rack try again.
        run: The run to carry out, or the last one; None: never any.
        reason: Why it is quarantined or held, for people.
        loader: What brings its kernel, or None: its firmware leaves no choice.
        device_tree: Boot file that describes it to its kernel, or None: its firmware knows that.
    """

    board: Board
    platform: str
    lifecycle: Lifecycle
    claim: str | None = None
    power: PowerState = PowerState.OFF
    cycles: int = 0
    asked: int = 0
    run: RunOrder | None = None
    reason: str = ""
    loader: Loader | None = None
    device_tree: str | None = None


@dataclass(frozen=True, slots=True)
class BootRecord:
    """One power-up of a board.

    Attributes:
        id: Unique for ever.
        number: Counts the board's boots from 1.
        started: Unix time of power-on (until then, of its making).
        purpose: ``agent`` when the network is to bring up the agent, ``network`` when it brings up another
            system, else ``local``.
        powered: Whether power has been switched on for it.
        token: The secret of what it brings up; never leaves the rack and the board.
    """

    id: str
    number: int
    started: float
    purpose: str
    powered: bool = False
    token: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What a rack sees of a board.

    Attributes:
        board: The board's name.
        power: Last reading.
        power_sent: What it was switched to last without an error: all there is where nothing can be read.
        power_error: Why power could not be switched or read, or empty.
        power_waits: What switching on waits for: watts, or its turn; empty when it does not.
        power_mismatch: Unix time since when the supply reads other than it should, or None.
        run: The run it works on or ended last.
        boot: The present or last boot, without its token.
        facts: What the agent reported of the hardware.
        conflict: Why what was seen contradicts the inventory, or empty.
        console: Whether the console is connected; None: it has none.
        cycles: Power cycles done, against ``Desired.cycles``.
        active_at: Unix time of the last sign of use on its console, at most a minute old; None: none seen.
        at: Unix time of this observation.
    """

    board: str
    power: PowerReading = UNSEEN
    power_sent: PowerState | None = None
    power_error: str = ""
    power_waits: str = ""
    power_mismatch: float | None = None
    run: RunStatus | None = None
    boot: BootRecord | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    conflict: str = ""
    console: bool | None = None
    cycles: int = 0
    active_at: float | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class RackPlan:
    """What a rack is to serve besides its boards.

    Attributes:
        networks: By name: the values of ``[networks.NAME]`` in ``lab.toml``.
        equipment: Every piece of equipment.
        agents: By architecture: the artefact ids of the agent, ``{"amd64": {"kernel": id, "initrd": id}}``,
            and of what firmware fetches besides, by the name it asks for.
        keep_traces: Seconds for which is kept what was seen of boots.
    """

    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    equipment: tuple[Equipment, ...] = ()
    agents: dict[str, dict[str, str]] = field(default_factory=dict)
    keep_traces: float = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Stranger:
    """A machine that asked over the network and is not in the inventory.

    Attributes:
        mac: The MAC it asked with.
        network: Where it asked.
        facts: What its requests told: uuid, arch, vendor class.
        first: Unix time it was first seen.
        last: Unix time it was last seen.
    """

    mac: str
    network: str
    facts: dict[str, Any]
    first: float
    last: float
