"""Looks at long transfers now and then, and tells how much has arrived: slow is not the same as stuck."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final

from hostler.wire.tcp_info import LENGTH, TcpInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

LOOK_SECONDS: Final = 20.0
"""How often. An agent's kernel and initramfs, 25 MB, take two seconds at 100 Mbit/s."""
MOST_LOOKS: Final = 30
"""After so many nothing new is learnt; the trace of a boot is bounded."""


def words(name: str, arrived: int, size: int, seconds: float) -> str:
    """Return what to say of a transfer that goes on for long: sizes in bytes."""
    rate = arrived / 1e6 / max(seconds, 1e-6)
    return f"{arrived / 1e6:.1f} of {size / 1e6:.1f} MB of {name} arrived in {seconds:.0f} s, {rate:.2f} MB/s"


@contextlib.contextmanager
def looked_at(
    request: web.BaseRequest, tell: Callable[[int, float], None], each: float = LOOK_SECONDS
) -> Iterator[None]:
    """Look at what is sent in answer to a request, until the end of the block.

    Args:
        request: Its connection is looked at.
        tell: Takes the bytes that arrived since the beginning of the block, and its seconds.
        each: See ``LOOK_SECONDS``.
    """
    loop = asyncio.get_running_loop()
    began, before = loop.time(), _arrived(request)
    timer: asyncio.TimerHandle

    def look(number: int) -> None:
        nonlocal timer
        tell(max(0, _arrived(request) - before), loop.time() - began)
        if number < MOST_LOOKS:
            timer = loop.call_later(each, look, number + 1)

    timer = loop.call_later(each, look, 1)
    try:
        yield
    finally:
        timer.cancel()


def _arrived(request: web.BaseRequest) -> int:
    """Return how many bytes the client acknowledged on this connection; 0 where that cannot be known."""
    connection = request.transport.get_extra_info("socket") if request.transport is not None else None
    if connection is None:
        return 0
    try:
        info = TcpInfo.parse(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LENGTH))
    except OSError:
        return 0  # it is gone
    return info.acknowledged if info is not None else 0
