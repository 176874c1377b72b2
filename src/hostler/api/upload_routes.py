"""Files that come in as many pieces as the network lets them: tus 1.0.0 (https://tus.io/protocols/resumable-upload).

The core, and its extensions creation, expiration and termination. Beyond it, somebody's own uploads are
listed, so that a client that was killed finds the one it had begun.
"""

from __future__ import annotations

import base64
import binascii
from email.utils import formatdate
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.requests import ClientDisconnect

from hostler.api.gate import PREFIX, Caller, TheHub
from hostler.api.problems import invalid_response, problem_response
from hostler.hub.errors import InvalidError, Refusal
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from hostler.hub.hub import Hub
    from hostler.hub.uploads import Upload

VERSION = "1.0.0"
_EXTENSIONS = "creation,expiration,termination"
_PIECE = "application/offset+octet-stream"
_LONGEST_METADATA = 4096
_LONGEST_NAME = 255

Length = Annotated[int, Header(alias="Upload-Length", ge=1)]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0)]
Spoken = Annotated[str, Header(alias="Tus-Resumable")]


class _TusRoute(APIRoute):
    """Lets refusals say too which version is spoken, as tus wants of every answer."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await answer(request)
            except Refusal as refusal:
                response = problem_response(refusal)
            except RequestValidationError as error:
                response = invalid_response(error)
            response.headers["Tus-Resumable"] = VERSION
            if response.status_code == VersionError.status:
                response.headers["Tus-Version"] = VERSION
            return response

        return answered


router = APIRouter(route_class=_TusRoute)


class UploadDocument(BaseModel):
    """A file that is being sent: so many bytes of ``length`` have come; ``expires`` in Unix time."""

    model_config = ConfigDict(extra="forbid")

    id: str
    filename: str
    fingerprint: str
    length: int
    offset: int
    expires: float


class VersionError(Refusal):
    """The client speaks another version of tus."""

    status = 412
    title = "Another version"


class PieceTypeError(Refusal):
    """What comes does not say to be a piece of a file."""

    status = 415
    title = "Another kind of content"


@router.options("/uploads", status_code=204, response_class=Response)
async def describe_uploads() -> Response:
    """Tell what of tus is spoken."""
    return Response(status_code=204, headers={"Tus-Version": VERSION, "Tus-Extension": _EXTENSIONS})


@router.get("/uploads")
async def list_uploads(hub: TheHub, caller: Caller) -> list[UploadDocument]:
    """List the caller's uploads that were not imported yet."""
    return [_document(hub, upload) for upload in hub.uploads.of(caller)]


@router.post("/uploads", status_code=201, response_class=Response)
async def create_upload(
    hub: TheHub, caller: Caller, length: Length, spoken: Spoken,
    metadata: Annotated[str, Header(alias="Upload-Metadata", max_length=_LONGEST_METADATA)] = "",
) -> Response:  # fmt: skip
    """Begin to send a file of so many bytes; its address is the answer's ``Location``.

    Metadata: ``filename``, and ``fingerprint``, by which the client knows it again.
    """
    _refuse_other(spoken)
    words = _metadata(metadata)
    upload = hub.uploads.create(
        caller, length, printable(words.get("filename", ""), _LONGEST_NAME),
        printable(words.get("fingerprint", ""), _LONGEST_NAME),
    )  # fmt: skip
    return _answer(hub, upload, 201, {"Location": f"{PREFIX}/uploads/{upload.key}"})


@router.head("/uploads/{upload_id}", response_class=Response)
async def find_upload(hub: TheHub, caller: Caller, upload_id: str, spoken: Spoken) -> Response:
    """Tell how much has come; a request that still sends is ended, as its connection may be no more."""
    _refuse_other(spoken)
    upload = await hub.uploads.settled(caller, upload_id)
    return _answer(hub, upload, 200, {"Upload-Length": str(upload.length), "Cache-Control": "no-store"})


@router.patch(
    "/uploads/{upload_id}",
    status_code=204,
    response_class=Response,
    openapi_extra={"requestBody": {"content": {_PIECE: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def continue_upload(
    hub: TheHub, caller: Caller, request: Request, upload_id: str, offset: Offset, spoken: Spoken
) -> Response:
    """Take the next bytes, from where it stopped; what has come is kept, however the request ends."""
    _refuse_other(spoken)
    if request.headers.get("content-type") != _PIECE:
        raise PieceTypeError(f"what comes has to be {_PIECE}")
    await hub.uploads.append(caller, upload_id, offset, _body(request))
    return _answer(hub, hub.uploads.find(caller, upload_id), 204)


@router.delete("/uploads/{upload_id}", status_code=204, response_class=Response)
async def remove_upload(hub: TheHub, caller: Caller, upload_id: str, spoken: Spoken) -> Response:
    """Forget an upload and what has come of it."""
    _refuse_other(spoken)
    await hub.uploads.remove(caller, upload_id)
    return Response(status_code=204, headers={"Tus-Resumable": VERSION})


def _refuse_other(spoken: str) -> None:
    if spoken != VERSION:
        raise VersionError(f"this server speaks tus {VERSION}, not {spoken[:20]}")


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for block in request.stream():
            yield block
    except ClientDisconnect:
        return


def _answer(hub: Hub, upload: Upload, status: int, more: dict[str, str] | None = None) -> Response:
    expires = formatdate(hub.uploads.expires(upload), usegmt=True)
    headers = {"Upload-Offset": str(hub.uploads.offset(upload)), "Upload-Expires": expires}
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, **headers, **(more or {})})


def _metadata(text: str) -> dict[str, str]:
    """Read pairs of a key and base64, with commas between them."""
    found = {}
    for pair in filter(None, (pair.strip() for pair in text.split(","))):
        key, _, value = pair.partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise InvalidError(f'Upload-Metadata: the value of "{key[:40]}" is not base64') from None
    return found


def _document(hub: Hub, upload: Upload) -> UploadDocument:
    return UploadDocument(
        id=upload.key, filename=upload.filename, fingerprint=upload.fingerprint, length=upload.length,
        offset=hub.uploads.offset(upload), expires=hub.uploads.expires(upload),
    )  # fmt: skip
