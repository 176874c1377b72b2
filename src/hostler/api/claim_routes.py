"""Claims: ask for boards, see who holds and waits for what, change a claim while it lasts, give it back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hostler.api.claim_documents import ClaimDocument, claim_document
from hostler.api.gate import Caller, TheHub
from hostler.api.sse import EventStream, message
from hostler.hub.duration import seconds
from hostler.hub.errors import InvalidError
from hostler.hub.hub import Hub
from hostler.hub.records import Principal
from hostler.model.claim import Claim, ClaimState, Sharing, Want

router = APIRouter()

_IDLE_SECONDS = 15.0
# A queue may move thousands of times a second; nobody reads faster than this.
_WATCH_SECONDS = 0.2

Seconds = Annotated[float, BeforeValidator(seconds, json_schema_input_type=float | str)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WantRequest(_Request):
    """One board, or ``count`` of them: of a class, with labels such as ``ram>=4096``, or this very one."""

    board_class: str | None = Field(default=None, alias="class")
    board: str | None = None
    labels: list[str] = Field(default_factory=list, max_length=32)
    count: int = Field(default=1, ge=1, le=256)

    def each(self) -> list[Want]:
        """Return one for each board."""
        return [Want(self.board_class, self.board, tuple(self.labels))] * self.count


class ClaimRequest(WantRequest):
    """What is asked for: the first board, and with ``wants`` more of them; all are given or none.

    Lengths of time are seconds, or as ``90s`` ``10m`` ``2h`` ``1d``. ``at`` books the boards for later: ISO
    8601 with a zone, or ``+2h`` from now.
    """

    wants: list[WantRequest] = Field(default_factory=list, max_length=256)
    image: str | None = None
    name: str = ""
    ttl: Seconds = 7200.0
    power: bool = False
    wait: bool = False
    project: str | None = None
    priority: int = Field(default=0, ge=-100, le=100)
    at: str | None = None
    keep_alive: Seconds | None = None

    def all_wants(self) -> list[Want]:
        """Return one for each board, those named first first."""
        first = [self] if self.board_class is not None or self.board is not None or self.labels else []
        return [want for asked in (*first, *self.wants) for want in asked.each()]


class ExtendRequest(_Request):
    """How much longer."""

    by: Seconds = 3600.0


class ShareRequest(_Request):
    """What somebody else may do with the boards: ``read`` their consoles, or ``write``: use them."""

    sharing: Literal["read", "write"] = "write"


class HandOverRequest(_Request):
    """Whose claim it is to be."""

    to: str


class KickRequest(_Request):
    """Why it ends, for its owner to read."""

    reason: str = Field(default="", max_length=500)


def _answer(hub: Hub, caller: Principal, claim: Claim, status: int = 200) -> Response:
    text = json.dumps(claim_document(hub, caller, claim), ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


@router.post("/claims", status_code=201, response_model=ClaimDocument)
async def create_claim(hub: TheHub, caller: Caller, body: ClaimRequest) -> Response:
    """Claim boards; with ``wait`` the claim queues when they are not free, with ``at`` it is for later."""
    claim = await hub.claim(
        caller, *body.all_wants(), name=body.name, ttl=body.ttl, image=body.image, power=body.power,
        wait=body.wait, project=body.project, priority=body.priority, start=_moment(hub, body.at),
        keep_alive=body.keep_alive,
    )  # fmt: skip
    return _answer(hub, caller, claim, 201)


def _moment(hub: Hub, text: str | None) -> float | None:
    """Read ISO 8601 with a zone, or ``+2h``, as Unix time."""
    if text is None:
        return None
    try:
        if text.startswith("+"):
            return hub.now() + seconds(text[1:])
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.timestamp()
    except (ValueError, OverflowError):
        pass
    raise InvalidError(
        f'"{text[:100]}" is no time; write for example +2h or 2030-01-31T18:00:00Z', kind="bad-start"
    )


@router.get("/claims")
async def list_claims(
    hub: TheHub, caller: Caller, state: Literal["open", "all"] = "open"
) -> list[ClaimDocument]:
    """List claims, oldest first."""
    found = await hub.reading.claims(closed=state == "all")
    return [ClaimDocument.model_validate(claim_document(hub, caller, claim)) for claim in found]


@router.get("/claims/{claim}", response_model=ClaimDocument)
async def get_claim(hub: TheHub, caller: Caller, claim: str) -> Response:
    """Return a claim by id, or an open one by name."""
    return _answer(hub, caller, await hub.reading.claim(caller, claim))


@router.get("/claims/{claim}/watch", response_class=EventStream)
async def watch_claim(hub: TheHub, caller: Caller, claim: str) -> EventStream:
    """Stream the claim now and after every change of it, its place and estimate: SSE events ``claim``.

    The stream ends with the claim.
    """
    first = await hub.reading.claim(caller, claim)

    async def follow() -> AsyncIterator[str]:
        sent, shown = "", first
        while True:
            version = hub.bells.version("claims")
            shown = hub.state.claims.get(first.id) or await hub.reading.claim(caller, first.id)
            text = json.dumps(claim_document(hub, caller, shown), ensure_ascii=False)
            if text != sent:
                yield message(text, "claim")
                sent = text
            if shown.state is ClaimState.CLOSED:
                return
            if not await hub.bells.wait("claims", version, _IDLE_SECONDS):
                yield message()
            else:
                await asyncio.sleep(_WATCH_SECONDS)

    return EventStream(follow())


@router.delete("/claims/{claim}", status_code=202, response_model=ClaimDocument)
async def release_claim(hub: TheHub, caller: Caller, claim: str) -> Response:
    """Give a claim back: its boards are wiped, and the claim closed when that was verified."""
    return _answer(hub, caller, await hub.release(caller, claim), 202)


@router.post("/claims/{claim}/extend", response_model=ClaimDocument)
async def extend_claim(hub: TheHub, caller: Caller, claim: str, body: ExtendRequest) -> Response:
    """Let an active claim end later."""
    return _answer(hub, caller, await hub.claim_desk.extend(caller, claim, body.by))


@router.post("/claims/{claim}/alive", response_model=ClaimDocument)
async def keep_claim_alive(hub: TheHub, caller: Caller, claim: str) -> Response:
    """Tell that the client a claim is for still lives; a claim with ``keep_alive`` ends without."""
    return _answer(hub, caller, await hub.claim_desk.alive(caller, claim))


@router.put("/claims/{claim}/shares/{user}", response_model=ClaimDocument)
async def share_claim(hub: TheHub, caller: Caller, claim: str, user: str, body: ShareRequest) -> Response:
    """Let somebody else use a claim's boards, or look on."""
    return _answer(hub, caller, await hub.claim_desk.share(caller, claim, user, Sharing(body.sharing)))


@router.delete("/claims/{claim}/shares/{user}", response_model=ClaimDocument)
async def unshare_claim(hub: TheHub, caller: Caller, claim: str, user: str) -> Response:
    """Take back what was shared; consoles that it opened are closed."""
    return _answer(hub, caller, await hub.claim_desk.unshare(caller, claim, user))


@router.post("/claims/{claim}/hand-over", response_model=ClaimDocument)
async def hand_over_claim(hub: TheHub, caller: Caller, claim: str, body: HandOverRequest) -> Response:
    """Make somebody else a claim's owner."""
    return _answer(hub, caller, await hub.claim_desk.hand_over(caller, claim, body.to))


@router.post("/claims/{claim}/kick", status_code=202, response_model=ClaimDocument)
async def kick_claim(hub: TheHub, caller: Caller, claim: str, body: KickRequest) -> Response:
    """End a claim at once, whoever holds it (admins of its project and of the lab)."""
    return _answer(hub, caller, await hub.claim_desk.kick(caller, claim, body.reason), 202)
