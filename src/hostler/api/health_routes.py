"""Health of boards, training, and maintenance."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from hostler.api.documents import BoardDocument, board_document, iso, iso_or_none
from hostler.api.gate import Caller, TheHub
from hostler.hub.records import BoardRecord, HealthVerdict, Principal

router = APIRouter()

_REASON_LENGTH = 500  # it is shown in a line of a table


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class HealthRequest(_Request):
    """What to do about a board's health: check it, set a verdict, loop, or stop the check it is in."""

    action: Literal["check", "good", "bad", "unknown", "looping", "stop"]
    reason: str = Field(default="", max_length=_REASON_LENGTH)


class TrainingRequest(_Request):
    """How often the board has to boot."""

    boots: int = 20


class MaintenanceRequest(_Request):
    """Why, and whether the claim that holds the board ends now."""

    reason: str = Field(default="", max_length=_REASON_LENGTH)
    now: bool = False


class CheckupDocument(BaseModel):
    """A check under way; ``of`` 0: until somebody says stop."""

    kind: Literal["once", "looping", "training"]
    stage: Literal["wires", "plan", "pause"]
    begun: str
    by: str
    run: str | None
    passed: int
    failed: int
    of: int


class BoardHealthDocument(BaseModel):
    """How a board did when it was last checked, and the check it is in."""

    board: str
    board_class: str
    lifecycle: str
    reason: str
    verdict: Literal["unknown", "good", "bad", "looping"]
    at: str | None
    detail: str
    passes: int
    fails: int
    asked: str
    suspect: str
    checkup: CheckupDocument | None


class StageDocument(BaseModel):
    """Seconds from power-on to a stage, over the boots of a training that succeeded."""

    stage: str
    boots: int
    min: float
    median: float
    max: float


class TrainedBootDocument(BaseModel):
    """One boot of a training; ``stages`` in seconds from power-on."""

    round: int
    fault: str
    stages: dict[str, float]


class TrainingDocument(BaseModel):
    """What a board's last training measured."""

    began: str
    boots: list[TrainedBootDocument]
    stages: list[StageDocument]


class HealthReportDocument(BoardHealthDocument):
    """A board's health, with its last training."""

    training: TrainingDocument | None


@router.get("/health")
async def list_health(hub: TheHub, caller: Caller) -> list[BoardHealthDocument]:
    """List the health of every board of the inventory."""
    boards = hub.state.inventory.boards
    records = (hub.state.boards[name] for name in sorted(boards) if name in hub.state.boards)
    return [BoardHealthDocument(**_health(record, caller)) for record in records]


@router.get("/boards/{name}/health")
async def get_health(hub: TheHub, caller: Caller, name: str) -> HealthReportDocument:
    """Return a board's health, the check it is in, and what its last training measured."""
    report = await hub.health.report(name)
    trained = report.record.health.trained
    training = None
    if trained is not None:
        training = TrainingDocument(
            began=iso(trained),
            boots=[TrainedBootDocument.model_validate(boot) for boot in report.boots],
            stages=[
                StageDocument(
                    stage=row.stage, boots=row.boots, min=row.shortest, median=row.median, max=row.longest
                )
                for row in report.times
            ],
        )
    return HealthReportDocument(**_health(report.record, caller), training=training)


@router.post("/boards/{name}/health", status_code=202)
async def set_health(hub: TheHub, caller: Caller, name: str, body: HealthRequest) -> BoardHealthDocument:
    """Ask for a check, set a verdict by hand, let a board be checked again and again, or stop (admin)."""
    if body.action == "check":
        record = await hub.health.ask(caller, name)
    elif body.action == "stop":
        record = await hub.health.stop(caller, name)
    else:
        record = await hub.health.judge(caller, name, HealthVerdict(body.action), body.reason)
    return BoardHealthDocument(**_health(record, caller))


@router.post("/boards/{name}/training", status_code=202)
async def train(hub: TheHub, caller: Caller, name: str, body: TrainingRequest) -> BoardHealthDocument:
    """Have a board boot so many times before anybody may have it (admin)."""
    return BoardHealthDocument(**_health(await hub.health.train(caller, name, body.boots), caller))


@router.post("/boards/{name}/maintenance", status_code=202)
async def begin_maintenance(
    hub: TheHub, caller: Caller, name: str, body: MaintenanceRequest
) -> BoardDocument:
    """Take a board aside: now if nobody holds it, else once it is given back (admin)."""
    return board_document(hub, caller, await hub.begin_maintenance(caller, name, body.reason, kick=body.now))


@router.delete("/boards/{name}/maintenance", status_code=202)
async def end_maintenance(hub: TheHub, caller: Caller, name: str) -> BoardDocument:
    """Let a board come back, by way of a wipe (admin)."""
    return board_document(hub, caller, await hub.end_maintenance(caller, name))


def _health(record: BoardRecord, caller: Principal) -> dict[str, Any]:
    health = record.health
    return {
        "board": record.name,
        "board_class": record.board.board_class,
        "lifecycle": record.lifecycle.value,
        "reason": record.reason,
        "verdict": health.verdict.value,
        "at": iso_or_none(health.at),
        "detail": health.detail,
        "passes": health.passes,
        "fails": health.fails,
        "asked": health.asked,
        # It tells what somebody did with the board.
        "suspect": health.suspect if caller.admin else "",
        "checkup": CheckupDocument(
            kind=health.checkup.kind.value,
            stage=health.checkup.stage.value,
            begun=iso(health.checkup.begun),
            by=health.checkup.by,
            run=health.checkup.run,
            passed=health.checkup.passed,
            failed=health.checkup.failed,
            of=health.checkup.of,
        )
        if health.checkup
        else None,
    }
