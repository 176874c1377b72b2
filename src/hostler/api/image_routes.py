"""Images: list, import while telling how far, remove."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict
from starlette.requests import ClientDisconnect

from hostler.api.documents import ImageDocument, image_document
from hostler.api.followed_work import MEDIA_TYPE, follow
from hostler.api.gate import Caller, TheHub
from hostler.api.problems import problem_response
from hostler.hub import netboot_imports, signing
from hostler.hub.errors import InvalidError, Refusal
from hostler.hub.image_desk import ImageDesk, ImageTerms
from hostler.hub.image_sight import find_image, seen_images, share
from hostler.hub.netboot_description import Instead
from hostler.hub.netboot_imports import NetbootTerms
from hostler.hub.runs import BOOT_PATTERN, BOOT_SECONDS
from hostler.model.netboot_order import DoneSignal
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractContextManager

    from starlette.types import Receive, Scope, Send

    from hostler.hub.image_records import ImageRecord
    from hostler.hub.images import Progress

router = APIRouter()

_LONGEST_BMAP = 32 * 1024 * 1024  # as much as is read of one
_LARGEST_DISK = 256 * 1024**3  # of what is made here, zeros and all; it can grow where it is deployed
_FILES = Query(default_factory=list, max_length=100)


@router.get("/images")
async def list_images(hub: TheHub, caller: Caller) -> list[ImageDocument]:
    """List the images that are for everybody, or for a project that one belongs to."""
    return [image_document(image) for image in seen_images(hub.state, caller)]


@router.get("/images/{name}")
async def get_image(hub: TheHub, caller: Caller, name: str) -> ImageDocument:
    """Return an image."""
    return image_document(find_image(hub.state, name, caller))


class SharingRequest(BaseModel):
    """For the members of which project an image is to be; null: for everybody."""

    model_config = ConfigDict(extra="forbid")

    project: str | None


@router.patch("/images/{name}")
async def share_image(hub: TheHub, caller: Caller, name: str, body: SharingRequest) -> ImageDocument:
    """Say who sees an image (who brought it, an admin of its project, or an admin)."""
    return image_document(await hub.change(lambda draft: share(draft, caller, name, body.project)))


@router.delete("/images/{name}", status_code=204)
async def remove_image(hub: TheHub, caller: Caller, name: str) -> None:
    """Remove an image and what only it needs (whoever imported it, or an admin)."""
    await hub.images.remove(caller, name)


@router.get("/images/{name}/index", response_class=FileResponse)
async def get_index(hub: TheHub, caller: Caller, name: str) -> FileResponse:
    """Return the encoded chunk index of an image of a disk: what a signature is made over."""
    return FileResponse(signing.index_file(hub, caller, name), media_type="application/octet-stream")


class SignatureRequest(BaseModel):
    """An ed25519 signature over the bytes of an image's index, and the key it holds under; both in hex."""

    model_config = ConfigDict(extra="forbid")

    key: str
    signature: str


@router.post("/images/{name}/signatures")
async def sign_image(hub: TheHub, caller: Caller, name: str, body: SignatureRequest) -> ImageDocument:
    """Keep a signature of an image; it must hold, and replaces one of the same key.

    A member may bring one by a key that some agent trusts, whoever imported the image and an admin any.
    """
    return image_document(await signing.sign(hub, caller, name, body.key, body.signature))


@router.delete("/images/{name}/signatures/{key}")
async def unsign_image(hub: TheHub, caller: Caller, name: str, key: str) -> ImageDocument:
    """Take the signature of a key, or of its id, off an image (whoever imported it, or an admin)."""
    return image_document(await hub.change(lambda draft: signing.unsign(draft, caller, name, key)))


_STREAMED: dict[str, Any] = {
    "requestBody": {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    },
    "responses": {
        "200": {"content": {"application/x-ndjson": {}}, "description": "Progress, then the image"}
    },
}


@router.post("/images", response_class=Response, openapi_extra=_STREAMED)
async def import_image(
    hub: TheHub, caller: Caller, request: Request, name: str, arch: str, platforms: str = "",
    done_console: str = BOOT_PATTERN, done_seconds: float = Query(BOOT_SECONDS, gt=0, le=86400),
    url: str | None = None, filename: str = Query("", max_length=255),
    bmap_bytes: int = Query(0, ge=0, le=_LONGEST_BMAP), bmap_url: str | None = None,
    size: int | None = Query(None, gt=0, le=_LARGEST_DISK), append: str = Query("", max_length=2000),
) -> Response:  # fmt: skip
    """Import an image of a disk from the body, which came from a file of some name, or a URL.

    A block map (``.bmap``) of it is checked against it, and says what of it matters: it comes from a URL, or
    as the first ``bmap_bytes`` of the body.

    A tar of a root file system becomes a disk that boots on the platforms, of ``size`` bytes or as it needs;
    ``append`` is put behind its kernel's command line.
    """
    _refuse_address(url)
    _refuse_address(bmap_url)
    if url is not None and bmap_bytes:
        raise InvalidError("of an image at a URL the block map is at one too: name it with bmap_url=")
    desk = hub.images
    terms = ImageTerms(name, arch, _words(platforms), done_console, done_seconds, size, append)
    return _Import(
        desk,
        lambda: desk.reserve(caller, terms),
        lambda source, told, mapped, progress: desk.take(
            caller, terms, source, told, progress, mapped or bmap_url
        ),
        request,
        url,
        filename,
        bmap_bytes,
    )


@router.post("/images/netboot", response_class=Response, openapi_extra=_STREAMED)
async def import_netboot_image(
    hub: TheHub, caller: Caller, request: Request, name: str,
    arch: Literal["amd64", "arm64"] | None = None, platforms: str = "",
    kernel: str | None = None, initrd: str | None = None,
    file: list[str] = _FILES,
    append: str = Query("", max_length=2000), done: DoneSignal | None = None, done_console: str | None = None,
    done_seconds: float | None = Query(None, gt=0, le=86400), url: str | None = None,
    filename: str = Query("", max_length=255),
) -> Response:  # fmt: skip
    """Import a system that comes over the network, from the body or a URL.

    The content is a tar (plain or as gzip, xz or zstd) that begins with ``image.toml``, a tar of KIWI's for
    installing over the network, or a live ISO. The parameters override what it says of itself: ``kernel``,
    ``initrd`` and ``file`` (``NAME=PLACE``) with paths in the tar or addresses; ``append`` is put behind its
    command line.
    """
    _refuse_address(url)
    for word in file:
        if "=" not in word:
            raise InvalidError(f'file: "{word}" is not NAME=PLACE', kind="bad-image")
    instead = Instead(kernel, initrd, dict(word.split("=", 1) for word in file))
    terms = NetbootTerms(name, arch, _words(platforms), instead, append, done, done_console, done_seconds)
    return _Import(
        hub.images,
        lambda: hub.images.reserve_name(caller, name),
        lambda source, told, _, progress: netboot_imports.take(hub, caller, terms, source, told, progress),
        request,
        url,
        filename,
    )


def _refuse_address(url: str | None) -> None:
    if url is not None and urlsplit(url).scheme not in ("http", "https"):
        raise InvalidError(f'"{url}" is not an http or https address')


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


class _Import(Response):
    """Does the import while it is being sent, so that all of it ends when the client goes away."""

    def __init__(
        self,
        desk: ImageDesk,
        reserve: Callable[[], AbstractContextManager[None]],
        take: Callable[[Path | str, str, Path | None, Callable[[Progress], None]], Awaitable[ImageRecord]],
        request: Request,
        url: str | None,
        filename: str,
        bmap_bytes: int = 0,
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._desk = desk
        self._reserve = reserve
        self._take = take
        self._request = request
        self._url = url
        self._filename = filename
        self._bmap_bytes = bmap_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with ExitStack() as stack:
                stack.enter_context(self._reserve())
                source: Path | str
                mapped = None
                if self._url is not None:
                    source, told = self._url, self._url
                else:
                    told = printable(self._filename, 255) or "upload"
                    source, mapped = await self._spooled(stack)
                await follow(
                    lambda progress: self._take(source, told, mapped, progress),
                    lambda image: {"image": image_document(image).model_dump(mode="json")},
                    receive,
                    send,
                )
        except Refusal as refusal:
            await problem_response(refusal)(scope, receive, send)
        except ClientDisconnect:
            return

    async def _spooled(self, stack: ExitStack) -> tuple[Path, Path | None]:
        """Write the body to files that go with the stack: the image, and the block map before it."""
        file = stack.enter_context(self._desk.spool_file())
        mapped = stack.enter_context(self._desk.spool_file()) if self._bmap_bytes else None
        body = self._request.stream()
        if mapped is not None:
            body = _split(body, self._bmap_bytes, mapped.write)  # type: ignore[assignment]
        await self._desk.spool(body, file)  # type: ignore[arg-type]
        if mapped is not None:
            mapped.flush()
        if file.seek(0, os.SEEK_END) == 0:
            raise InvalidError("the body is empty; send the image, or name it with url=")
        return Path(file.name), Path(mapped.name) if mapped else None


async def _split(
    body: AsyncIterator[bytes], count: int, into: Callable[[bytes], object]
) -> AsyncIterator[bytes]:
    """Hand on what comes after so many bytes of a body; raises InvalidError if there are fewer."""
    async for block in body:
        if count:
            into(block[:count])
        count, rest = max(0, count - len(block)), block[count:]
        if rest:
            yield rest
    if count:
        raise InvalidError(f"the body ends {count} bytes before the end of its block map", kind="bad-source")
