"""The netboot process: what runs at the board's end of the pipe.

It answers from memory. What it knows the rack tells it, one JSON object a line; when the pipe closes, it
ends, so it never outlives the rack and never answers with what nobody maintains any more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import resource
import signal
import socket
import sys
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hostler.netboot.fetched import WAIT_SECONDS, Fetched
from hostler.netboot.outbox import Outbox
from hostler.netboot.services import Services, ServicesError
from hostler.netboot.setup import NetbootSetup
from hostler.netboot.table import BootTable, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from hostler.model.json import Document

log = logging.getLogger("hostler.netboot")

SETUP_SECONDS = 30.0
"""How long the rack may take to say what is to be served."""
LONGEST_LINE = 8 << 20
FETCH_SECONDS = 2.0
"""How much longer than it may take the rack's answer about a chunk is waited for."""
MOST_PENDING = 1024
"""Reports waiting for the rack at once; further agents are told to come again."""


class RackPipe:
    """The rack as the agent's door and its shelf see it: `agent_door.Rack`, `chunk_shelf.Supply`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._pending: dict[int, asyncio.Future[int]] = {}
        self._fetching: dict[int, asyncio.Future[Fetched]] = {}
        self._number = 0

    def seen(self, board: str, boot: str, at: float) -> None:
        """Tell the rack that an agent lives."""
        self._outbox.send({"t": "seen", "board": board, "boot": boot, "at": at})

    async def report(self, kind: str, board: str, boot: str, body: Document) -> int:
        """Hand a report to the rack and wait for the status it wants answered; the caller has a deadline."""
        if len(self._pending) >= MOST_PENDING:
            return HTTPStatus.SERVICE_UNAVAILABLE
        self._number += 1
        number = self._number
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            self._outbox.send(
                {"t": "request", "id": number, "kind": kind, "board": board, "boot": boot, "body": body}
            )
            status: int = await answer
        finally:
            del self._pending[number]
        return status

    async def fetch(self, index: str, chunk: str, board: str) -> Fetched:
        """Have the rack bring a chunk of an image here, or its index if the chunk is empty."""
        self._number += 1
        number = self._number
        answer = self._fetching[number] = asyncio.get_running_loop().create_future()
        try:
            self._outbox.send({"t": "fetch", "id": number, "index": index, "chunk": chunk, "board": board})
            async with asyncio.timeout(WAIT_SECONDS + FETCH_SECONDS):
                fetched: Fetched = await answer
        except TimeoutError:
            return Fetched(HTTPStatus.SERVICE_UNAVAILABLE, "waits for the rack, which does not answer")
        finally:
            del self._fetching[number]
        return fetched

    def read(self, index: str, chunk: str, board: str) -> None:
        """Tell the rack that a board was given a chunk that came from the upstream."""
        self._outbox.send({"t": "read", "index": index, "chunk": chunk, "board": board})

    def fetched(self, number: int, answer: Fetched) -> None:
        """Take what came of a fetch; what comes too late is of no use to anybody."""
        waiting = self._fetching.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def answered(self, number: int, status: int) -> None:
        """Take the rack's answer; one that comes too late is of no use to anybody."""
        answer = self._pending.get(number)
        if answer is not None and not answer.done():
            answer.set_result(status)


async def serve(pipe: socket.socket) -> int:
    """Serve until the pipe closes or SIGTERM; returns the exit status."""
    reader, writer = await asyncio.open_unix_connection(sock=pipe, limit=LONGEST_LINE)
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    outbox = Outbox(writer)
    rack = RackPipe(outbox)
    table = BootTable()
    try:
        async with asyncio.timeout(SETUP_SECONDS):
            services = await _set_up(reader, table, outbox, rack)
    except TimeoutError:
        log.warning("the rack did not say what to serve in %.0f s", SETUP_SECONDS)
        return 1
    if services is None:
        return 0
    try:
        await services.start()
    except ServicesError as error:
        outbox.send({"t": "refused", "error": str(error)})
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return 1
    outbox.send({"t": "ready", "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
    try:
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(outbox.run()), group.create_task(services.watch())]
            await _obey(reader, table, outbox, rack)
            for task in beside:
                task.cancel()
    except* (ConnectionError, asyncio.CancelledError):
        pass  # the rack is gone, or we were told to go
    finally:
        await services.stop()
    return 0


async def _set_up(
    reader: asyncio.StreamReader, table: BootTable, outbox: Outbox, rack: RackPipe
) -> Services | None:
    """Read what to serve and all that is known of the boards, up to ``start``; None if the pipe closed."""
    services = None
    async for message in _messages(reader):
        if message["t"] == "networks":
            services = Services(NetbootSetup.from_json(message), table, outbox.emit, rack, rack)
        elif message["t"] == "start" and services is not None:
            return services
        else:
            _apply(message, table, outbox, rack)
    return None


async def _obey(reader: asyncio.StreamReader, table: BootTable, outbox: Outbox, rack: RackPipe) -> None:
    async for message in _messages(reader):
        _apply(message, table, outbox, rack)


def _apply(message: Document, table: BootTable, outbox: Outbox, rack: RackPipe) -> None:
    match message["t"]:
        case "target":
            table.put(Target.from_json(message))
        case "drop":
            table.drop(str(message["board"]))
        case "artefact":
            table.put_artefact(str(message["id"]), Path(str(message["path"])))
        case "answer":
            rack.answered(cast("int", message["id"]), cast("int", message["status"]))
        case "fetched":
            answer = Fetched(cast("int", message["status"]), str(message["text"]))
            rack.fetched(cast("int", message["id"]), answer)
        case "ping":
            outbox.send({"t": "pong"})
        case other:
            log.warning("the rack said %r, which this version does not know", other)


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[Document]:
    while line := await reader.readline():
        yield cast("Document", json.loads(line))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the process on the pipe it was given; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m hostler.netboot", description="netboot services; started by the rack"
    )
    parser.add_argument("--pipe-fd", type=int, required=True, help="descriptor of the socket to the rack")
    arguments = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="netboot: %(levelname)s %(message)s")
    # Ctrl-C at the terminal reaches us too; the rack decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return asyncio.run(serve(socket.socket(fileno=arguments.pipe_fd)))
