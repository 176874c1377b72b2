"""Boards and classes: what there is, power, plans, and what happened during a boot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import nullcontext
from typing import Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from hostler.api.board_news import PACE_SECONDS, BoardNews
from hostler.api.claim_documents import ClassDocument, class_documents
from hostler.api.documents import (
    BoardDocument,
    PowerCutDocument,
    PowerDocument,
    RunDocument,
    TraceDocument,
    board_document,
    boot_document,
    power_document,
    run_document,
)
from hostler.api.gate import Caller, TheHub
from hostler.api.line_news import LineNews
from hostler.api.sse import ALSO_A_STREAM, EventStream, message
from hostler.hub.captures import CaptureWish
from hostler.hub.errors import InvalidError
from hostler.hub.first_boot import FirstBootWish
from hostler.hub.hub import Hub
from hostler.hub.install_target import TargetWish
from hostler.hub.records import BoardRecord, Principal
from hostler.model.first_boot import Way

router = APIRouter()

_WATCH_SECONDS = 15.0


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PowerRequest(_Request):
    """What to do with a board's power."""

    action: Literal["on", "off", "cycle"]


class AllOffRequest(_Request):
    """Which boards: those on one equipment, or all."""

    equipment: str | None = None


class TargetRequest(_Request):
    """Where the image of a disk goes, and what is done there; what is left out is as ``lab.toml`` says."""

    disk: str | None = Field(None, max_length=500, description="hint, such as bus=nvme,smallest")
    grow: bool | None = Field(None, description="let the last partition grow to the size of the disk")
    to: str = Field("disk", max_length=80, description="disk, emmc-boot0, emmc-boot1 or mtd:NAME")
    emmc_boot: str | None = Field(None, max_length=80, description="words such as boot0,ack,x8")

    def wish(self) -> TargetWish:
        """Return it as the hub takes it."""
        return TargetWish(**dict(self))


class RunRequest(_Request):
    """Steps in order, as in ``wipe,install:debian,boot``, and metadata for templates by dotted key."""

    plan: str
    set: dict[str, str] = Field(default_factory=dict, max_length=100)
    target: TargetRequest | None = None
    dry_run: bool = Field(default=False, description="only tell whether it could be, and what it would do")


class FirstBootRequest(_Request):
    """What an image of a disk is told before its first boot: by a seed for cloud-init, or by files in it."""

    hostname: str | None = Field(None, max_length=253, description="empty: the board's name")
    own_keys: bool = Field(default=False, description="let in the ssh keys of the board's holder")
    ssh_keys: list[str] = Field(default_factory=list, max_length=100)
    user: str = Field("", max_length=32, description="empty: cloud-init's default user, or root")
    files: dict[str, str] = Field(default_factory=dict, max_length=100)
    network: dict[str, Any] | None = Field(
        None, description="as cloud-init's network configuration version 2"
    )
    way: Way = Way.AUTO

    def wish(self) -> FirstBootWish:
        """Return it as the hub takes it."""
        return FirstBootWish(**{**dict(self), "ssh_keys": tuple(self.ssh_keys)})


class DeployRequest(_Request):
    """The image to put on the board, and metadata for its templates by dotted key."""

    image: str
    set: dict[str, str] = Field(default_factory=dict, max_length=100)
    first_boot: FirstBootRequest | None = None
    target: TargetRequest | None = None
    dry_run: bool = Field(default=False, description="only tell whether it could be, and what it would do")


class CaptureRequest(_Request):
    """What the image is to be called, and how the disk is read."""

    name: str = Field(alias="as", max_length=100, description="the image's name")
    disk: str | None = Field(None, max_length=500, description="hint, such as bus=nvme,smallest")
    clean: list[str] = Field(
        default_factory=lambda: ["default"], max_length=64,
        description="what is taken out of the image: default, machine-id, …, paths; none alone: nothing",
    )  # fmt: skip
    shrink: bool = Field(default=False, description="make the image as small as can be")

    def wish(self) -> CaptureWish:
        """Return it as the hub takes it."""
        return CaptureWish(self.disk, tuple(self.clean), self.shrink)


@router.get("/classes")
async def list_classes(hub: TheHub, *, available: bool = False) -> list[ClassDocument]:
    """List what may be asked for."""
    return class_documents(hub, available=available)


@router.get("/boards", response_model=list[BoardDocument], responses=ALSO_A_STREAM)
async def list_boards(
    hub: TheHub, caller: Caller, request: Request, *,
    claimed: Literal["mine", "any", "none"] | None = None, follow: bool = False, lines: bool = False,
) -> Response | list[BoardDocument]:  # fmt: skip
    """List boards: all, those that are mine, that anybody holds, or that nobody holds.

    With ``follow`` all of them as SSE, for ever: first an event ``board`` for each and one ``complete``, then
    a ``board`` for each that changes, and ``gone`` with the name of one that is no more. With ``lines`` also
    ``said``: the last line of a console the caller may join, ``{"name", "line", "at"}``, each second at most;
    empty when there is none any more that is theirs to read.
    """
    if follow:
        return EventStream(_every_board(hub, caller, request.app.state.board_news, lines=lines))
    if lines:
        raise InvalidError("lines are told to who follows: add follow=true")
    records = [record for _, record in sorted(hub.state.boards.items())]
    await hub.sight.prepare(caller, records)
    documents = [board_document(hub, caller, record) for record in records]
    if claimed == "mine":
        return [board for board in documents if board.claim and board.claim.principal == caller.name]
    if claimed is not None:
        return [board for board in documents if (board.claim is not None) == (claimed == "any")]
    return documents


async def _every_board(hub: Hub, caller: Principal, news: BoardNews, *, lines: bool) -> AsyncIterator[str]:
    async def told(names: Iterable[str]) -> str:
        await hub.sight.prepare(
            caller, [hub.state.boards[name] for name in names if name in hub.state.boards]
        )
        return "".join(news.text(caller, name) for name in names)

    consoles = LineNews(hub.last_lines, caller) if lines else None
    with hub.last_lines.followed() if lines else nullcontext():
        number, bell = news.look(), news.bell
        yield await told(sorted(hub.state.boards)) + message("{}", "complete")
        said = time.monotonic()
        while True:
            await asyncio.sleep(PACE_SECONDS)
            await news.wait(bell)
            now = time.monotonic()
            newest, bell = news.look(), news.bell
            names, number = news.since(number), newest
            text = await told(names) if names else ""
            if consoles is not None:
                text += consoles.text(names)
            if text or now - said > _WATCH_SECONDS:
                said = now
                yield text or message()


@router.get("/boards/{name}")
async def get_board(hub: TheHub, caller: Caller, name: str) -> BoardDocument:
    """Return a board."""
    return await _board(hub, caller, hub.reading.board(name))


async def _board(hub: Hub, caller: Principal, record: BoardRecord) -> BoardDocument:
    await hub.sight.prepare(caller, [record])
    return board_document(hub, caller, record)


@router.get("/boards/{name}/watch", response_class=EventStream)
async def watch_board(hub: TheHub, caller: Caller, name: str) -> EventStream:
    """Stream the board now and after every change, byte progress included: SSE events ``board``."""
    hub.reading.board(name)

    async def follow() -> AsyncIterator[str]:
        sent = ""
        while (record := hub.state.boards.get(name)) is not None:
            version = hub.bells.version(f"board/{name}")
            text = (await _board(hub, caller, record)).model_dump_json(by_alias=True)
            yield message(text, "board") if text != sent else message()
            sent = text
            await hub.bells.wait(f"board/{name}", version, _WATCH_SECONDS)

    return EventStream(follow())


@router.get("/boards/{name}/power")
async def get_power(hub: TheHub, name: str) -> PowerDocument:
    """Return what a board's power is to be and what was read last."""
    return power_document(hub.reading.board(name), hub.state.observed.get(name))


@router.post("/boards/{name}/power", status_code=202)
async def set_power(hub: TheHub, caller: Caller, name: str, body: PowerRequest) -> PowerDocument:
    """Ask for power on, off or a cycle; it is done when ``observed`` says so."""
    record = await hub.power(caller, name, body.action)
    return power_document(record, hub.state.observed.get(name))


@router.post("/power/all-off", status_code=202)
async def all_off(hub: TheHub, caller: Caller, body: AllOffRequest) -> PowerCutDocument:
    """Switch off every board of the lab or of one equipment, whatever it is doing (admin)."""
    cut = await hub.all_off(caller, body.equipment)
    return PowerCutDocument(boards=list(cut.boards), runs=list(cut.runs), quarantined=list(cut.quarantined))


@router.post("/boards/{name}/runs", status_code=202)
async def start_run(hub: TheHub, caller: Caller, name: str, body: RunRequest) -> RunDocument:
    """Begin a plan on a board one holds; with ``dry_run`` return the run that would be, and begin nothing."""
    target = body.target.wish() if body.target is not None else None
    return run_document(await hub.start_run(caller, name, body.plan, body.set, target, dry_run=body.dry_run))


@router.post("/boards/{name}/capture", status_code=202)
async def capture(hub: TheHub, caller: Caller, name: str, body: CaptureRequest) -> RunDocument:
    """Make an image of the disk of a board one holds."""
    return run_document(await hub.capture(caller, name, body.name, body.wish()))


@router.post("/boards/{name}/deploy", status_code=202)
async def deploy(hub: TheHub, caller: Caller, name: str, body: DeployRequest) -> RunDocument:
    """Put an image on a board one holds, and boot it; ``dry_run`` as for a plan."""
    wish = body.first_boot.wish() if body.first_boot is not None else None
    target = body.target.wish() if body.target is not None else None
    return run_document(
        await hub.deploy(caller, name, body.image, body.set, wish, target, dry_run=body.dry_run)
    )


@router.post("/boards/{name}/recover", status_code=202)
async def recover(hub: TheHub, caller: Caller, name: str) -> BoardDocument:
    """Wipe a board that was put aside, so that it can be claimed again (admin)."""
    return board_document(hub, caller, await hub.recover(caller, name))


@router.get("/boards/{name}/trace")
async def get_trace(
    hub: TheHub, caller: Caller, name: str, boot: int | None = Query(None, ge=1)
) -> TraceDocument:
    """Return what was seen during a boot (the last one by default), for who sees the claim it belonged to."""
    hub.reading.board(name)
    await hub.journal.settled()  # no answer given before may show more than this one
    trace = await hub.history.trace(name, boot)
    if trace.boot is not None:
        claim = await hub.history.boot_claim(trace.boot.id)
        await hub.sight.refuse_stranger(caller, claim, f"what was seen during boot {trace.boot.number}")
    started = trace.boot.started if trace.boot else 0.0
    return TraceDocument(
        board=name,
        boot=boot_document(trace.boot) if trace.boot else None,
        boots=[boot_document(one) for one in trace.boots],
        events=[{**event.data, "since": round(event.at - started, 3)} for event in trace.events],
    )


@router.get("/runs")
async def list_runs(hub: TheHub, caller: Caller, board: str | None = None) -> list[RunDocument]:
    """List runs, newest first: those of claims one sees, and of none."""
    return [run_document(run) for run in await hub.sight.runs(caller, await hub.reading.runs(board))]


@router.get("/runs/{run_id}")
async def get_run(hub: TheHub, caller: Caller, run_id: str) -> RunDocument:
    """Return a run, for who sees the claim it belongs to."""
    run = await hub.reading.run(run_id)
    await hub.sight.refuse_stranger(caller, run.claim, f"run {run_id}")
    return run_document(run)


@router.delete("/runs/{run_id}", status_code=202)
async def cancel_run(hub: TheHub, caller: Caller, run_id: str) -> RunDocument:
    """Call a run off; it has ended when its state says so."""
    return run_document(await hub.cancel_run(caller, run_id))
