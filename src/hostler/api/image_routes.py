"""Images: list, import while telling how far, remove."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict
from starlette.requests import ClientDisconnect

from hostler.api.documents import ImageDocument, image_document
from hostler.api.gate import Caller, TheHub
from hostler.api.problems import problem, problem_response
from hostler.hub import netboot_imports, signing
from hostler.hub.errors import InvalidError, NotFoundError, Refusal
from hostler.hub.image_desk import ImageDesk, ImageTerms
from hostler.hub.netboot_description import Instead
from hostler.hub.netboot_imports import NetbootTerms
from hostler.hub.runs import BOOT_PATTERN, BOOT_SECONDS
from hostler.model.netboot_order import DoneSignal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from starlette.types import Receive, Scope, Send

    from hostler.hub.image_records import ImageRecord
    from hostler.hub.images import Progress

router = APIRouter()

_FILES = Query(default_factory=list, max_length=100)


@router.get("/images")
async def list_images(hub: TheHub) -> list[ImageDocument]:
    """List the images."""
    return [image_document(image) for _, image in sorted(hub.state.images.items())]


@router.get("/images/{name}")
async def get_image(hub: TheHub, name: str) -> ImageDocument:
    """Return an image."""
    image = hub.state.images.get(name)
    if image is None:
        known = ", ".join(sorted(hub.state.images)) or "none yet"
        raise NotFoundError(f'there is no image "{name}"; images: {known}', kind="unknown-image")
    return image_document(image)


@router.delete("/images/{name}", status_code=204)
async def remove_image(hub: TheHub, caller: Caller, name: str) -> None:
    """Remove an image and what only it needs (whoever imported it, or an admin)."""
    await hub.images.remove(caller, name)


@router.get("/images/{name}/index", response_class=FileResponse)
async def get_index(hub: TheHub, name: str) -> FileResponse:
    """Return the encoded chunk index of an image of a disk: what a signature is made over."""
    return FileResponse(signing.index_file(hub, name), media_type="application/octet-stream")


class SignatureRequest(BaseModel):
    """An ed25519 signature over the bytes of an image's index, and the key it holds under; both in hex."""

    model_config = ConfigDict(extra="forbid")

    key: str
    signature: str


@router.post("/images/{name}/signatures")
async def sign_image(hub: TheHub, caller: Caller, name: str, body: SignatureRequest) -> ImageDocument:
    """Keep a signature of an image (a member); it must hold, and replaces one of the same key."""
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
    url: str | None = None,
) -> Response:  # fmt: skip
    """Import an image from the body or a URL: raw, or as gzip, xz or zstd."""
    _refuse_address(url)
    desk = hub.images
    terms = ImageTerms(name, arch, _words(platforms), done_console, done_seconds)
    return _Import(
        desk,
        lambda: desk.reserve(caller, terms),
        lambda source, told, progress: desk.take(caller, terms, source, told, progress),
        request,
        url,
    )


@router.post("/images/netboot", response_class=Response, openapi_extra=_STREAMED)
async def import_netboot_image(
    hub: TheHub, caller: Caller, request: Request, name: str,
    arch: Literal["amd64", "arm64"] | None = None, platforms: str = "",
    kernel: str | None = None, initrd: str | None = None,
    file: list[str] = _FILES,
    append: str = Query("", max_length=2000), done: DoneSignal | None = None, done_console: str | None = None,
    done_seconds: float | None = Query(None, gt=0, le=86400), url: str | None = None,
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
        lambda source, told, progress: netboot_imports.take(hub, caller, terms, source, told, progress),
        request,
        url,
    )


def _refuse_address(url: str | None) -> None:
    if url is not None and urlsplit(url).scheme not in ("http", "https"):
        raise InvalidError(f'"{url}" is not an http or https address')


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


class _GoneError(Exception):
    """Whoever asked for the import is no longer there."""


class _Import(Response):
    """Does the import while it is being sent, so that all of it ends when the client goes away."""

    def __init__(
        self,
        desk: ImageDesk,
        reserve: Callable[[], AbstractContextManager[None]],
        take: Callable[[Path | str, str, Callable[[Progress], None]], Awaitable[ImageRecord]],
        request: Request,
        url: str | None,
    ) -> None:
        super().__init__(media_type="application/x-ndjson")
        self._desk = desk
        self._reserve = reserve
        self._take = take
        self._request = request
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with ExitStack() as stack:
                stack.enter_context(self._reserve())
                source: Path | str
                if self._url is not None:
                    source, told = self._url, self._url
                else:
                    file = stack.enter_context(self._desk.spool_file())
                    await self._desk.spool(self._request.stream(), file)  # type: ignore[arg-type]
                    source, told = Path(file.name), "upload"
                    if source.stat().st_size == 0:
                        raise InvalidError("the body is empty; send the image, or name it with url=")
                await self._tell(source, told, receive, send)
        except Refusal as refusal:
            await problem_response(refusal)(scope, receive, send)
        except ClientDisconnect:
            return

    async def _tell(self, source: Path | str, told: str, receive: Receive, send: Send) -> None:
        """Import and send a line for each piece of progress, then one for how it ended."""
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        follower = _Follower()
        work = asyncio.ensure_future(self._take(source, told, follower.progress))
        watch = asyncio.ensure_future(_until_gone(receive, follower))
        try:
            while not work.done():
                if (line := await follower.next_line(work)) is not None:
                    await send({"type": "http.response.body", "body": _line(line), "more_body": True})
            last = _outcome(work)
            if last is not None:
                await send({"type": "http.response.body", "body": _line(last), "more_body": False})
        finally:
            follower.gone.set()
            watch.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)


def _outcome(work: asyncio.Future[ImageRecord]) -> dict[str, Any] | None:
    error = work.exception()
    if error is None:
        return {"event": "done", "image": image_document(work.result()).model_dump(mode="json")}
    if isinstance(error, Refusal):
        return {"event": "error", "problem": problem(error)}
    if isinstance(error, _GoneError):
        return None
    raise error


class _Follower:
    """Hands progress from the importing thread to the loop; only the newest counts."""

    def __init__(self) -> None:
        self.gone = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._newest: Progress | None = None
        self._news = asyncio.Event()

    def progress(self, progress: Progress) -> None:
        """Take news; ends the import when nobody wants it any more."""
        if self.gone.is_set():
            raise _GoneError
        self._newest = progress
        self._loop.call_soon_threadsafe(self._news.set)

    async def next_line(self, work: asyncio.Future[Any]) -> dict[str, Any] | None:
        """Wait for news or the end of the work."""
        news = asyncio.ensure_future(self._news.wait())
        await asyncio.wait((news, work), return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        self._news.clear()
        newest, self._newest = self._newest, None
        if newest is None:
            return None
        return {"event": "progress", "read": newest.read, "of": newest.total, "out": newest.written}


async def _until_gone(receive: Receive, follower: _Follower) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    follower.gone.set()


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
