"""One file over HTTP, real or virtual: whole or a range of it, by sendfile."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from hostler.netboot.virtual_file import Stretch
from hostler.wire.tcp_info import LENGTH, TcpInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hostler.netboot.virtual_file import VirtualFile

_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
_PIECE = 128 * 1024
"""Bytes handed to a connection at once: all that it holds in memory for a client that takes nothing."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """How sending a file went.

    Attributes:
        bytes: Bytes handed to the network.
        seconds: Time that took.
        complete: False when the client or the line gave up, or the file ended early.
        sent_again: Packets that TCP sent again meanwhile, as far as the kernel tells.
    """

    bytes: int
    seconds: float
    complete: bool
    sent_again: int = 0

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
        descriptor = file.fileno()

        def stretches(wanted: range) -> Iterable[bytes | Stretch]:
            return (Stretch(descriptor, wanted.start, len(wanted)),)

        size = os.fstat(descriptor).st_size
        return await _answer(request, size, stretches, etag, content_type)


async def send_virtual(
    request: web.BaseRequest, file: VirtualFile, content_type: str = "application/octet-stream"
) -> tuple[web.StreamResponse, Transfer]:
    """Answer a GET or HEAD request with a file that is put together while it is sent; like `send_file`."""
    return await _answer(request, file.size, file.stretches, file.tag, content_type)


async def _answer(
    request: web.BaseRequest,
    size: int,
    stretches: Callable[[range], Iterable[bytes | Stretch]],
    etag: str,
    content_type: str,
) -> tuple[web.StreamResponse, Transfer]:
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
    before = _sent_again(request)
    started = time.monotonic()
    sent = await _send(request, response, stretches(wanted))
    seconds = time.monotonic() - started
    again = max(0, _sent_again(request) - before)
    transfer = Transfer(sent, seconds, complete=sent == len(wanted), sent_again=again)
    if not transfer.complete and request.transport is not None:
        # What was promised in Content-Length cannot come any more; the connection says so by ending.
        request.transport.abort()
    return response, transfer


def _sent_again(request: web.BaseRequest) -> int:
    """Return how many packets of a connection were sent again so far; 0 where that cannot be known."""
    transport = request.transport
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is None:
        return 0
    try:
        info = TcpInfo.parse(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LENGTH))
    except OSError:
        return 0  # it is gone
    return info.sent_again if info is not None else 0


async def _send(
    request: web.BaseRequest, response: web.StreamResponse, stretches: Iterable[bytes | Stretch]
) -> int:
    """Send the header and the bytes wanted; return how many of them went before anything failed."""
    sent = 0
    # RuntimeError is asyncio's word for a transport that is closing, OSError everyone's for a broken line.
    with contextlib.suppress(OSError, RuntimeError):
        await response.prepare(request)
        for stretch in stretches:
            if isinstance(stretch, bytes):
                for at in range(0, len(stretch), _PIECE):
                    piece = stretch[at : at + _PIECE]
                    await response.write(piece)
                    sent += len(piece)
                continue
            part = await _send_stretch(request, stretch)
            sent += part
            if part < stretch.length:
                return sent
        await response.write_eof()
    return sent


async def _send_stretch(request: web.BaseRequest, stretch: Stretch) -> int:
    transport = request.transport
    if transport is None or not stretch.length:
        return 0
    with io.FileIO(stretch.descriptor, closefd=False) as file:
        file.seek(stretch.offset)
        with contextlib.suppress(OSError, RuntimeError):
            loop = asyncio.get_running_loop()
            await loop.sendfile(transport, file, stretch.offset, stretch.length, fallback=False)
        # The loop leaves the file's position behind the last byte it sent.
        return max(0, file.tell() - stretch.offset)


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
