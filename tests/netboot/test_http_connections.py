"""Connections to the boot listener that are none of HTTP."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest
from test_http import bench

if TYPE_CHECKING:
    from test_http import Bench

__all__ = ["bench"]


async def test_who_speaks_tls_is_refused_in_its_own_words(bench: Bench) -> None:
    """OpenSSL hears an alert at once, not rubbish after a while, and the trace names the board."""
    bench.step()
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        async with asyncio.timeout(60):
            await asyncio.open_connection("127.0.0.1", bench.port, ssl=ssl.create_default_context())
    (told,) = bench.told("tls")
    assert (told.board, told.boot, told.text) == ("b1", "boot-1", "b1 speaks TLS to a port of plain HTTP")
