"""Why a board did not come up."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from hostler.api.documents import BootDocument, boot_document
from hostler.api.gate import Caller, TheHub
from hostler.model.boot_story import BootStory
from hostler.model.cause import Verdict
from hostler.model.trace import TraceEvent
from hostler.model.verdict import judge

router = APIRouter()


class VerdictDocument(BaseModel):
    """What is known of a boot; ``evidence`` are the events it rests on, as in its trace.

    ``cause`` is one word for programs: ``none`` when it came up, ``under-way`` while nothing is missing yet,
    ``unknown`` when that cannot be told.
    """

    board: str
    boot: BootDocument | None
    cause: str
    reached: str
    text: str
    advice: str
    evidence: list[dict[str, Any]]


@router.get("/boards/{name}/why")
async def get_why(
    hub: TheHub, caller: Caller, name: str, boot: int | None = Query(None, ge=1)
) -> VerdictDocument:
    """Return why a boot (the last one by default) came no further, for who sees the claim it belonged to."""
    record = hub.reading.board(name)
    await hub.journal.settled()
    trace = await hub.history.trace(name, boot)
    if trace.boot is None:
        text = "It has not booted yet." if boot is None else f"It has no boot {boot}."
        return VerdictDocument(
            board=name, boot=None, cause="unknown", reached="nothing", text=text, advice="", evidence=[]
        )
    claim = await hub.history.boot_claim(trace.boot.id)
    await hub.sight.refuse_stranger(caller, claim, f"what was seen during boot {trace.boot.number}")
    events = [TraceEvent.from_json(event.data) for event in trace.events]
    later = [one.started for one in trace.boots if one.number > trace.boot.number]
    until = ended(events, min(later, default=hub.now()))
    has_console = bool(record.board.console)
    verdict = judge(BootStory(events, trace.boot.purpose != "local", until, has_console))
    return VerdictDocument(
        board=name, boot=boot_document(trace.boot), **_words(verdict),
        evidence=[
            {**event.to_json(), "since": round(event.at - trace.boot.started, 3)}
            for event in verdict.evidence
        ],
    )  # fmt: skip


def ended(events: list[TraceEvent], at_most: float) -> float:
    """Return the Unix time at which a boot's power was cut, or else ``at_most``."""
    on = next((event.at for event in events if (event.source, event.kind) == ("power", "on")), None)
    if on is None:
        return at_most
    cut = (event.at for event in events if (event.source, event.kind) == ("power", "off") and event.at > on)
    return min(next(cut, at_most), at_most)


def _words(verdict: Verdict) -> dict[str, Any]:
    return {
        "cause": verdict.cause.value,
        "reached": verdict.reached.name.lower(),
        "text": verdict.text,
        "advice": verdict.advice,
    }
