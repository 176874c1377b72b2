"""Stored images: compare them, look through them, clear up, and give them out again."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from hostler.api.byte_range import UnsatisfiableError, byte_range
from hostler.api.documents import image_document
from hostler.api.followed_work import MEDIA_TYPE, FollowedWork, until_gone
from hostler.api.gate import Caller, TheHub
from hostler.hub import image_shrinking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

router = APIRouter()
log = logging.getLogger("hostler.api")

Form = Literal["raw", "zst"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ShareDocument(_Document):
    """Distinct chunks: how many, their plain bytes, and their bytes as stored."""

    chunks: int
    bytes: int
    stored_bytes: int


class DiffDocument(_Document):
    """How an image differs from another one; ``stretches`` as offset and length in bytes."""

    image: str
    other: str
    shared: ShareDocument
    gone: ShareDocument
    new: ShareDocument
    stretches: list[tuple[int, int]]
    differing_bytes: int


class SweepDocument(_Document):
    """What was, or would be, cleared away; sizes in bytes."""

    files: int
    chunks: int
    unfinished: int
    damaged: int
    freed_bytes: int
    waiting: int
    damaged_index: str | None
    dry_run: bool


@router.get("/images/{name}/diff")
async def diff_images(hub: TheHub, caller: Caller, name: str, other: str) -> DiffDocument:
    """Tell what of image ``other`` is not in this one: what travels when it is put over it."""
    found = await hub.image_care.diff(caller, name, other)
    return DiffDocument(image=name, other=other, **asdict(found))


@router.post(
    "/images/verify",
    response_class=Response,
    openapi_extra={
        "responses": {"200": {"content": {MEDIA_TYPE: {}}, "description": "Progress, then what was found"}}
    },
)
async def verify_images(hub: TheHub, caller: Caller, name: str | None = None) -> Response:
    """Decompress and hash every chunk of an image, or of all images, and every file of agents (a member)."""
    hub.image_care.may_verify(caller, name)
    return FollowedWork(
        lambda progress: hub.image_care.verify(caller, name, progress), lambda found: {"found": asdict(found)}
    )


@router.post(
    "/images/{name}/shrink",
    response_class=Response,
    openapi_extra={
        "responses": {"200": {"content": {MEDIA_TYPE: {}}, "description": "Progress, then the new image"}}
    },
)
async def shrink_image(hub: TheHub, caller: Caller, name: str, new: str) -> Response:
    """Make an image of a disk as small as can be, as image ``new`` (a member)."""
    image_shrinking.check(hub, caller, name, new)
    return FollowedWork(
        lambda progress: image_shrinking.shrink(hub, caller, name, new, progress),
        lambda made: {"image": image_document(made[0]).model_dump(mode="json"), "note": made[1]},
    )


@router.post("/images/sweep")
async def sweep_images(hub: TheHub, caller: Caller, *, dry_run: bool = False) -> SweepDocument:
    """Clear away what no image needs: unfinished imports, lost files and chunks (an admin)."""
    report = await hub.image_care.sweep(caller, dry_run=dry_run)
    swept = report.swept
    return SweepDocument(
        files=swept.artefacts, chunks=swept.chunks, unfinished=swept.unfinished, damaged=swept.damaged,
        freed_bytes=swept.freed_bytes, waiting=report.waiting, damaged_index=swept.kept_for or None,
        dry_run=report.dry_run,
    )  # fmt: skip


@router.get(
    "/images/{name}/content",
    response_class=Response,
    openapi_extra={
        "responses": {
            "200": {"content": {"application/octet-stream": {}}, "description": "The image"},
            "206": {"content": {"application/octet-stream": {}}, "description": "A part of it"},
            "416": {"description": "It has no such part"},
        }
    },
)
async def export_image(
    hub: TheHub, caller: Caller, request: Request, name: str, form: Form = "raw"
) -> Response:
    """Give out an image of a disk, raw or as zstd (a member). One range of bytes may be asked for."""
    found = await hub.image_care.export(caller, name, form)
    tag = f'"{found.tag}"'
    headers = {
        "accept-ranges": "bytes",
        "etag": tag,
        # Image names have no sign that must be quoted.
        "content-disposition": f'attachment; filename="{name}.{"raw.zst" if form == "zst" else "raw"}"',
    }
    wanted = request.headers.get("range")
    if request.headers.get("if-range", tag) != tag:
        wanted = None
    try:
        part = byte_range(wanted, found.size)
    except UnsatisfiableError:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{found.size}"})
    start, end = part or (0, found.size)
    if part is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{found.size}"
    broken = (*hub.images.files.bad_store, OSError)
    return Pieces(found.pieces(start, end), name, end - start, 206 if part else 200, headers, broken)


@router.get("/images/{name}/bmap", response_class=Response)
async def export_block_map(hub: TheHub, caller: Caller, name: str) -> Response:
    """Return the block map (``.bmap``) of an image of a disk, as ``bmaptool`` reads it (a member)."""
    data = await hub.image_care.block_map(caller, name)
    headers = {"content-disposition": f'attachment; filename="{name}.bmap"'}
    return Response(data, media_type="application/xml", headers=headers)


class Pieces(Response):
    """Sends one piece after the other; on damage it breaks off, so that nobody takes it for whole."""

    def __init__(
        self, pieces: Iterator[bytes], name: str, length: int, status: int, headers: dict[str, str],
        broken: tuple[type[Exception], ...], media_type: str = "application/octet-stream",
    ) -> None:  # fmt: skip
        super().__init__(status_code=status, headers=headers, media_type=media_type)
        self.headers["content-length"] = str(length)
        self._pieces = pieces
        self._name = name
        self._broken = broken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Answer."""
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        gone = asyncio.Event()
        watch = asyncio.ensure_future(until_gone(receive, gone.set))
        try:
            while not gone.is_set():
                piece = await asyncio.to_thread(next, self._pieces, b"")
                await send({"type": "http.response.body", "body": piece, "more_body": bool(piece)})
                if not piece:
                    return
        except self._broken as error:
            # The status is sent already: that the answer is short is all that can be said now.
            log.error('image "%s" cannot be given out: %s', self._name, error)  # noqa: TRY400
        finally:
            watch.cancel()
