"""Chunks of images for other servers, which keep what their boards ask for; and from another server."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import StringConstraints

from hostler.api.documents import image_document
from hostler.api.followed_work import MEDIA_TYPE as LINES
from hostler.api.followed_work import FollowedWork
from hostler.api.gate import Caller, TheHub
from hostler.api.image_store_routes import Pieces
from hostler.model.chunk_stream import MEDIA_TYPE, MOST

router = APIRouter()

_Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
_Digests = Annotated[list[_Digest], Query(min_length=1, max_length=MOST)]


@router.get(
    "/images/{name}/chunks",
    response_class=Response,
    openapi_extra={
        "responses": {
            "200": {
                "content": {MEDIA_TYPE: {}},
                "description": "Each chunk as eight bytes, the length of its zstd frame, and the frame; "
                "0: the image has no such chunk",
            }
        }
    },
)
async def get_chunks(hub: TheHub, caller: Caller, name: str, sha256: _Digests) -> Response:
    """Give out chunks of an image of a disk by the SHA-256 of their plain bytes, in that order (a member)."""
    found = await hub.image_care.chunks(caller, name, sha256)
    broken = (*hub.images.files.bad_store, OSError)
    return Pieces(found.pieces(), name, found.size, 200, {}, broken, MEDIA_TYPE)


@router.post(
    "/images/{name}/fetch",
    response_class=Response,
    openapi_extra={
        "responses": {"200": {"content": {LINES: {}}, "description": "Progress, then the image"}},
    },
)
async def fetch_image(hub: TheHub, caller: Caller, name: str) -> Response:
    """Have all of an image of the upstream here, before boards ask for it (a member)."""
    image = hub.image_care.may_fetch(caller, name)
    return FollowedWork(
        lambda progress: hub.image_care.fetch(image, progress),
        lambda _: {"image": image_document(image).model_dump(mode="json")},
    )
