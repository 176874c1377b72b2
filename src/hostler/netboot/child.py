"""The rack's side of the netboot process: starts it, tells it what it must know, hears what it saw.

Everything told is kept here, so that a process that died is replaced by one that knows as much. Boards notice
nothing but a lost packet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from hostler.model.trace import TraceEvent
from hostler.netboot.fetched import Fetched
from hostler.netboot.outbox import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hostler.model.json import Document
    from hostler.netboot.setup import NetbootSetup
    from hostler.netboot.table import Target

log = logging.getLogger(__name__)

START_SECONDS = 30.0
STOP_SECONDS = 5.0
SILENCE_SECONDS = 20.0
"""A process that has not said a word for this long, though it was asked to, is stuck and is replaced."""
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_SECONDS = 60.0
"""A process that ran this long was well; the next death begins the back-off anew."""
LONGEST_LINE = 8 << 20
MOST_UNREAD = 64 << 20


class NetbootError(Exception):
    """The netboot process cannot run; the message says why and what to do."""


@dataclass
class _Connection:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: float


class NetbootChild:
    """One netboot process and all it is to know; use as ``async with NetbootChild(...)``.

    Entering raises `NetbootError` if it cannot start at all. Later deaths are mended with back-off, for ever.

    Args:
        setup: What to serve.
        on_event: Takes each trace event.
        on_seen: Takes signs of life of agents: board, boot, unix time; at most one a second for a board.
        on_request: Takes an agent's report (kind ``hello`` ``progress`` ``done`` ``fail``, board, boot,
            body) and returns the HTTP status to answer with. It has 10 s; the agent repeats what was not
            answered.
        on_fetch: Brings a chunk of another server's image here (index, chunk, board), or its index if the
            chunk is empty; it answers in ``fetched.WAIT_SECONDS``. None: there is no other server.
        on_read: Takes note that a board was given such a chunk (index, chunk, board).
    """

    def __init__(
        self,
        setup: NetbootSetup,
        *,
        on_event: Callable[[TraceEvent], None],
        on_seen: Callable[[str, str, float], None],
        on_request: Callable[[str, str, str, Document], Awaitable[int]],
        on_fetch: Callable[[str, str, str], Awaitable[Fetched]] | None = None,
        on_read: Callable[[str, str, str], Awaitable[None]] | None = None,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._setup = setup
        self._on_event = on_event
        self._on_seen = on_seen
        self._on_request = on_request
        self._on_fetch = on_fetch
        self._on_read = on_read
        self._silence = silence
        self._targets: dict[str, Target] = {}
        self._artefacts: dict[str, Path] = {}
        self._connection: _Connection | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self.problem: str | None = None
        """Why it does not run at present, in one sentence; None while it runs."""

    async def __aenter__(self) -> Self:
        """Start the process and wait until it serves.

        Raises:
            NetbootError: A port is taken or not permitted, or the namespace is not there.
        """
        first = await self._start()
        self._supervisor = asyncio.create_task(self._supervise(first), name="netboot")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the process."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._connection.process.pid if self._connection else None

    def put_target(self, target: Target) -> None:
        """Say what a board is to do; replaces what was said before."""
        self._targets[target.board] = target
        self._tell({"t": "target", **target.to_json()})

    def drop_target(self, board: str) -> None:
        """Forget a board: from now on it is a machine nobody knows."""
        if self._targets.pop(board, None) is not None:
            self._tell({"t": "drop", "board": board})

    def put_artefact(self, artefact: str, path: Path) -> None:
        """Register a file to be served under its id."""
        self._artefacts[artefact] = path
        self._tell({"t": "artefact", "id": artefact, "path": str(path)})

    def _tell(self, message: Document) -> None:
        connection = self._connection
        if connection is None or connection.writer.is_closing():
            return  # the next process is told everything
        connection.writer.write(encode(message))
        if connection.writer.transport.get_write_buffer_size() > MOST_UNREAD:
            log.error("the netboot process does not read; it is replaced")
            _kill(connection.process)

    async def _supervise(self, connection: _Connection) -> None:
        """Serve the connection, and whenever the process ended start another."""
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            began = clock()
            try:
                await self._serve(connection)
            except* Exception:
                log.exception("the netboot process is replaced")
            failures = 0 if clock() - began > STEADY_SECONDS else failures
            self.problem = f"the netboot process ended with {connection.process.returncode}"
            while True:
                wait = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                failures += 1
                log.error("%s; starting it again in %.1f s", self.problem, wait)
                await asyncio.sleep(wait)
                try:
                    connection = await self._start()
                    break
                except NetbootError as error:
                    self.problem = str(error)
            self.problem = None

    async def _start(self) -> _Connection:
        """Start a process, tell it everything, and wait until it is ready."""
        argv = self._argv()
        ours, theirs = socket.socketpair()
        try:
            self._setup.state_dir.mkdir(parents=True, exist_ok=True)
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    # Two packet threads gain nothing from heaps of their own, and the heaps are never
                    # given back.
                    env={**os.environ, "MALLOC_ARENA_MAX": "2"},
                )
        except OSError as error:
            ours.close()
            raise NetbootError(f"the netboot process cannot be started: {error}") from error
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LONGEST_LINE)
        connection = _Connection(process, reader, writer, asyncio.get_running_loop().time())
        # From here on it is told of every change, so it misses none while it starts.
        self._tell_all(connection)
        self._connection = connection
        try:
            async with asyncio.timeout(START_SECONDS):
                await writer.drain()
                line = await reader.readline()
        except TimeoutError:
            await self._end(connection)
            raise NetbootError(f"the netboot process was not ready after {START_SECONDS:.0f} s") from None
        except BaseException as error:
            await self._end(connection)
            if isinstance(error, ConnectionError):
                raise NetbootError(f"the netboot process ended at once with {process.returncode}") from error
            raise
        message = cast("Document", json.loads(line)) if line else {"t": "refused", "error": ""}
        if message["t"] != "ready":
            await self._end(connection)
            why = message["error"] or f"the netboot process ended at once with {process.returncode}"
            raise NetbootError(str(why))
        return connection

    def _argv(self) -> list[str]:
        """The command, up to the number of the pipe's descriptor."""
        argv = [sys.executable, "-P", "-m", "hostler.netboot", "--pipe-fd"]
        pidfile = self._setup.netns_pidfile
        if pidfile is None:
            return argv
        try:
            pid = int(pidfile.read_text())
        except (OSError, ValueError) as error:
            raise NetbootError(
                f"{pidfile}: no pid of a process in the boards' network namespace ({error}); "
                "is the lab running?"
            ) from error
        try:
            Path(f"/proc/{pid}/ns/net").open("rb").close()
        except OSError as error:
            raise NetbootError(
                f"the boards' network namespace, that of process {pid} ({pidfile}), cannot be entered: "
                f"{error.strerror}; run `hostler serve` as root, or as who runs the lab"
            ) from error
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(pid), *user, "--net", "--", *argv]

    def _tell_all(self, connection: _Connection) -> None:
        messages: list[Document] = [{"t": "networks", **self._setup.to_json()}]
        messages += [
            {"t": "artefact", "id": name, "path": str(path)} for name, path in self._artefacts.items()
        ]
        messages += [{"t": "target", **target.to_json()} for target in self._targets.values()]
        messages += [{"t": "start"}]
        connection.writer.writelines([encode(message) for message in messages])

    async def _serve(self, connection: _Connection) -> None:
        """Hear the process until it ends."""
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(connection))
                with contextlib.suppress(ConnectionError):
                    while line := await connection.reader.readline():
                        connection.heard = asyncio.get_running_loop().time()
                        try:
                            self._hear(cast("Document", json.loads(line)), group)
                        except Exception:  # a fault of who listens costs one event, not the boards
                            log.exception("what the netboot process said was not taken")
                watching.cancel()
        finally:
            await self._end(connection)

    async def _watch(self, connection: _Connection) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._silence / 4)
            if clock() - connection.heard > self._silence:
                log.error("the netboot process is stuck; it is replaced")
                _kill(connection.process)
            self._tell({"t": "ping"})

    def _hear(self, message: Document, group: asyncio.TaskGroup) -> None:
        match message.pop("t"):
            case "event":
                self._on_event(TraceEvent.from_json(message))
            case "seen":
                self._on_seen(
                    str(message["board"]), str(message["boot"]), float(cast("float", message["at"]))
                )
            case "request":
                group.create_task(self._answer(message))
            case "fetch":
                group.create_task(self._fetch(message))
            case "read" if self._on_read is not None:
                group.create_task(self._read(message))

    async def _fetch(self, message: Document) -> None:
        fetched = Fetched(HTTPStatus.NOT_FOUND)
        if self._on_fetch is not None:
            try:
                fetched = await self._on_fetch(*_wanted(message))
            except Exception:
                log.exception("a chunk for %s was not fetched", message["board"])
                fetched = Fetched(HTTPStatus.SERVICE_UNAVAILABLE, "waits: the rack could not ask for chunks")
        self._tell({"t": "fetched", "id": message["id"], "status": int(fetched.status), "text": fetched.text})

    async def _read(self, message: Document) -> None:
        assert self._on_read is not None
        try:
            await self._on_read(*_wanted(message))
        except Exception:  # it costs what would have been fetched ahead
            log.exception("that %s was given a chunk was not noted", message["board"])

    async def _answer(self, message: Document) -> None:
        kind, board, boot = (str(message[name]) for name in ("kind", "board", "boot"))
        try:
            status = await self._on_request(kind, board, boot, cast("Document", message["body"]))
        except Exception:
            log.exception("%s report of %s was not taken", kind, board)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
        self._tell({"t": "answer", "id": message["id"], "status": int(status)})

    async def _end(self, connection: _Connection) -> None:
        """Close the pipe, at which the process ends; if it does not, kill it."""
        self._connection = None
        connection.writer.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await connection.process.wait()
        except TimeoutError:
            _kill(connection.process)
            await connection.process.wait()


def _wanted(message: Document) -> tuple[str, str, str]:
    return str(message["index"]), str(message["chunk"]), str(message["board"])


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
