"""What the lab is made of, and what changes when it is described anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hostler.model.board import Board, BoardClass, Equipment
from hostler.model.hook import HookPlan
from hostler.model.platform import PLATFORMS, Platform
from hostler.model.seam import RackPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hostler.hub.records import Agent


KEEP_SECONDS = 90 * 86400.0
KEEP_TRACES_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class OidcPlan:
    """Who vouches for people besides the lab itself: an OpenID Connect provider.

    Attributes:
        issuer: Its address, exactly as its tokens say it.
        client_id: What the lab is called there; its tokens are made for it.
        name_claim: What of a token is the name of a principal that is made.
        project_claim: What of a token lists projects; empty: nothing does.
        auto_create: Whether a principal is made for whoever comes for the first time.
        role: What such a principal is in the lab.
    """

    issuer: str
    client_id: str
    name_claim: str = "preferred_username"
    project_claim: str = ""
    auto_create: bool = False
    role: str = "member"

    def subject(self, sub: str) -> str:
        """Return how a principal is linked with a subject of this provider."""
        return f"{self.issuer} {sub}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything ``lab.toml`` describes.

    Attributes:
        lab: The lab's name.
        text: The text it was read from.
        networks: By name, JSON values with every default filled in; ``lease`` in seconds,
            ``netns_pidfile`` absolute.
        equipment: By name.
        classes: By name.
        boards: By name.
        hooks: By name.
        oidc: Who vouches for people besides the lab, or None.
        keep: Seconds for which closed claims, ended runs and events are kept.
        keep_traces: Seconds for which boots and what was seen of them are kept.
    """

    lab: str = ""
    text: str = ""
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    equipment: dict[str, Equipment] = field(default_factory=dict)
    classes: dict[str, BoardClass] = field(default_factory=dict)
    boards: dict[str, Board] = field(default_factory=dict)
    hooks: dict[str, HookPlan] = field(default_factory=dict)
    oidc: OidcPlan | None = None
    keep: float = KEEP_SECONDS
    keep_traces: float = KEEP_TRACES_SECONDS

    def platform(self, board_class: str) -> Platform:
        """Return the platform of a class; raises KeyError for a class it does not have."""
        return PLATFORMS[self.classes[board_class].platform]

    def rack_plan(self, agents: Mapping[str, Agent]) -> RackPlan:
        """Return what a rack has to serve besides its boards."""
        return RackPlan(
            networks=self.networks,
            equipment=tuple(self.equipment[name] for name in sorted(self.equipment)),
            agents={arch: {"kernel": agent.kernel, "initrd": agent.initrd} for arch, agent in agents.items()},
        )


@dataclass(frozen=True, slots=True)
class InventoryChange:
    """One difference between two inventories.

    Attributes:
        what: ``network`` ``equipment`` ``class`` ``board`` ``hook``.
        name: Which one.
        change: ``add`` ``change`` ``remove``.
        detail: What differs, for people.
    """

    what: str
    name: str
    change: str
    detail: str = ""


def differences(old: Inventory, new: Inventory) -> list[InventoryChange]:
    """Return everything that is in one and not in the other, in the order of the file."""
    kinds: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...] = (
        ("network", old.networks, new.networks),
        ("equipment", old.equipment, new.equipment),
        ("class", old.classes, new.classes),
        ("board", old.boards, new.boards),
        ("hook", old.hooks, new.hooks),
    )
    return [change for what, before, after in kinds for change in _compare(what, before, after)]


def _compare(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[InventoryChange]:
    for name in sorted(before.keys() - after.keys()):
        yield InventoryChange(what, name, "remove")
    for name, value in after.items():
        if name not in before:
            yield InventoryChange(what, name, "add")
        elif before[name] != value:
            yield InventoryChange(what, name, "change", _detail(before[name], value))


def _detail(before: Any, after: Any) -> str:
    def fields(value: Any) -> dict[str, Any]:
        return value if isinstance(value, dict) else {key: getattr(value, key) for key in value.__slots__}

    old, new = fields(before), fields(after)
    return ", ".join(key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key))
