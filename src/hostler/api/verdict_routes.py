"""Why a board did not come up."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from hostler.api.documents import BootDocument, boot_document
from hostler.api.gate import Caller, TheHub
from hostler.hub.history import Trace
from hostler.hub.hub import Hub
from hostler.hub.records import Principal
from hostler.model.boot_story import BootStory, Reached
from hostler.model.cause import Verdict
from hostler.model.seam import BootRecord
from hostler.model.trace import TraceEvent
from hostler.model.usual_times import Slow, slow_stages, stage_seconds, usual_times
from hostler.model.verdict import judge

router = APIRouter()


class SlowDocument(BaseModel):
    """A stage that takes longer than it ever did in boots of boards of the same class that came up.

    ``stage`` is one of those of ``reached``; all times are seconds, from the stage before it.
    """

    stage: str
    reached: bool
    seconds: float
    median: float
    longest: float
    boots: int
    text: str


class VerdictDocument(BaseModel):
    """What is known of a boot; ``evidence`` are the events it rests on, as in its trace.

    ``cause`` is one word for programs: ``none`` when it came up, ``under-way`` while nothing is missing yet,
    ``unknown`` when that cannot be told. ``good`` is the last boot of this board before it, for the same
    purpose, that came up; None: none is known.
    """

    board: str
    boot: BootDocument | None
    cause: str
    reached: str
    text: str
    advice: str
    evidence: list[dict[str, Any]]
    slower: list[SlowDocument] = []
    good: BootDocument | None = None


_LOOK = "Look at the equipment; `hostler check BOARD` asks it."
_CAPTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-pcapng": {"schema": {"type": "string", "format": "binary"}}}}
}
_PAST_BOOTS = 20
"""From how many boots of the board's class is learnt how long a stage takes."""
_OWN_BOOTS = 8
"""How many boots of the board itself are looked through for one that came up: one is to be compared with."""


@router.get("/boards/{name}/why")
async def get_why(
    hub: TheHub, caller: Caller, name: str, boot: int | None = Query(None, ge=1)
) -> VerdictDocument:
    """Return why a boot (the last one by default) came no further, for who sees the claim it belonged to."""
    record = hub.reading.board(name)
    await hub.journal.settled()
    observed = hub.state.observed.get(name)
    if boot is None and observed is not None and observed.power_error:
        error = observed.power_error if observed.power_error[-1] in ".?!" else f"{observed.power_error}."
        return _without_boot(name, "power", f"It cannot be switched: {error}", _LOOK)
    trace = await hub.history.trace(name, boot)
    if trace.boot is None:
        text = "It has not booted yet." if boot is None else f"It has no boot {boot}."
        return _without_boot(name, "unknown", text, "")
    claim = await hub.history.boot_claim(trace.boot.id)
    await hub.sight.refuse_stranger(caller, claim, f"what was seen during boot {trace.boot.number}")
    events = [TraceEvent.from_json(event.data) for event in trace.events]
    later = [one.started for one in trace.boots if one.number > trace.boot.number]
    until = ended(events, min(later, default=hub.now()))
    has_console = bool(record.board.console)
    story = BootStory(events, trace.boot.purpose != "local", until, has_console)
    verdict = judge(story)
    alike = [
        one.name for one in hub.state.boards.values() if one.board.board_class == record.board.board_class
    ]
    past = await hub.history.past(alike, trace.boot.purpose, trace.boot.started, _PAST_BOOTS)
    slower = slow_stages(story, usual_times(stage_seconds(one) for one in map(_story, past) if _well(one)))
    return VerdictDocument(
        board=name, boot=boot_document(trace.boot), **_words(verdict),
        evidence=[
            {**event.to_json(), "since": round(event.at - trace.boot.started, 3)}
            for event in verdict.evidence
        ],
        slower=[_slow(one) for one in slower], good=await _good(hub, caller, name, trace.boot),
    )  # fmt: skip


async def _good(hub: Hub, caller: Principal, board: str, boot: BootRecord) -> BootDocument | None:
    """Return the newest boot of a board before this one that came up, among those the caller may see."""
    for one in await hub.history.past([board], boot.purpose, boot.started, _OWN_BOOTS):
        if one.boot is not None and _well(_story(one)):
            claim = await hub.history.boot_claim(one.boot.id)
            await hub.sight.claims([claim] if claim is not None else [])
            if hub.sight.sees(caller, claim):
                return boot_document(one.boot)
    return None


@router.get("/boards/{name}/packets", response_class=Response, responses=_CAPTURE)
async def get_packets(
    hub: TheHub, caller: Caller, name: str, boot: int | None = Query(None, ge=1)
) -> Response:
    """Return what a board and the boot services said during a boot (the last one by default), as pcapng."""
    data, number = await hub.metal.packets(caller, name, boot)
    headers = {"Content-Disposition": f'attachment; filename="{name}-boot-{number}.pcapng"'}
    return Response(data, media_type="application/x-pcapng", headers=headers)


def _without_boot(board: str, cause: str, text: str, advice: str) -> VerdictDocument:
    return VerdictDocument(
        board=board, boot=None, cause=cause, reached="nothing", text=text, advice=advice, evidence=[]
    )


def ended(events: list[TraceEvent], at_most: float) -> float:
    """Return the Unix time at which a boot's power was cut, or else ``at_most``."""
    on = next((event.at for event in events if (event.source, event.kind) == ("power", "on")), None)
    if on is None:
        return at_most
    cut = (event.at for event in events if (event.source, event.kind) == ("power", "off") and event.at > on)
    return min(next(cut, at_most), at_most)


def _story(past: Trace) -> BootStory:
    events = [TraceEvent.from_json(event.data) for event in past.events]
    to_agent = past.boot is not None and past.boot.purpose != "local"
    return BootStory(events, to_agent, events[-1].at if events else 0.0)


def _well(story: BootStory) -> bool:
    return story.reached is Reached.DONE and not story.restarts


def _slow(slow: Slow) -> SlowDocument:
    return SlowDocument(
        stage=slow.usual.stage.name.lower(), reached=slow.reached, seconds=round(slow.seconds, 1),
        median=round(slow.usual.median, 1), longest=round(slow.usual.longest, 1), boots=slow.usual.boots,
        text=slow.text,
    )  # fmt: skip


def _words(verdict: Verdict) -> dict[str, Any]:
    return {
        "cause": verdict.cause.value,
        "reached": verdict.reached.name.lower(),
        "text": verdict.text,
        "advice": verdict.advice,
    }
