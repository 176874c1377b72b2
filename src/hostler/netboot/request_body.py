"""The body of a request from a board: all of it or a refusal, within a size and a time."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp.http_exceptions import PayloadEncodingError
from aiohttp.web import RequestPayloadError

from hostler.netboot.refused import Refused

if TYPE_CHECKING:
    from aiohttp import web

BODY_SECONDS = 10.0


async def limited_body(
    request: web.BaseRequest, limit: int, what: str, seconds: float = BODY_SECONDS
) -> bytes:
    """Read a request's body.

    Args:
        request: The request.
        limit: Most bytes it may have.
        what: What it is, for the refusal: ``a done report``.
        seconds: Longest time until all of it is there.

    Raises:
        Refused: It is larger, is cut off or garbled, or did not come in time.
    """
    too_large = Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{what} may have {limit} bytes")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.content.iter_any():
                body += part
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from None
    except (ConnectionError, PayloadEncodingError, RequestPayloadError):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body ended before its end") from None
    return bytes(body)
