"""One ssh connection: who is at the other end, and what they may open on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import asyncssh

from hostler.gateway import limits
from hostler.hub.source import Source, coming_from

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hostler.gateway.session import Session
    from hostler.hub.hub import Hub
    from hostler.hub.records import Principal

log = logging.getLogger(__name__)

_LOOK_SECONDS = 30.0
_LAST_WORDS_SECONDS = 2.0


class Login(asyncssh.SSHServer):
    """What asyncssh asks about one connection.

    Args:
        hub: Knows the keys.
        peer: Network address of the client.
        serve: Serves one session.
        jump: Opens a TCP connection to a board: this login, host, port.
        known: Called once they are logged in.

    Attributes:
        peer: Network address of the client.
        user: The user name they gave: it says what they want.
        fingerprint: Of the key they logged in with.
        jumps: What closes each of its connections to boards.
        over: Set to the reason when this connection is to end; sessions tell it and end.
    """

    def __init__(
        self,
        hub: Hub,
        peer: str,
        *,
        serve: Callable[[Login, Session], Awaitable[int]],
        jump: Callable[[Login, str, int], Awaitable[asyncssh.SSHTCPSession[bytes]]],
        known: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._serve = serve
        self._jump = jump
        self._known = known
        self._tries = 0
        self._sessions = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._principal: Principal | None = None
        self.peer = peer
        self.user = ""
        self.fingerprint = ""
        self.jumps: set[Callable[[], Awaitable[None]]] = set()
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def principal(self) -> Principal:
        """Who they are; only once they are logged in."""
        assert self._principal is not None
        return self._principal

    @property
    def source(self) -> Source:
        """Where what they change comes from."""
        return Source(self.principal.name, "ssh", self.peer, self.fingerprint)

    # Logging in.

    def begin_auth(self, username: str) -> bool:
        """Ask everybody for a key, whatever the user name: it tells a stranger nothing."""
        self.user = username
        return True

    def public_key_auth_supported(self) -> bool:
        """Keys are the only way in."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Tell whether a key logs somebody in; the signature is asyncssh's to check."""
        self.user = username
        self._tries += 1
        if self._tries > limits.LOGIN_KEYS:
            return False
        # The last key asked about is the one whose signature ends the login.
        self.fingerprint = key.get_fingerprint()
        self._principal = self._hub.principal_of_key(self.fingerprint)
        return self._principal is not None

    def auth_completed(self) -> None:
        """Note that they are somebody we know."""
        self._known()
        log.info("ssh: %s as %s from %s", self.principal.name, self.user, self.peer)

    async def dismissed(self) -> str:
        """Wait until they may not go on, and say why."""
        bell = f"principal/{self.principal.name}"
        while True:
            version = self._hub.bells.version(bell)
            if why := self._hub.logins.standing(self.principal):
                return why
            if self._hub.principal_of_key(self.fingerprint) is None:
                return "the ssh key was removed"
            await self._hub.bells.wait(bell, version, _LOOK_SECONDS)

    async def send_away(self, connection: asyncssh.SSHServerConnection, why: str) -> None:
        """Let sessions say why, then end the connection."""
        if not self.over.done():
            self.over.set_result(why)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._quiet.wait()
        connection.disconnect(asyncssh.DISC_BY_APPLICATION, why)

    # What they open.

    async def session(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Serve a session until it ends."""
        from hostler.gateway.session import Session

        session = Session(process, self.over)
        if self._sessions >= limits.SESSIONS:
            session.say(f"at most {limits.SESSIONS} sessions at once on one connection")
            session.exit(1)
            return
        self._sessions += 1
        self._quiet.clear()
        status = 1
        try:
            with coming_from(self.source):
                status = await self._serve(self, session)
        except (OSError, asyncssh.Error):
            log.debug("a session of %s broke off", self.principal.name)
        except Exception:
            log.exception("a session of %s fell over", self.principal.name)
            session.say("the server made a mistake; its log tells which")
        finally:
            session.exit(status)
            self._sessions -= 1
            if not self._sessions:
                self._quiet.set()

    def connection_requested(
        self,
        dest_host: str,
        dest_port: int,
        orig_host: str,  # noqa: ARG002 - the client's word for it
        orig_port: int,  # noqa: ARG002
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]]:
        """Open a connection to a board one holds, and to nothing else."""
        return self._jump(self, dest_host, dest_port)
