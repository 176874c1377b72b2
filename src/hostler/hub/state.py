"""What the hub knows, in memory; and drafts, in which it decides before anything is true.

A decision works on a ``Draft``: it reads through to the state and writes into the draft alone. If it is
refused half way the draft is thrown away and nothing has happened. Otherwise the draft is applied at once
and its rows go to the journal; nobody is answered before they are durable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hostler.hub import source
from hostler.hub.image_records import ImageRecord
from hostler.hub.inventory import Inventory
from hostler.hub.pools import Pools
from hostler.hub.records import (
    Agent,
    BoardRecord,
    Event,
    Hook,
    Principal,
    Project,
    RunRecord,
    SshKey,
    Token,
)
from hostler.model.claim import Claim, ClaimState
from hostler.model.seam import BootRecord, Desired, Observed

if TYPE_CHECKING:
    from collections.abc import Iterator

V = TypeVar("V")


@dataclass(slots=True)
class State:
    """Everything that decisions are made from.

    Attributes:
        inventory: What ``lab.toml`` says.
        boards: By name; those of the inventory and the discovered ones.
        claims: By id; those not closed, and those being closed until that is on the disk.
        runs: By id; the active or last one of each board.
        images: By name.
        agents: By architecture.
        principals: By name.
        projects: By name.
        tokens: By hash.
        keys: By fingerprint.
        hooks: By id.
        observed: By board; never stored, a rack says it again.
        seq: Number of the last event.
        cursor: Number of the last event taken over from the link.
        pools: Index of boards and claims; kept by drafts.
        revision: Grows with every change of a board, a claim, a project or the inventory.
    """

    inventory: Inventory = field(default_factory=Inventory)
    boards: dict[str, BoardRecord] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    images: dict[str, ImageRecord] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    principals: dict[str, Principal] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    keys: dict[str, SshKey] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
    observed: dict[str, Observed] = field(default_factory=dict)
    seq: int = 0
    cursor: int = 0
    pools: Pools = field(default_factory=Pools, compare=False, repr=False)
    revision: int = field(default=0, compare=False)

    def index(self) -> None:
        """Make the index anew."""
        self.pools.build(self.inventory, self.boards, self.claims)
        self.revision += 1


class Overlay(Generic[V]):
    """A dict seen through the changes a draft makes to it.

    Attributes:
        base: The dict, not yet changed.
        changed: What the draft puts in its place; None: takes away.
        writes: How often something was changed.
    """

    def __init__(self, base: dict[str, V]) -> None:
        self.base = base
        self.changed: dict[str, V | None] = {}
        self.writes = 0

    def get(self, key: str) -> V | None:
        """Return the value as the draft has it, or None."""
        return self.changed[key] if key in self.changed else self.base.get(key)

    def __getitem__(self, key: str) -> V:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def put(self, key: str, value: V) -> None:
        """Set a value."""
        self.changed[key] = value
        self.writes += 1

    def remove(self, key: str) -> None:
        """Take a value away."""
        self.changed[key] = None
        self.writes += 1

    def values(self) -> Iterator[V]:
        """Yield every value as the draft has it."""
        for key, value in self.base.items():
            if key not in self.changed:
                yield value
        yield from (value for value in self.changed.values() if value is not None)

    def apply(self) -> None:
        """Make the changes true."""
        for key, value in self.changed.items():
            if value is None:
                self.base.pop(key, None)
            else:
                self.base[key] = value


class Draft:
    """A decision being made at the time ``now``.

    Attributes:
        stirred: Pools in which somebody may be served now though nothing changed there: time has gone by.
        settled: How much was changed when claims were last granted.
    """

    def __init__(self, state: State, now: float) -> None:
        self.now = now
        self.boards = Overlay(state.boards)
        self.claims = Overlay(state.claims)
        self.runs = Overlay(state.runs)
        self.images = Overlay(state.images)
        self.agents = Overlay(state.agents)
        self.principals = Overlay(state.principals)
        self.projects = Overlay(state.projects)
        self.tokens = Overlay(state.tokens)
        self.keys = Overlay(state.keys)
        self.hooks = Overlay(state.hooks)
        self._overlays: tuple[Overlay[Any], ...] = (
            self.boards, self.claims, self.runs, self.images, self.agents, self.principals, self.projects,
            self.tokens, self.keys, self.hooks,
        )  # fmt: skip
        self.inventory = state.inventory
        self.cursor = state.cursor
        self.events: list[Event] = []
        self.boots: list[tuple[str, BootRecord, str | None]] = []
        self._source = source.current()
        self.stirred: set[str] = set()
        self.settled = 0
        self._followed: list[str] = []
        self._before = state.inventory, state.cursor
        self._state = state

    @property
    def pools(self) -> Pools:
        """The index of boards and claims, without what this draft changes."""
        return self._state.pools

    @property
    def observed(self) -> dict[str, Observed]:
        """What racks see; not for a draft to change."""
        return self._state.observed

    @property
    def inventory_changed(self) -> bool:
        """Whether this draft describes the lab anew."""
        return self.inventory is not self._before[0]

    @property
    def cursor_changed(self) -> bool:
        """Whether this draft takes over events from the link."""
        return self.cursor != self._before[1]

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not (
            self.events or self.boots or self.inventory_changed or self.cursor_changed
            or any(overlay.changed for overlay in self._overlays)
        )  # fmt: skip

    def event(self, kind: str, text: str, **about: Any) -> None:
        """Add a fact: ``board``, ``run``, ``claim``, ``boot``, ``principal``, ``data``, ``at``, ``trace``."""
        at = about.pop("at", self.now)
        # What follows for others (a grant from the queue) is not what the one who asks has done.
        if self._source is not None and about.get("principal") == self._source.principal:
            about["data"] = {**about.get("data", {}), "source": self._source.document()}
        self.events.append(Event(self._state.seq + len(self.events) + 1, at, kind, text, **about))

    @property
    def last_event(self) -> int:
        """Number of the last event so far, those of this draft included."""
        return self._state.seq + len(self.events)

    def came_from(self) -> None:
        """Note anew where what is decided came from: who asks is known only now."""
        self._source = source.current()

    def forget_logins(self, principal: str) -> None:
        """Take away every token and ssh key of a principal."""
        for token in list(self.tokens.values()):
            if token.principal == principal:
                self.tokens.remove(token.hash)
        for key in list(self.keys.values()):
            if key.principal == principal:
                self.keys.remove(key.fingerprint)

    def dismissals(self) -> set[str]:
        """Return the principals whose rights this changes: long connections of theirs must look again."""
        ended = (token for token in self.tokens.changed.values() if token is not None and token.ended)
        return set(self.principals.changed) | {token.principal for token in ended}

    def desired(self, name: str) -> Desired | None:
        """Return what a rack is to bring about for a board; None: nothing, it is not in the inventory."""
        record = self.boards.get(name)
        if record is None or record.board.board_class not in self.inventory.classes:
            return None
        run = self.runs.get(record.run) if record.run else None
        # A run that has ended is not wanted any more: a rack that lost its memory would begin it again.
        order = run.order if run is not None and not run.status.state.ended else None
        platform = self.inventory.platform(record.board.board_class)
        return Desired(
            board=record.board,
            platform=platform.name,
            lifecycle=record.lifecycle,
            claim=record.claim,
            power=record.power,
            cycles=record.cycles,
            asked=record.asked,
            run=order,
            reason=record.reason,
            loader=self.inventory.loader(record.board.board_class, record.facts),
            device_tree=self.inventory.classes[record.board.board_class].device_tree,
        )

    def apply(self) -> None:
        """Make the decision true in memory."""
        for name in self.boards.changed:
            old, new = self._state.boards.get(name), self.boards.get(name)
            if old is not None and old.run and (new is None or new.run != old.run):
                self._followed.append(old.run)
        if not self.inventory_changed:
            self._index()
        for overlay in self._overlays:
            overlay.apply()
        if self.inventory_changed:
            self._state.inventory = self.inventory
            self._state.index()
        self._state.cursor = self.cursor
        self._state.seq += len(self.events)

    def _index(self) -> None:
        pools = self._state.pools
        for name, record in self.boards.changed.items():
            pools.board(self.boards.base.get(name), record)
        for key, claim in self.claims.changed.items():
            pools.claim(self.inventory, self.claims.base.get(key), claim)
        if self.boards.changed or self.claims.changed or self.projects.changed:
            self._state.revision += 1

    def prune(self) -> None:
        """Once it is durable: what is over leaves memory, and is read from the disk from now on."""
        for key, claim in self.claims.changed.items():
            if claim is not None and claim.state is ClaimState.CLOSED:
                self._state.claims.pop(key, None)
        for run in self._followed:
            self._state.runs.pop(run, None)
