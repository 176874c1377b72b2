"""The JSON documents of the API, and how they are made of what the hub knows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hostler.hub import access, boards
from hostler.hub.front_panel import place_of, wires_of
from hostler.hub.hub import Hub
from hostler.hub.image_records import ImageRecord, NetbootImage
from hostler.hub.records import BoardRecord, Event, Principal, RunRecord
from hostler.hub.runs import step_names
from hostler.model.board import Board
from hostler.model.claim import Claim
from hostler.model.platform import PLATFORMS
from hostler.model.seam import BootRecord, Observed
from hostler.model.signature import key_id


class _Document(BaseModel):
    model_config = ConfigDict(populate_by_name=True)


class PowerDocument(_Document):
    """What a board's power is to be, and what was read last.

    ``as_asked`` is whether it is so by now, as far as anybody can know: it reads so, or was switched so and
    cannot be read, and cycles are over. ``waits`` is what switching on waits for; ``mismatch_since`` is when
    it began to differ from that.
    """

    desired: Literal["on", "off"]
    observed: Literal["on", "off", "unknown"]
    as_asked: bool
    watts: float | None
    detail: str
    error: str
    waits: str
    mismatch_since: str | None
    at: str | None


class PowerCutDocument(_Document):
    """Boards that are to be off now, the runs that ended for it, and the boards put aside in mid-wipe."""

    boards: list[str]
    runs: list[str]
    quarantined: list[str]


class RunDocument(_Document):
    """A plan on a board and how far it is; ``done`` and ``total`` are bytes of the present phase."""

    id: str
    board: str
    plan: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled", "timed_out"]
    step: int
    steps: list[str]
    phase: str
    attempt: int
    done: int
    total: int
    results: list[dict[str, Any]]
    error: str
    log: list[str]
    created: str
    started: str | None
    ended: str | None
    claim: str | None
    purpose: Literal["user", "deploy", "release", "check"]


class BootDocument(_Document):
    """One power-up of a board."""

    id: str
    number: int
    started: str
    purpose: str


class HolderDocument(_Document):
    """Who holds a board and until when."""

    id: str
    name: str
    principal: str
    expires: str | None


class BindingDocument(_Document):
    """A wire of a board; ``place`` tells its end at the equipment and is for admins, as the inventory is."""

    kind: Literal["power", "console", "bootctl"]
    driver: str
    equipment: str | None
    place: str


class BoardDocument(_Document):
    """A board; ``console``: whether it is connected, None: there is none; ``health``: what a check said."""

    name: str
    board_class: str = Field(serialization_alias="class")
    platform: str
    arch: str
    lifecycle: str
    reason: str
    health: Literal["unknown", "good", "bad", "looping"]
    labels: dict[str, str]
    network: str
    macs: list[str]
    uuid: str | None
    serial: str | None
    address: str | None
    facts: dict[str, Any]
    claim: HolderDocument | None
    power: PowerDocument
    run: RunDocument | None
    boot: BootDocument | None
    console: bool | None
    bindings: list[BindingDocument]


class DoneDocument(_Document):
    """What tells that a board has booted an image."""

    console: str
    seconds: float


class NetbootDocument(_Document):
    """How an image comes over the network; files by name with their artefact ids, times in seconds."""

    installs: bool
    kernel: str
    initrd: str | None
    cmdline: str
    files: dict[str, str]
    templates: list[str]
    metadata: dict[str, Any]
    signal: Literal["console", "callback", "second-boot"]
    pattern: str | None
    seconds: float


class SignatureDocument(_Document):
    """A signature of an image's chunk index: ``key`` and ``signature`` in hex, ``id`` names the key."""

    id: str
    key: str
    signature: str


class ProvenanceDocument(_Document):
    """How an image came: who brought it, the hash of what, by which version; sizes in bytes."""

    principal: str | None
    sha256: str | None
    version: str | None
    chunks: int
    new_chunks: int
    stored_bytes: int


class ImageDocument(_Document):
    """An image of the catalogue; sizes in bytes. ``index`` is null for one that comes over the network.

    It is for the members of ``project``, or for everybody if that is null. One of an ``upstream`` is at home
    there.
    """

    name: str
    kind: Literal["disk", "netboot"]
    arch: str
    platforms: list[str]
    size: int
    data_bytes: int
    chunk_size: int
    index: str | None
    done: DoneDocument
    netboot: NetbootDocument | None
    created: str
    source: str
    provenance: ProvenanceDocument
    signatures: list[SignatureDocument]
    project: str | None
    upstream: str | None


class EventDocument(_Document):
    """A fact about the lab; never changed."""

    seq: int
    at: str
    kind: str
    text: str
    board: str | None
    boot: str | None
    run: str | None
    claim: str | None
    principal: str | None
    data: dict[str, Any]


class TraceDocument(_Document):
    """One boot from power-on; an event's ``since`` is seconds from there."""

    board: str
    boot: BootDocument | None
    boots: list[BootDocument]
    events: list[dict[str, Any]]


def iso(time: float) -> str:
    """Return Unix time as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_or_none(time: float | None) -> str | None:
    """Return Unix time as text; None and 0 (never) stay None."""
    return iso(time) if time else None


def board_document(hub: Hub, caller: Principal, record: BoardRecord) -> BoardDocument:
    """Return a board as it is at this moment, and as this caller may see it.

    Of a claim that is not theirs to see they are told who holds the board and until when, and no run.
    """
    board = record.board
    observed = hub.state.observed.get(record.name)
    claim = hub.state.claims.get(record.claim) if record.claim else None
    run = hub.reading.board_run(record)
    if run is not None and not hub.sight.sees(caller, run.claim):
        run = None
    board_class = hub.state.inventory.classes.get(board.board_class)
    return BoardDocument(
        name=record.name,
        board_class=board.board_class,
        platform=board_class.platform if board_class else "",
        arch=PLATFORMS[board_class.platform].arch if board_class else "",
        lifecycle=record.lifecycle,
        reason=record.reason,
        health=record.health.verdict.value,
        labels=board.labels,
        network=board.network,
        macs=list(board.macs),
        uuid=board.uuid,
        serial=board.serial,
        address=board.address,
        facts=record.facts,
        claim=holder_document(caller, claim) if claim else None,
        power=power_document(record, observed),
        run=run_document(run) if run else None,
        boot=boot_document(record.boot) if record.boot else None,
        console=(observed.console or False if observed else False) if board.console else None,
        bindings=_binding_documents(caller, board),
    )


def _binding_documents(caller: Principal, board: Board) -> list[BindingDocument]:
    return [
        BindingDocument(
            kind=kind,
            driver=wire.driver,
            equipment=wire.equipment,
            place=place_of(wire.params) if caller.admin else "",
        )
        for kind, wire in wires_of(board)
    ]


def holder_document(caller: Principal, claim: Claim) -> HolderDocument:
    """Return who holds a board; what they call it is for those who see the claim."""
    name = claim.name if access.may_see(caller, claim) else ""
    return HolderDocument(
        id=claim.id, name=name, principal=claim.principal, expires=iso_or_none(claim.expires)
    )


def power_document(record: BoardRecord, observed: Observed | None) -> PowerDocument:
    """Return a board's power; unknown until a rack has looked."""
    reading = observed.power if observed else None
    return PowerDocument(
        desired="on" if record.power == "on" else "off",
        observed=reading.state.value if reading else "unknown",
        as_asked=observed is not None and boards.as_asked(record, observed),
        watts=reading.watts if reading else None,
        detail=reading.detail if reading else "",
        error=observed.power_error if observed else "",
        waits=observed.power_waits if observed else "",
        mismatch_since=iso_or_none(observed.power_mismatch) if observed else None,
        at=iso_or_none(observed.at) if observed else None,
    )


def run_document(run: RunRecord) -> RunDocument:
    """Return a run."""
    status = run.status
    return RunDocument(
        id=run.id,
        board=run.board,
        plan=run.plan,
        state=status.state.value,
        step=status.step,
        steps=step_names(run),
        phase=status.phase,
        attempt=status.attempt,
        done=status.done,
        total=status.total,
        results=list(status.results),
        error=status.error,
        log=list(status.log),
        created=iso(run.created),
        started=iso_or_none(status.started),
        ended=iso_or_none(status.ended),
        claim=run.claim,
        purpose=run.purpose.value,
    )


def boot_document(boot: BootRecord) -> BootDocument:
    """Return a boot, without its token."""
    return BootDocument(id=boot.id, number=boot.number, started=iso(boot.started), purpose=boot.purpose)


def _netboot_document(netboot: NetbootImage) -> NetbootDocument:
    return NetbootDocument(
        installs=netboot.installs,
        kernel=netboot.kernel,
        initrd=netboot.initrd or None,
        cmdline=netboot.cmdline.text,
        files=netboot.files,
        templates=sorted(netboot.templates),
        metadata=netboot.metadata,
        signal=netboot.done.value,
        pattern=netboot.pattern or None,
        seconds=netboot.seconds,
    )


def image_document(image: ImageRecord) -> ImageDocument:
    """Return an image."""
    return ImageDocument(
        name=image.name,
        kind=image.kind.value,
        arch=image.arch,
        platforms=list(image.platforms),
        size=image.size,
        data_bytes=image.data_bytes,
        chunk_size=image.chunk_size,
        index=image.index or None,
        done=DoneDocument(console=image.pattern, seconds=image.seconds),
        netboot=_netboot_document(image.netboot) if image.netboot else None,
        created=iso(image.created),
        source=image.source,
        provenance=ProvenanceDocument(
            principal=image.principal or None,
            sha256=image.provenance.sha256 or None,
            version=image.provenance.version or None,
            chunks=image.provenance.chunks,
            new_chunks=image.provenance.new_chunks,
            stored_bytes=image.provenance.stored_bytes,
        ),
        signatures=[
            SignatureDocument(id=key_id(one.key), key=one.key, signature=one.value)
            for one in image.signatures
        ],
        project=image.project or None,
        upstream=image.upstream or None,
    )


def event_document(event: Event) -> EventDocument:
    """Return an event; of a trace event only what its columns do not tell."""
    data = event.data.get("data", {}) if event.trace else event.data
    return EventDocument(
        seq=event.seq,
        at=iso(event.at),
        kind=event.kind,
        text=event.text,
        board=event.board,
        boot=event.boot,
        run=event.run,
        claim=event.claim,
        principal=event.principal,
        data=data,
    )
