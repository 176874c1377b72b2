"""A serial line behind a command on another host, over ssh: console servers, or a Pi with adapters.

Equipment: ``host = "10.0.0.4"`` or ``"10.0.0.4:22"``, ``user``, ``password`` or ``key`` (references; the
private key's text), ``host_key = "ssh-ed25519 AAAA…"`` or else ``known_hosts`` (a file; that of the
server's user), ``timeout`` (seconds). Binding: ``command = "picocom -q /dev/ttyUSB0"``, or none on a console
server whose login is the line; ``pty`` (true: the command runs on a terminal).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.secrets import SecretReference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncssh import SSHClientConnection, SSHClientProcess


@dataclass(frozen=True, slots=True)
class SshConsoleConfig:
    """One command on one host.

    Attributes:
        host: Name or address.
        port: TCP port, usually 22.
        user: Who to log in as.
        password: Where the password is, or None.
        key: Where the private key is, or None.
        host_key: The host's public key; empty: it is in ``known_hosts``.
        known_hosts: Path of the file with the keys of hosts.
        command: What to run; None: the login itself.
        pty: Whether it runs on a terminal.
        timeout: Deadline in seconds of connecting, and of the far side taking what is written.
    """

    host: str
    port: int
    user: str
    password: SecretReference | None
    key: SecretReference | None
    host_key: str
    known_hosts: str
    command: str | None
    pty: bool
    timeout: float


class SshConsole:
    """Opens the line; see SshConsoleConfig."""

    def __init__(self, config: SshConsoleConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> SshConsole:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "host", "user", "password", "key", "host_key", "known_hosts", "timeout")
        settings.only(binding, "command", "pty")
        if ("password" in equipment) == ("key" in equipment):
            raise DriverConfigError("key", "say where the private key is, or else where the password is")
        if "host_key" in equipment and "known_hosts" in equipment:
            raise DriverConfigError("known_hosts", "is not needed beside host_key")
        pty = binding.get("pty", True)
        if not isinstance(pty, bool):
            raise DriverConfigError("pty", f"must be true or false, not {pty!r}")
        host, port = settings.address(equipment, "host", default_port=22)
        known_hosts = equipment.get("known_hosts", "~/.ssh/known_hosts")
        return cls(
            SshConsoleConfig(
                host=host,
                port=port,
                user=settings.text(equipment, "user"),
                password=_reference(equipment, "password"),
                key=_reference(equipment, "key"),
                host_key=settings.text(equipment, "host_key") if "host_key" in equipment else "",
                known_hosts=settings.text({"known_hosts": known_hosts}, "known_hosts"),
                command=settings.text(binding, "command") if "command" in binding else None,
                pty=pty,
                timeout=settings.seconds(equipment, "timeout", 10.0),
            )
        )

    async def open(self) -> SshStream:
        """Log in and start the command.

        Raises:
            DriverConfigError: The key, or the host's key, cannot be read.
            EquipmentUnreachable: Nothing listens there.
            EquipmentRefused: It refuses us, or is not the host it should be.
            DriverTimeout: No connection within the deadline.
        """
        import asyncssh

        options = self._options()
        config = self.config
        try:
            async with asyncio.timeout(config.timeout):
                connection = await asyncssh.connect(config.host, config.port, **options)
                try:
                    process = await self._start(connection)
                except BaseException:
                    connection.abort()
                    raise
        except TimeoutError as error:
            raise DriverTimeout(f"{self}: no connection within {config.timeout:g} s") from error
        except asyncssh.HostKeyNotVerifiable as error:
            where = "host_key" if config.host_key else config.known_hosts
            raise EquipmentRefused(
                f"{self}: its host key is not the one in {where}; if it is the right host, correct that"
            ) from error
        except asyncssh.PermissionDenied as error:
            secret = config.key or config.password
            raise EquipmentRefused(f"{self}: refuses {config.user} with {secret}; check both") from error
        except (asyncssh.Error, OSError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            raise EquipmentUnreachable(f"{self}: {reason}") from error
        return SshStream(str(self), connection, process, config.timeout)

    def _options(self) -> dict[str, Any]:
        import asyncssh

        config = self.config
        keys = None
        if config.key is not None:
            try:
                keys = [asyncssh.import_private_key(config.key.reveal() + "\n")]
            except asyncssh.KeyImportError as error:
                raise DriverConfigError("key", f"is no private key without a passphrase: {error}") from error
        known_hosts: Any = str(Path(config.known_hosts).expanduser())
        try:
            if config.host_key:
                asyncssh.import_public_key(config.host_key)
                known_hosts = asyncssh.import_known_hosts(f"* {config.host_key}\n")
            else:
                known_hosts = asyncssh.read_known_hosts(known_hosts)
        except (asyncssh.KeyImportError, OSError, ValueError) as error:
            key = "host_key" if config.host_key else "known_hosts"
            raise DriverConfigError(key, f"cannot be read: {error}") from error
        return {
            "username": config.user,
            "password": None if config.password is None else config.password.reveal(),
            "client_keys": keys,
            "known_hosts": known_hosts,
            "agent_path": None,  # who we are is in the binding, not in the environment
            "config": None,
            "gss_host": None,
            # A console may be silent for days; this tells a quiet board from a host that is gone.
            "keepalive_interval": 15,
            "keepalive_count_max": 3,
        }

    async def _start(self, connection: SSHClientConnection) -> SSHClientProcess[bytes]:
        import asyncssh

        raw = dict.fromkeys(
            (
                asyncssh.PTY_ICRNL, asyncssh.PTY_INLCR, asyncssh.PTY_IGNCR, asyncssh.PTY_ISTRIP,
                asyncssh.PTY_IXON, asyncssh.PTY_IXOFF, asyncssh.PTY_ISIG, asyncssh.PTY_ICANON,
                asyncssh.PTY_IEXTEN, asyncssh.PTY_ECHO, asyncssh.PTY_OPOST, asyncssh.PTY_ONLCR,
            ),
            0,
        )  # fmt: skip
        terminal: dict[str, Any] = {"term_type": "vt100", "term_modes": raw} if self.config.pty else {}
        return await connection.create_process(
            self.config.command, encoding=None, stderr=asyncssh.STDOUT, **terminal
        )

    def __str__(self) -> str:
        return f"console ssh {self.config.host}:{self.config.port}"


class SshStream:
    """An open line."""

    def __init__(
        self, name: str, connection: SSHClientConnection, process: SSHClientProcess[bytes], timeout: float
    ) -> None:
        self._name = name
        self._connection = connection
        self._process = process
        self._timeout = timeout
        self._closed = False

    async def read(self) -> bytes:
        """Return what has come, at most 64 KiB; ``b""`` when the command or the connection has ended."""
        import asyncssh

        if self._closed:
            return b""
        try:
            return await self._process.stdout.read(65536)
        except (asyncssh.Error, OSError):
            return b""

    async def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            EquipmentUnreachable: The line is closed.
            DriverTimeout: The far side takes nothing within the deadline.
        """
        import asyncssh

        if self._closed or self._process.stdin.is_closing():
            raise EquipmentUnreachable(f"{self._name}: the line is closed")
        try:
            self._process.stdin.write(data)
            async with asyncio.timeout(self._timeout):
                await self._process.stdin.drain()
        except TimeoutError as error:
            raise DriverTimeout(f"{self._name}: takes no bytes for {self._timeout:g} s") from error
        except (asyncssh.Error, OSError) as error:
            raise EquipmentUnreachable(f"{self._name}: {error}") from error

    async def send_break(self, seconds: float = 0.25) -> None:
        """Send BREAK (RFC 4335): console servers hand it to the line; others ignore it.

        Raises:
            EquipmentUnreachable: The line is closed.
        """
        if self._closed or self._process.stdin.is_closing():
            raise EquipmentUnreachable(f"{self._name}: the line is closed")
        self._process.send_break(round(seconds * 1000))
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Close the line; the command is hung up on."""
        self._closed = True
        self._connection.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._connection.wait_closed()


def _reference(table: Mapping[str, object], key: str) -> SecretReference | None:
    return SecretReference.parse(key, table[key]) if key in table else None
