"""The serial line of a server with a management controller: IPMI serial over LAN, through ``ipmitool``.

Equipment: as of the power driver ``ipmi``: ``host = "10.0.0.9"`` or ``"10.0.0.9:623"``, ``user``,
``password`` (a reference); optional ``privilege`` (``administrator``, ``operator``, ``user``), ``cipher``,
``timeout``. Binding: ``host`` when it is not the equipment's; optional ``instance`` (which of its lines).

A controller has one such line at a time: another program's session on it is ended.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostler.drivers import settings
from hostler.drivers.console.program import ProgramStream, start
from hostler.drivers.errors import (
    DriverConfigError,
    DriverTimeout,
    EquipmentRefused,
    EquipmentUnreachable,
)
from hostler.drivers.secrets import SecretReference
from hostler.drivers.tool import last_line, run_tool

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPERATIONAL: Final = b"[SOL Session operational."
_IN_USE: Final = b"already active"
_PRIVILEGES: Final = ("administrator", "operator", "user")
_ESCAPE: Final = 0x7E
_LINE_ENDS: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class IpmiSolConfig:
    """One server's controller.

    Attributes:
        host: Its name or address.
        port: UDP port, usually 623.
        user: Who to log in as.
        password: Where the password is.
        privilege: The level asked for.
        cipher: Cipher suite; None lets ipmitool ask for the best.
        instance: Which of its lines; None: the only one.
        timeout: Deadline in seconds of the session, and of what is written being taken.
    """

    host: str
    port: int
    user: str
    password: SecretReference
    privilege: str
    cipher: int | None
    instance: int | None
    timeout: float


class IpmiSol:
    """Opens the line; see IpmiSolConfig."""

    def __init__(self, config: IpmiSolConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> IpmiSol:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        # The last two are the power driver's: both wires of a server share one table.
        settings.only(
            equipment, "host", "user", "password", "privilege", "cipher", "timeout", "interface",
            "min_off_seconds",
        )  # fmt: skip
        settings.only(binding, "host", "instance")
        host, port = settings.address(binding if "host" in binding else equipment, "host", default_port=623)
        privilege = equipment.get("privilege", "administrator")
        if privilege not in _PRIVILEGES:
            raise DriverConfigError(
                "privilege", f"must be one of {', '.join(_PRIVILEGES)}, not {privilege!r}"
            )
        if equipment.get("interface", "lanplus") != "lanplus":
            raise DriverConfigError("interface", 'must be "lanplus": IPMI 1.5 has no serial over LAN')
        return cls(
            IpmiSolConfig(
                host=host,
                port=port,
                user=settings.text(equipment, "user"),
                password=SecretReference.parse("password", equipment.get("password")),
                privilege=str(privilege),
                cipher=settings.whole_number(equipment, "cipher", least=0, most=17)
                if "cipher" in equipment
                else None,
                instance=settings.whole_number(binding, "instance", least=1, most=15)
                if "instance" in binding
                else None,
                timeout=settings.seconds(equipment, "timeout", 10.0),
            )
        )

    async def open(self) -> SolStream:
        """Start the session, ending another one that is in its way.

        Raises:
            EquipmentUnreachable: No session with the controller.
            EquipmentRefused: It has no serial over LAN for this user.
            DriverTimeout: No session within the deadline.
        """
        stream, said = await self._activate()
        if stream is None and _IN_USE in said:
            await run_tool(
                str(self), self._argv("deactivate"), self.config.timeout, environment=self._secret()
            )
            stream, said = await self._activate()
        if stream is not None:
            return stream
        text = last_line(said.decode(errors="replace"))
        if b"stablish" in said:
            raise EquipmentUnreachable(
                f"{self}: no session; check the address, the user and its password ({self.config.password}), "
                "and that IPMI over LAN is enabled: a controller says no more than that"
            )
        raise EquipmentRefused(f"{self}: {text}; is serial over LAN enabled, for this user too?")

    async def _activate(self) -> tuple[SolStream | None, bytes]:
        """Return the line; or None and what was said instead."""
        program = await start(
            str(self), self._argv("activate"), self.config.timeout, environment=self._secret()
        )
        said = b""
        try:
            async with asyncio.timeout(self.config.timeout):
                while data := await program.read():
                    said += data
                    begin = said.find(_OPERATIONAL)
                    end = said.find(b"\n", begin)
                    if begin >= 0 and end >= 0:
                        return SolStream(str(self), program, said[end + 1 :]), said
        except TimeoutError as error:
            await program.close()
            raise DriverTimeout(f"{self}: no session within {self.config.timeout:g} s") from error
        except BaseException:
            await program.close()
            raise
        await program.close()
        return None, said

    def _argv(self, verb: str) -> list[str]:
        config = self.config
        cipher = [] if config.cipher is None else ["-C", str(config.cipher)]
        instance = [] if config.instance is None else [f"instance={config.instance}"]
        return [
            "ipmitool", "-I", "lanplus", "-H", config.host, "-p", str(config.port), "-U", config.user,
            "-L", config.privilege.upper(), *cipher, "-E", "-e", chr(_ESCAPE), "sol", verb, *instance,
        ]  # fmt: skip

    def _secret(self) -> dict[str, str]:
        return {"IPMI_PASSWORD": self.config.password.reveal()}

    def __str__(self) -> str:
        return f"console ipmi {self.config.host}:{self.config.port}"


class SolStream:
    """An open line. ipmitool hears commands after a ``~`` at the start of a line: those typed are doubled.

    Args:
        name: Names the line in messages.
        program: ipmitool, with its session open.
        early: What the board said already.
    """

    def __init__(self, name: str, program: ProgramStream, early: bytes) -> None:
        self._name = name
        self._program = program
        self._early = early
        self._at_line_start = True

    async def read(self) -> bytes:
        """Return what the board said; ``b""`` when the session has ended."""
        said, self._early = self._early, b""
        return said or await self._program.read()

    async def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            EquipmentUnreachable: The session has ended.
            DriverTimeout: It takes nothing within the deadline.
        """
        typed = bytearray()
        for byte in data:
            if byte == _ESCAPE and self._at_line_start:
                typed.append(_ESCAPE)
            typed.append(byte)
            self._at_line_start = byte in _LINE_ENDS
        await self._program.write(bytes(typed))

    async def send_break(self, seconds: float = 0.25) -> None:  # noqa: ARG002 - the controller chooses
        """Send BREAK; the controller chooses how long.

        Raises:
            EquipmentUnreachable: The session has ended.
            EquipmentRefused: Something was typed after the last Enter: ipmitool hears no command then.
        """
        if not self._at_line_start:
            raise EquipmentRefused(f"{self._name}: BREAK can only be sent after Enter; press it first")
        await self._program.write(bytes((_ESCAPE, ord("B"))))

    async def close(self) -> None:
        """End the session."""
        await self._program.close()
