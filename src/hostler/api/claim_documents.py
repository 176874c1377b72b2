"""Claims and classes as JSON documents; claims are asked for most of all, and put together by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hostler.api.documents import iso, iso_or_none
from hostler.hub import access
from hostler.model.claim import ClaimState
from hostler.model.platform import PLATFORMS

if TYPE_CHECKING:
    from hostler.hub.hub import Hub
    from hostler.hub.records import Principal
    from hostler.model.claim import Claim


class _Document(BaseModel):
    model_config = ConfigDict(populate_by_name=True, extra="forbid")


class ClassDocument(_Document):
    """A class, and how many of its boards are free; ``max_ttl`` in seconds."""

    name: str
    platform: str
    arch: str
    boards: int
    available: int
    waiting: int
    max_ttl: float | None


class WantDocument(_Document):
    """One board asked for."""

    board_class: str | None = Field(alias="class")
    board: str | None
    labels: list[str]


class ClaimDocument(_Document):
    """A claim. Of other projects' claims only who holds or waits for what, since when and until when.

    ``board`` and ``class`` are those of the first board. ``position`` is its place in the queue while it
    waits, from 1; ``estimate`` when it may expect its boards, null: nobody knows. ``shares`` says what others
    may do, ``unclean`` why boards it gave back did not come back clean. Lengths of time are seconds.
    """

    id: str
    principal: str
    project: str
    state: Literal["pending", "active", "releasing", "closed"]
    boards: list[str]
    board: str | None
    created: str
    granted: str | None
    expires: str | None
    closed: str | None
    name: str = ""
    board_class: str | None = Field(default=None, alias="class")
    wants: list[WantDocument] = Field(default_factory=list)
    image: str | None = None
    ttl: float | None = None
    priority: int | None = None
    shares: dict[str, Literal["read", "write"]] = Field(default_factory=dict)
    start: str | None = None
    keep_alive: float | None = None
    origin: Literal["user", "check"] | None = None
    reason: str = ""
    unclean: dict[str, str] = Field(default_factory=dict)
    position: int | None = None
    estimate: str | None = None


_HIDDEN: dict[str, Any] = {
    "name": "", "class": None, "wants": [], "image": None, "ttl": None, "priority": None, "shares": {},
    "start": None, "keep_alive": None, "origin": None, "reason": "", "unclean": {}, "position": None,
    "estimate": None,
}  # fmt: skip


def claim_document(hub: Hub, caller: Principal, claim: Claim) -> dict[str, Any]:
    """Return a claim as this caller may see it: a ``ClaimDocument``."""
    document: dict[str, Any] = {
        "id": claim.id,
        "principal": claim.principal,
        "project": claim.project,
        "state": claim.state.value,
        "boards": list(claim.boards),
        "board": claim.board,
        "created": iso(claim.created),
        "granted": iso_or_none(claim.granted),
        "expires": iso_or_none(claim.expires),
        "closed": iso_or_none(claim.closed),
    }
    if not access.may_see(caller, claim):
        return document | _HIDDEN
    first = claim.wants[0]
    board_class = first.board_class
    if board_class is None and (name := claim.board or first.board) is not None:
        record = hub.state.boards.get(name)
        board_class = record.board.board_class if record is not None else None
    # A closed claim may still be in memory; where it stood does not matter any more.
    waits = claim.state is ClaimState.PENDING and claim.id in hub.state.claims
    place = hub.claim_desk.place(claim) if waits else None
    document.update(
        {
            "name": claim.name,
            "class": board_class,
            "wants": [
                {"class": want.board_class, "board": want.board, "labels": list(want.labels)}
                for want in claim.wants
            ],
            "image": claim.image,
            "ttl": claim.ttl,
            "priority": claim.priority,
            "shares": {name: sharing.value for name, sharing in claim.shares.items()},
            "start": iso_or_none(claim.start),
            "keep_alive": claim.keep_alive,
            "origin": claim.origin.value,
            "reason": claim.reason,
            "unclean": claim.unclean,
            "position": place.position if place is not None else None,
            "estimate": iso_or_none(place.expected) if place is not None else None,
        }
    )
    return document


def class_documents(hub: Hub, *, available: bool) -> list[ClassDocument]:
    """Return every class, or those with a free board."""
    pools = hub.state.pools
    documents = []
    for name, board_class in sorted(hub.state.inventory.classes.items()):
        free = len(pools.free.get(name, ()))
        if free or not available:
            platform = PLATFORMS[board_class.platform]
            documents.append(
                ClassDocument(
                    name=name, platform=platform.name, arch=platform.arch,
                    boards=len(pools.members.get(name, ())), available=free,
                    waiting=len(pools.waiting.get(name, ())), max_ttl=board_class.max_ttl,
                )
            )  # fmt: skip
    return documents
