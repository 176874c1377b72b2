"""Long transfers tell how far they are, over a real TCP connection and by real TFTP datagrams."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web
from test_tftp_clients import BOARD, SERVER, content, serving

from hostler.netboot.tftp_server import TftpLimits
from hostler.netboot.transfer_looks import looked_at

PIECE = 50_000


async def test_what_arrived_is_told_while_the_rest_is_awaited() -> None:
    """A transfer of two parts is looked at between them: the first has arrived, and the second has not."""
    looks: asyncio.Queue[int] = asyncio.Queue()
    over = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 2 * PIECE
        with looked_at(request, lambda arrived, _seconds: looks.put_nowait(arrived), each=0.02):
            await response.prepare(request)
            await response.write(bytes(PIECE))
            await over.wait()
            await response.write(bytes(PIECE))
        return response

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        reader, writer = await asyncio.open_connection(host, port)
        async with asyncio.timeout(60):
            writer.write(b"GET / HTTP/1.1\r\nHost: boot\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(PIECE)
            while not PIECE <= (arrived := await looks.get()) < 2 * PIECE:
                assert arrived < 2 * PIECE
            over.set()
            await reader.readexactly(PIECE)
        writer.close()
    finally:
        await runner.cleanup()


@pytest.mark.netns
def test_how_far_a_slow_client_is_is_told() -> None:
    """One that has taken one block of ten and thinks: 512 of 5,120 bytes have arrived."""
    with serving(TftpLimits(look_seconds=1.0)) as site:
        site.files[BOARD] = {"kernel": content(10 * 512)}
        with site.lan.client.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(60)
            client.bind((BOARD, 0))
            client.sendto(b"\0\1kernel\0octet\0", (SERVER, 69))
            _, server = client.recvfrom(1024)
            client.sendto(b"\0\4\0\1", server)
            with site.told:
                assert site.told.wait_for(lambda: 512 in [one.data.get("arrived") for one in site.events], 60)
    told = next(one for one in site.events if one.data.get("arrived") == 512)
    assert (told.kind, told.data["file"], told.data["size"]) == ("slow", "kernel", 10 * 512)
    assert told.data["client"] == BOARD
