"""Certificates of wipes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from hostler.api.certificate_pdf import certificate_pdf
from hostler.api.gate import Caller, TheHub
from hostler.hub import wipe_certificate

if TYPE_CHECKING:
    from hostler.hub.hub import Hub
    from hostler.hub.records import Principal

router = APIRouter()


class WipedDiskDocument(BaseModel):
    """What was done to one disk; ``purged_by`` None: it has no way to purge itself that was asked for.

    ``declined`` tells why better ways were not taken, ``untouched`` which parts of it were not wiped.
    """

    path: str | None
    bus: str | None
    model: str | None
    serial: str | None
    wwn: str | None
    size: int
    sanitized: str
    purged_by: str | None
    method: str
    read_back_bytes: int
    read_back_whole: bool
    samples: int
    repaired_bytes: int
    seconds: float | None
    declined: list[str]
    untouched: list[str]
    health: dict[str, Any] | None


class WipeCertificateDocument(BaseModel):
    """The certificate of a wipe; times as ISO 8601 in UTC.

    ``sanitized`` is ``clear`` or ``purge`` in the words of ``standard``, the least of all disks; None: the
    wipe is not proven, and ``unproven`` says why. ``digest`` is the SHA-256 of the rest as JSON with sorted
    keys and without spaces.
    """

    standard: str
    lab: str
    board: str
    board_class: str
    serial: str | None
    uuid: str | None
    macs: list[str]
    machine: dict[str, Any]
    run: str
    purpose: str
    ordered_by: str
    claim: str | None
    began: str
    ended: str | None
    effort: str
    sanitized: str | None
    unproven: str
    disks: list[WipedDiskDocument]
    left_alone: list[dict[str, Any]]
    software: dict[str, str]
    digest: str


@router.get("/boards/{name}/wipe-certificate", response_model=WipeCertificateDocument)
async def get_wipe_certificate(
    hub: TheHub, caller: Caller, name: str, run: str | None = None
) -> dict[str, Any]:
    """Return the certificate of a board's last wipe, or of one run, for who sees the claim it belongs to."""
    return await _certificate(hub, caller, name, run)


@router.get(
    "/boards/{name}/wipe-certificate.pdf",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}}},
)
async def get_wipe_certificate_pdf(
    hub: TheHub, caller: Caller, name: str, run: str | None = None
) -> Response:
    """Return the same on paper."""
    document = await _certificate(hub, caller, name, run)
    return Response(await asyncio.to_thread(certificate_pdf, document), media_type="application/pdf")


async def _certificate(hub: Hub, caller: Principal, name: str, run_id: str | None) -> dict[str, Any]:
    record = hub.reading.board(name)
    await hub.journal.settled()  # a wipe that has just ended is history at once
    if run_id is None:
        run = wipe_certificate.last_wipe(name, await hub.sight.runs(caller, await hub.reading.runs(name)))
    else:
        run = await hub.reading.run(run_id)
        await hub.sight.refuse_stranger(caller, run.claim, f"the certificate of run {run_id}")
    return wipe_certificate.certificate(hub.state.inventory.lab, record, run)
