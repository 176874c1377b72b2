"""What the lab is made of, and what changes when it is described anew."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hostler.model.board import Board, BoardClass, Equipment
from hostler.model.hook import HookPlan
from hostler.model.platform import PLATFORMS, Platform
from hostler.model.seam import RackPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.hub.records import Agent
    from hostler.model.first_stages import Loader


KEEP_SECONDS = 90 * 86400.0
KEEP_TRACES_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class OidcPlan:
    """Who vouches for people besides the lab itself: an OpenID Connect provider.

    Attributes:
        issuer: Its address, exactly as its tokens say it.
        client_id: What the lab is called there; its tokens are made for it.
        client_secret: Where its password there is (``env:NAME`` or ``file:PATH``); empty: it has none.
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
    client_secret: str = ""

    def subject(self, sub: str) -> str:
        """Return how a principal is linked with a subject of this provider."""
        return f"{self.issuer} {sub}"


@dataclass(frozen=True, slots=True)
class UpstreamPlan:
    """Another server whose images can be deployed here.

    Attributes:
        url: Its address, without a path.
        token: Where the token is by which it is asked (``env:NAME`` or ``file:PATH``).
        ca: Where the certificates are that vouch for it (``file:PATH``); empty: the system knows.
        cache: Bytes of its chunks that are kept here.
    """

    url: str
    token: str
    ca: str
    cache: int


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
        metadata: What templates find for every board.
        image_limit: Bytes the image store may hold; None: as many as fit.
        image_limit_per_person: Bytes of data that the images of one member may have; None: any number.
        upstream: Another server whose images can be deployed here, or None.
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
    metadata: dict[str, Any] = field(default_factory=dict)
    image_limit: int | None = None
    image_limit_per_person: int | None = None
    upstream: UpstreamPlan | None = None

    @property
    def digest(self) -> str:
        """What tells this inventory from any other one: the SHA-256 of its text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def platform(self, board_class: str) -> Platform:
        """Return the platform of a class; raises KeyError for a class it does not have."""
        return PLATFORMS[self.classes[board_class].platform]

    def loader(self, board_class: str, facts: Mapping[str, Any]) -> Loader | None:
        """Return what is to bring a board's kernel, or None: its firmware leaves no choice.

        Args:
            board_class: The board's class; KeyError is raised for one the inventory does not have.
            facts: What its agent told of it.
        """
        chosen = self.classes[board_class].loader
        return self.platform(board_class).loader(chosen, secure_boot=facts.get("secure_boot") is True)

    def rack_plan(self, agents: Mapping[str, Agent]) -> RackPlan:
        """Return what a rack has to serve besides its boards."""
        return RackPlan(
            networks=self.networks,
            equipment=tuple(self.equipment[name] for name in sorted(self.equipment)),
            agents={
                arch: {**agent.boot_files, "kernel": agent.kernel, "initrd": agent.initrd}
                for arch, agent in agents.items()
            },
            keep_traces=self.keep_traces,
        )
