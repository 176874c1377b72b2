"""Every error as a problem document (RFC 9457)."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from hostler.hub.errors import DatabaseError, Fault, Refusal

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class ProblemError(BaseModel):
    """One of several things wrong with a request."""

    text: str
    file: str | None = None
    line: int | None = None
    key: str | None = None


class Problem(BaseModel):
    """Why a request was refused; nothing was changed."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemError] | None = None


OPENAPI_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Refused; nothing was changed",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def problem(refusal: Refusal) -> dict[str, Any]:
    """Return the document of a refusal."""
    return _document(refusal.status, refusal.kind, refusal.title, refusal.detail, refusal.faults)


def problem_response(refusal: Refusal) -> Response:
    """Return the answer that carries a refusal."""
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == HTTPStatus.UNAUTHORIZED else {}
    return _response(problem(refusal), headers)


def invalid_response(error: RequestValidationError) -> Response:
    """Return the answer to a request that is not as the API says."""
    faults = tuple(
        Fault(f"{key}: {_plain(detail['msg'])}" if key else _plain(detail["msg"]), key=key)
        for detail in error.errors()
        for key in [".".join(str(part) for part in detail["loc"] if part not in ("body", "query", "path"))]
    )
    text = "; ".join(fault.text for fault in faults)
    return _response(_document(422, "invalid", "Invalid request", text, faults))


def install(app: FastAPI) -> None:
    """Let every error of the app leave as a problem document."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DatabaseError, _broken)
    app.add_exception_handler(Exception, _broken)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return problem_response(error)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return invalid_response(error)


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    return _response(
        _document(error.status_code, title.lower().replace(" ", "-"), title, str(error.detail)),
        dict(error.headers or {}),
    )


async def _broken(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    text = "the server made a mistake; its log tells which"
    return _response(_document(500, "internal", "Internal error", text))


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


def _document(
    status: int, kind: str, title: str, detail: str, faults: tuple[Fault, ...] = ()
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": f"urn:hostler:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if faults:
        document["errors"] = [
            {"file": fault.file or None, "line": fault.line, "key": fault.key or None, "text": fault.text}
            for fault in faults
        ]
    return document


def _response(document: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(document), document["status"], headers, MEDIA_TYPE)
