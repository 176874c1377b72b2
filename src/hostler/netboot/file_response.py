"""One file over HTTP: whole or a range of it, by sendfile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

if TYPE_CHECKING:
    import io
    from pathlib import Path

_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


@dataclass(frozen=True, slots=True)
class Transfer:
    """How sending a file went.

    Attributes:
        bytes: Bytes handed to the network.
        seconds: Time that took.
        complete: False when the client or the line gave up, or the file ended early.
    """

    bytes: int
    seconds: float
    complete: bool

    @property
    def megabytes_per_second(self) -> float:
        """Rate in MB/s (10**6 bytes)."""
        return self.bytes / 1e6 / max(self.seconds, 1e-6)


async def send_file(
    request: web.BaseRequest, path: Path, etag: str, content_type: str = "application/octet-stream"
) -> tuple[web.StreamResponse, Transfer]:
    """Answer a GET or HEAD request with a file that never changes under its ``etag``.

    Honours ``Range`` with one range and ``If-Range`` (RFC 9110); other ranges get the whole file, as they
    may. The client's disappearance is not an error: the transfer says that it is incomplete.

    Raises:
        OSError: The file cannot be opened.
    """
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        response = web.StreamResponse(
            headers={hdrs.CONTENT_TYPE: content_type, hdrs.ETAG: f'"{etag}"', hdrs.ACCEPT_RANGES: "bytes"}
        )
        asked = _asked_range(request, etag)
        wanted = range(size) if asked is None else _within(asked, size)
        if asked is not None and not wanted:
            response.set_status(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            response.headers[hdrs.CONTENT_RANGE] = f"bytes */{size}"
        elif asked is not None:
            response.set_status(HTTPStatus.PARTIAL_CONTENT)
            response.headers[hdrs.CONTENT_RANGE] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
        response.content_length = len(wanted)
        if request.method == hdrs.METH_HEAD:
            return response, Transfer(0, 0.0, complete=True)
        started = time.monotonic()
        sent = await _send(request, response, file, wanted)
        transfer = Transfer(sent, time.monotonic() - started, complete=sent == len(wanted))
        if not transfer.complete and request.transport is not None:
            # What was promised in Content-Length cannot come any more; the connection says so by ending.
            request.transport.abort()
        return response, transfer


async def _send(
    request: web.BaseRequest, response: web.StreamResponse, file: io.FileIO, wanted: range
) -> int:
    """Send the header and the bytes wanted; return how many of them went before anything failed."""
    file.seek(wanted.start)
    # RuntimeError is asyncio's word for a transport that is closing, OSError everyone's for a broken line.
    with contextlib.suppress(OSError, RuntimeError):
        await response.prepare(request)
        transport = request.transport
        if wanted and transport is not None:
            loop = asyncio.get_running_loop()
            await loop.sendfile(transport, file, wanted.start, len(wanted), fallback=False)
            if file.tell() == wanted.stop:
                await response.write_eof()
    # The loop leaves the file's position behind the last byte it sent.
    return max(0, file.tell() - wanted.start)


def _asked_range(request: web.BaseRequest, etag: str) -> tuple[int | None, int | None] | None:
    """First and last byte of the header's range; None if the whole file is to be sent."""
    match = _RANGE.match(request.headers.get(hdrs.RANGE, ""))
    if not match or request.headers.get(hdrs.IF_RANGE, f'"{etag}"') != f'"{etag}"':
        return None
    first, last = (int(number) if number else None for number in match.groups())
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        return None  # RFC 9110 14.1.1: invalid, to be ignored
    return first, last


def _within(asked: tuple[int | None, int | None], size: int) -> range:
    """The part of a file that a range names; empty if it lies outside."""
    first, last = asked
    if first is None:
        return range(max(0, size - (last or 0)), size)
    return range(first, size if last is None else min(last + 1, size))
