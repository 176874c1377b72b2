"""The ssh gateway: takes connections, from the tunnel or a port, and hands their sessions on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket as sockets
import time
from typing import TYPE_CHECKING

import asyncssh

from hostler.gateway import limits
from hostler.gateway.api_door import ApiDoor
from hostler.gateway.commands import Commands
from hostler.gateway.console import serve_console
from hostler.gateway.host_key import HostKey
from hostler.gateway.jump import open_jump
from hostler.gateway.limits import BusyError, Share
from hostler.gateway.line import StreamLine
from hostler.gateway.login import Login
from hostler.gateway.tunnel import TunnelServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket

    from hostler.gateway.line import Line
    from hostler.gateway.session import Session
    from hostler.hub.hub import Hub

log = logging.getLogger(__name__)

COMMANDS_USER = "lab"
"""The user name that runs commands; any other is that of a board or a claim, for its console."""

_KEEPALIVE_SECONDS = 30.0
_KEEPALIVES_MISSED = 3


class Gateway:
    """Everything that ssh does. ``run`` must be running for commands to work.

    Args:
        hub: What it is all about; with an ssh authority.
        app: The API, for commands.
        directory: Where the host key is kept; made on first use.
        names: Host names and addresses under which people reach this server, besides the lab's own name.
        clock: Tells Unix time.
        login_seconds: How long a client may take to log in, or to open a stream on the tunnel.

    Raises:
        UnavailableError: the host key cannot be read, made or kept.
    """

    def __init__(
        self,
        hub: Hub,
        app: ASGIApp,
        directory: Path,
        names: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
        login_seconds: float = limits.LOGIN_SECONDS,
    ) -> None:
        assert hub.ssh_authority is not None
        self._hub = hub
        self._names = tuple(names)
        self._clock = clock
        self._login_seconds = login_seconds
        self._host_key = HostKey(directory, hub.ssh_authority)
        self._strangers = Share("logins", limits.STRANGERS, limits.STRANGERS_EACH)
        self._jumps = Share("connections to boards", limits.JUMPS, limits.JUMPS_EACH)
        self._door = ApiDoor(app)
        self._commands = Commands(hub, self._door)
        self._signed: tuple[asyncssh.SSHCertificate, asyncssh.SSHServerConnectionOptions] | None = None
        # Ours from the start: no board may get a certificate for them, connected or not.
        self._host_key.certificate(self._certified_names(), clock())

    async def run(self) -> None:
        """Answer the API calls of commands until cancelled."""
        await self._door.run()

    async def tunnel(self, socket: WebSocket) -> None:
        """Serve the ssh connections that an accepted WebSocket carries, until it is closed."""
        peer = socket.client.host if socket.client else ""
        await TunnelServer(socket, lambda line: self.serve(line, peer), self._login_seconds).run()

    async def listen(self, listener: sockets.socket) -> None:
        """Take ssh connections on a listening TCP socket until cancelled."""
        server = await asyncio.start_server(self._accept, sock=listener)
        async with server:
            await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        try:
            await self.serve(StreamLine(reader, writer), str(peer[0]) if peer else "")
        except BusyError as error:
            log.warning("ssh: %s (%s)", error, peer)
        finally:
            writer.close()

    async def serve(self, line: Line, peer: str) -> None:
        """Serve one ssh connection until it is over.

        Args:
            line: Its bytes.
            peer: Network address of the client.

        Raises:
            BusyError: too many are logging in at the moment.
        """
        self._strangers.take(peer)
        stranger = True

        def known() -> None:
            nonlocal stranger
            if stranger:
                stranger = False
                self._strangers.give(peer)

        login = Login(self._hub, peer, serve=self._session, jump=self._jump, known=known)
        ours, theirs = sockets.socketpair()
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            inner = StreamLine(reader, writer)
            try:
                up = asyncio.ensure_future(
                    _carry(line, inner, lambda: limits.LOGIN_BYTES if stranger else None)
                )
                down = asyncio.ensure_future(_carry(inner, line))
                talk = asyncio.ensure_future(self._talk(theirs, login))
                try:
                    await asyncio.wait((talk, down), return_when=asyncio.FIRST_COMPLETED)
                    if talk.done():  # what it said last is still on its way
                        await asyncio.wait((down,), timeout=5.0)
                finally:
                    for task in (up, down, talk):
                        task.cancel()
                    results = await asyncio.gather(up, down, talk, return_exceptions=True)
            finally:
                writer.close()
        finally:
            known()
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, (OSError, asyncssh.Error)):
                raise result

    async def _talk(self, socket: sockets.socket, login: Login) -> None:
        """Speak ssh until the connection is over."""
        options = await self._options()
        connection = await asyncssh.run_server(socket, options=options, server_factory=lambda: login,
                                               process_factory=login.session)  # fmt: skip
        watch = asyncio.ensure_future(login.dismissed())
        closed = asyncio.ensure_future(connection.wait_closed())
        try:
            await asyncio.wait((watch, closed), return_when=asyncio.FIRST_COMPLETED)
            if watch.done() and not closed.done():
                await login.send_away(connection, watch.result())
        finally:
            watch.cancel()
            closed.cancel()
            connection.abort()
            for close in tuple(login.jumps):
                await close()
            await asyncio.gather(watch, closed, return_exceptions=True)

    async def _options(self) -> asyncssh.SSHServerConnectionOptions:
        certificate = self._host_key.certificate(self._certified_names(), self._clock())
        if self._signed is None or self._signed[0] is not certificate:
            options = await asyncssh.SSHServerConnectionOptions.construct(
                server_host_keys=[(self._host_key.key, certificate)],
                server_version="Hostler",
                public_key_auth=True, password_auth=False, kbdint_auth=False, host_based_auth=False,
                gss_host=None, allow_scp=False, sftp_factory=None, agent_forwarding=False,
                x11_forwarding=False, line_editor=False, encoding=None,
                login_timeout=self._login_seconds, keepalive_interval=_KEEPALIVE_SECONDS,
                keepalive_count_max=_KEEPALIVES_MISSED,
            )  # fmt: skip
            self._signed = certificate, options
        return self._signed[1]

    def _certified_names(self) -> tuple[str, ...]:
        return self._hub.state.inventory.lab or "lab", *self._names

    async def _session(self, login: Login, session: Session) -> int:
        if session.subsystem is not None:
            session.say(f"there is no {session.subsystem} here; ask the board itself, through -J")
            return 1
        if login.user == COMMANDS_USER:
            return await self._commands.serve(login, session)
        return await serve_console(self._hub, login, session)

    async def _jump(self, login: Login, host: str, port: int) -> asyncssh.SSHTCPSession[bytes]:
        return await open_jump(self._hub, self._jumps, login, host, port)


async def _carry(source: Line, sink: Line, budget: Callable[[], int | None] = lambda: None) -> None:
    """Carry bytes one way until they end; ``budget`` tells how many there may be, None: any number."""
    carried = 0
    with contextlib.suppress(ConnectionError):
        while data := await source.read():
            carried += len(data)
            most = budget()
            if most is not None and carried > most:
                log.warning("ssh: a client sent %d bytes without logging in", carried)
                break
            await sink.write(data)
    with contextlib.suppress(ConnectionError, RuntimeError):
        await sink.end()
