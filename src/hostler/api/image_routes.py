"""Images: list, import while telling how far, remove."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
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
from hostler.hub.image_desk import ImageTerms
from hostler.hub.image_sight import find_image, seen_images, share
from hostler.hub.netboot_description import Instead
from hostler.hub.netboot_imports import NetbootTerms
from hostler.hub.runs import BOOT_PATTERN, BOOT_SECONDS
from hostler.model.netboot_order import DoneSignal
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractContextManager

    from starlette.types import Receive, Scope, Send

    from hostler.hub.hub import Hub
    from hostler.hub.image_records import ImageRecord
    from hostler.hub.images import Progress
    from hostler.hub.records import Principal
    from hostler.hub.uploads import Upload

router = APIRouter()

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
        "200": {"content": {"application/x-ndjson": {}}, "description": "Progress, then the image"},
        "204": {"description": "The terms of a dry run are good"},
    },
}


@router.post("/images", response_class=Response, openapi_extra=_STREAMED)
async def import_image(
    hub: TheHub, caller: Caller, request: Request, name: str, arch: str, platforms: str = "",
    done_console: str = BOOT_PATTERN, done_seconds: float = Query(BOOT_SECONDS, gt=0, le=86400),
    url: str | None = None, upload: str | None = None, filename: str = Query("", max_length=255),
    bmap: str | None = None, bmap_url: str | None = None, kernel: str | None = None,
    size: int | None = Query(None, gt=0, le=_LARGEST_DISK), append: str = Query("", max_length=2000),
    dry_run: bool = False,
) -> Response:  # fmt: skip
    """Import an image of a disk: the file that was sent as an upload, a URL, or the body itself.

    A block map (``.bmap``) of it is checked against it, and says what of it matters: an upload or a URL.

    A tar of a root file system becomes a disk that boots on the platforms, of ``size`` bytes or as it needs;
    ``append`` is put behind its kernel's command line; ``kernel`` is an upload, a tar with the kernel of a
    tree that has none.

    With ``dry_run`` it is only seen whether the terms are good, before anything is sent.
    """
    _refuse_address(url)
    _refuse_address(bmap_url)
    desk = hub.images
    terms = ImageTerms(name, arch, _words(platforms), done_console, done_seconds, size, append)
    if dry_run:
        with desk.reserve(caller, terms):
            return Response(status_code=204)
    return _Import(
        hub,
        caller,
        lambda: desk.reserve(caller, terms),
        lambda source, told, files, progress: desk.take(
            caller, terms, source, told, progress, files.get("bmap") or bmap_url, files.get("kernel")
        ),
        request,
        _Source(url, filename, {"image": upload, "bmap": bmap, "kernel": kernel}),
    )


@router.post("/images/netboot", response_class=Response, openapi_extra=_STREAMED)
async def import_netboot_image(
    hub: TheHub, caller: Caller, request: Request, name: str,
    arch: Literal["amd64", "arm64"] | None = None, platforms: str = "",
    kernel: str | None = None, initrd: str | None = None,
    file: list[str] = _FILES,
    append: str = Query("", max_length=2000), done: DoneSignal | None = None, done_console: str | None = None,
    done_seconds: float | None = Query(None, gt=0, le=86400), url: str | None = None,
    upload: str | None = None, filename: str = Query("", max_length=255), dry_run: bool = False,
) -> Response:  # fmt: skip
    """Import a system that comes over the network, from an upload, a URL, or the body itself.

    The content is a tar (plain or as gzip, xz or zstd) that begins with ``image.toml``, a tar of KIWI's for
    installing over the network, or a live ISO. The parameters override what it says of itself: ``kernel``,
    ``initrd`` and ``file`` (``NAME=PLACE``) with paths in the tar or addresses; ``append`` is put behind its
    command line. With ``dry_run`` it is only seen whether there can be an image of this name.
    """
    _refuse_address(url)
    for word in file:
        if "=" not in word:
            raise InvalidError(f'file: "{word}" is not NAME=PLACE', kind="bad-image")
    if dry_run:
        with hub.images.reserve_name(caller, name):
            return Response(status_code=204)
    instead = Instead(kernel, initrd, dict(word.split("=", 1) for word in file))
    terms = NetbootTerms(name, arch, _words(platforms), instead, append, done, done_console, done_seconds)
    return _Import(
        hub,
        caller,
        lambda: hub.images.reserve_name(caller, name),
        lambda source, told, _, progress: netboot_imports.take(hub, caller, terms, source, told, progress),
        request,
        _Source(url, filename, {"image": upload}),
    )


def _refuse_address(url: str | None) -> None:
    if url is not None and urlsplit(url).scheme not in ("http", "https"):
        raise InvalidError(f'"{url}" is not an http or https address')


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


@dataclass(frozen=True, slots=True)
class _Source:
    """Where an import comes from.

    Attributes:
        url: Address of the image; None: it was sent.
        filename: What the body is called.
        uploads: Ids of files that were sent, by what they are; without an ``image`` that is the body.
    """

    url: str | None
    filename: str
    uploads: Mapping[str, str | None]

    def files(self, hub: Hub, caller: Principal) -> dict[str, Upload]:
        """Return the uploads; raises a Refusal when the image is named twice, or one is not there."""
        found = {what: hub.uploads.find(caller, key) for what, key in self.uploads.items() if key is not None}
        if self.url is not None and "image" in found:
            raise InvalidError("name the image with url= or with upload=, not with both")
        return found


class _Import(Response):
    """Does the import while it is being sent, so that all of it ends when the client goes away."""

    def __init__(
        self,
        hub: Hub,
        caller: Principal,
        reserve: Callable[[], AbstractContextManager[None]],
        take: Callable[
            [Path | str, str, Mapping[str, Path], Callable[[Progress], None]], Awaitable[ImageRecord]
        ],
        request: Request,
        source: _Source,
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._hub = hub
        self._caller = caller
        self._reserve = reserve
        self._take = take
        self._request = request
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with ExitStack() as stack:
                stack.enter_context(self._reserve())
                uploads = self._source.files(self._hub, self._caller)
                body = None
                if self._source.url is None and "image" not in uploads:
                    body = await self._spooled(stack)
                await follow(
                    lambda progress: self._taken(uploads, body, progress),
                    lambda image: {"image": image_document(image).model_dump(mode="json")},
                    receive,
                    send,
                )
        except Refusal as refusal:
            await problem_response(refusal)(scope, receive, send)
        except ClientDisconnect:
            return

    async def _taken(
        self, uploads: Mapping[str, Upload], body: Path | None, progress: Callable[[Progress], None]
    ) -> ImageRecord:
        keys = [upload.key for upload in uploads.values()]
        with self._hub.uploads.imported(self._caller, keys) as paths:
            files = dict(zip(uploads, paths, strict=True))
            source: Path | str | None = self._source.url or body or files["image"]
            filename = uploads["image"].filename if "image" in uploads else self._source.filename
            told = self._source.url or printable(filename, 255) or "upload"
            assert source is not None
            return await self._take(source, told, files, progress)

    async def _spooled(self, stack: ExitStack) -> Path:
        """Write the body to a file that goes with the stack."""
        file = stack.enter_context(self._hub.images.spool_file())
        await self._hub.images.spool(self._request.stream(), file)  # type: ignore[arg-type]
        if file.seek(0, os.SEEK_END) == 0:
            raise InvalidError("the body is empty; send the image, or name it with upload= or url=")
        return Path(file.name)
