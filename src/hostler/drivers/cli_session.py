"""A command line reached over telnet or ssh: log in, send a line, wait for the prompt.

Nothing here knows a make of switch; what differs between them comes as data.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.secrets import SecretReference
from hostler.wire.telnet import ECHO, SUPPRESS_GO_AHEAD, Telnet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import asyncssh

PROMPT = r"(?:^|[\r\n])[^\r\n]{0,80}[>#$] ?$"
_USER = re.compile(r"(?:^|[\r\n])[^\r\n]{0,80}?(?:user ?name|user|login)[ \t]*:?[ \t]*$", re.IGNORECASE)
_PASSWORD = re.compile(r"password[ \t]*:?[ \t]*$", re.IGNORECASE)
_PAGER = re.compile(r"(?:--+ ?more ?--+|press any key to continue)[^\r\n]*$", re.IGNORECASE)
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\x00\x07]")

_LARGEST_OUTPUT = 262_144  # a 48-port table is some 5 kB
_SETTLE_SECONDS = 0.03  # a prompt at the end of one packet may be the middle of a line

KEYS = ("host", "transport", "user", "password", "enable_password", "host_key", "old_ssh")


@dataclass(frozen=True, slots=True)
class CliAccess:
    """How to get to a command line.

    Attributes:
        host: Name or address.
        port: TCP port.
        ssh: True for ssh, False for telnet.
        user: Who to log in as; empty where only a password is asked for.
        password: Where the password is.
        enable_password: Where the one for ``enable`` is, if the switch asks for it.
        host_key: Fingerprint of the ssh host key, ``SHA256:…``, or ``any``.
        old_ssh: Also take the key exchanges and ciphers that were dropped long ago.
    """

    host: str
    port: int
    ssh: bool
    user: str
    password: SecretReference
    enable_password: SecretReference | None
    host_key: str
    old_ssh: bool

    @classmethod
    def parse(cls, table: Mapping[str, object]) -> CliAccess:
        """Read the keys of KEYS.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        transport = table.get("transport", "ssh")
        if transport not in ("ssh", "telnet"):
            raise DriverConfigError("transport", f'must be "ssh" or "telnet", not {transport!r}')
        ssh = transport == "ssh"
        host, port = settings.address(table, "host", default_port=22 if ssh else 23)
        host_key = settings.text(table, "host_key") if "host_key" in table else ""
        if ssh and host_key != "any" and not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", host_key):
            raise DriverConfigError(
                "host_key",
                f'must be the "SHA256:…" that `ssh-keyscan {host} | ssh-keygen -lf -` shows, or "any" to '
                "give the password to whoever answers",
            )
        old_ssh = table.get("old_ssh", False)
        if not isinstance(old_ssh, bool):
            raise DriverConfigError("old_ssh", f"must be true or false, not {old_ssh!r}")
        enable = table.get("enable_password")
        return cls(
            host=host,
            port=port,
            ssh=ssh,
            user=settings.text(table, "user") if ssh or "user" in table else "",
            password=SecretReference.parse("password", table.get("password")),
            enable_password=None if enable is None else SecretReference.parse("enable_password", enable),
            host_key=host_key,
            old_ssh=old_ssh,
        )

    def __str__(self) -> str:
        return f"{'ssh' if self.ssh else 'telnet'} {self.host}:{self.port}"


class CliSession:
    """An open command line; ``run`` is called between two prompts."""

    def __init__(self, access: CliAccess, wire: _Wire, prompt: str) -> None:
        self._access = access
        self._wire = wire
        self._prompt = re.compile(prompt)
        self._seen = ""

    @property
    def privileged(self) -> bool:
        """Whether the prompt is one that needs no ``enable`` any more."""
        return self._seen.rstrip().endswith("#")

    async def log_in(self) -> None:
        """Answer whatever is asked until the prompt comes; over ssh some ask once more.

        Raises:
            EquipmentRefused: User or password is not taken.
            EquipmentUnreachable: The connection is closed before anything was asked.
        """
        access = self._access
        told_password = False
        while True:
            try:
                which = await self._expect(_USER, _PASSWORD, self._prompt)
            except EquipmentUnreachable as error:
                if told_password:
                    raise self._not_let_in() from error
                raise
            if which == 2:
                return
            if told_password:
                raise self._not_let_in()
            if which == 0:
                await self._send(access.user)
            else:
                told_password = True
                await self._send(access.password.reveal())

    async def run(self, line: str, expect: str = "") -> str:
        """Send one line; return what came until the prompt, or until ``expect`` matches at the end.

        Raises:
            DriverError: The connection was closed, or a password is asked for that nobody gave.
        """
        prompt = re.compile(expect) if expect else self._prompt
        await self._send(line)
        if await self._expect(prompt, _PASSWORD) == 1:
            if self._access.enable_password is None:
                raise EquipmentRefused(
                    f"{self._access}: asks for a password at {line!r}; set enable_password"
                )
            await self._send(self._access.enable_password.reveal())
            if await self._expect(prompt, _PASSWORD) == 1:
                raise EquipmentRefused(f"{self._access}: does not take enable_password")
        return self._seen

    async def _send(self, line: str) -> None:
        self._seen = ""
        await self._wire.write(line.encode() + b"\r")

    async def _expect(self, *patterns: re.Pattern[str]) -> int:
        while True:
            data = await self._read()
            self._seen = _COLOURS.sub("", self._seen + data)
            if len(self._seen) > _LARGEST_OUTPUT:
                raise EquipmentRefused(f"{self._access}: its output does not end")
            if _PAGER.search(self._seen):
                self._seen = _PAGER.sub("", self._seen)
                await self._wire.write(b" ")
                continue
            for number, pattern in enumerate(patterns):
                if pattern.search(self._seen):
                    return number

    async def _read(self) -> str:
        data = await self._wire.read()
        if not data:
            raise EquipmentUnreachable(f"{self._access}: closed the connection in the middle")
        return data.decode(errors="replace")

    def _not_let_in(self) -> EquipmentRefused:
        who = f"user {self._access.user}" if self._access.user else "nobody"
        return EquipmentRefused(f"{self._access}: lets {who} not in with {self._access.password}")


@asynccontextmanager
async def cli_session(access: CliAccess, prompt: str = PROMPT) -> AsyncIterator[CliSession]:
    """Connect and log in; the connection is closed on the way out. The caller sets the deadline.

    Raises:
        DriverError: EquipmentUnreachable or EquipmentRefused.
    """
    wire: _Wire = await (_SshWire.open(access) if access.ssh else _TelnetWire.open(access))
    try:
        session = CliSession(access, wire, prompt)
        await session.log_in()
        yield session
    except (OSError, EOFError) as error:
        raise EquipmentUnreachable(f"{access}: {error}") from error
    finally:
        wire.close()


class _Wire(Protocol):
    async def read(self) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class _TelnetWire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        # Without these some servers wait for lines, or echo twice.
        self._telnet = Telnet(theirs=[ECHO, SUPPRESS_GO_AHEAD])

    @classmethod
    async def open(cls, access: CliAccess) -> _TelnetWire:
        try:
            return cls(*await asyncio.open_connection(access.host, access.port))
        except OSError as error:
            raise EquipmentUnreachable(f"{access}: {error.strerror or error}") from error

    async def read(self) -> bytes:
        seen = b""
        while not seen:
            data = await self._reader.read(65536)
            if not data:
                return b""
            seen = self._telnet.receive(data)
            self._writer.write(self._telnet.bytes_to_send())
        return seen + await self._settle()

    async def _settle(self) -> bytes:
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                data = await self._reader.read(65536)
        except TimeoutError:
            return b""
        seen = self._telnet.receive(data)
        self._writer.write(self._telnet.bytes_to_send())
        return seen

    async def write(self, data: bytes) -> None:
        self._telnet.send(data)
        self._writer.write(self._telnet.bytes_to_send())
        await self._writer.drain()

    def close(self) -> None:
        self._writer.transport.abort()


class _SshWire:
    def __init__(
        self, connection: asyncssh.SSHClientConnection, process: asyncssh.SSHClientProcess[bytes]
    ) -> None:
        self._connection, self._process = connection, process

    @classmethod
    async def open(cls, access: CliAccess) -> _SshWire:
        import asyncssh  # late: a third of a second that only labs with such switches pay

        shown = ""

        class Client(asyncssh.SSHClient):
            def validate_host_public_key(self, *args: object) -> bool:
                nonlocal shown
                shown = cast("asyncssh.SSHKey", args[-1]).get_fingerprint()
                return access.host_key in ("any", shown)

        everything = dict.fromkeys(("kex_algs", "encryption_algs", "mac_algs", "server_host_key_algs"), "*")
        try:
            connection = await asyncssh.connect(
                access.host,
                access.port,
                username=access.user,
                password=access.password.reveal(),
                client_factory=Client,
                known_hosts=([], [], []),
                client_keys=None,
                agent_path=None,
                config=None,
                **(everything if access.old_ssh else {}),
            )
            process = await connection.create_process(term_type="vt100", term_size=(200, 100), encoding=None)
        except asyncssh.PermissionDenied as error:
            raise EquipmentRefused(
                f"{access}: lets user {access.user} not in with {access.password}"
            ) from error
        except asyncssh.HostKeyNotVerifiable as error:
            raise EquipmentRefused(
                f"{access}: shows host key {shown or 'of a kind we do not take'}, not {access.host_key}"
            ) from error
        except asyncssh.KeyExchangeFailed as error:
            raise EquipmentRefused(f"{access}: {error}; an old switch may need old_ssh = true") from error
        except (OSError, asyncssh.Error) as error:
            raise EquipmentUnreachable(f"{access}: {error}") from error
        return cls(connection, process)

    async def read(self) -> bytes:
        data = await self._process.stdout.read(65536)
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                return data + await self._process.stdout.read(65536) if data else b""
        except TimeoutError:
            return data

    async def write(self, data: bytes) -> None:
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    def close(self) -> None:
        self._connection.abort()
