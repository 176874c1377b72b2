"""Servers with a management controller that speaks IPMI over LAN, through ``ipmitool``.

Equipment: ``host = "10.0.0.9"`` or ``"10.0.0.9:623"``, ``user``, ``password`` (a reference); optional
``privilege`` (``administrator``, ``operator``, ``user``), ``cipher`` (a cipher suite, 3 or 17; found out when
not given, which costs a second on controllers that cannot say), ``interface`` (``lanplus``; ``lan`` for
IPMI 1.5), ``timeout``, ``min_off_seconds``. Binding: ``host`` when it is not the equipment's, so that servers
with the same login share one table; those are then also asked one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, DriverError, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.power.calls import wants_on
from hostler.drivers.secrets import SecretReference
from hostler.drivers.tool import Finished, last_line, run_tool
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping

_PRIVILEGES = ("administrator", "operator", "user")  # a user may read and not switch
_STATES = {"chassis power is on": PowerState.ON, "chassis power is off": PowerState.OFF}
# A controller may refuse to switch on what is on; reading back tells whether that mattered.
_ALREADY = "not supported in present state"


@dataclass(frozen=True, slots=True)
class IpmiConfig:
    """One server's controller.

    Attributes:
        host: Its name or address.
        port: UDP port, usually 623.
        user: Who to log in as.
        password: Where the password is.
        privilege: The level asked for: a user who may only switch is refused as administrator.
        cipher: Cipher suite; None lets ipmitool ask for the best.
        interface: ``lanplus`` or ``lan``.
        timeout: Deadline of a call in seconds.
        min_off_seconds: Time without power that surely resets the server.
    """

    host: str
    port: int
    user: str
    password: SecretReference
    privilege: str
    cipher: int | None
    interface: str
    timeout: float
    min_off_seconds: float


class Ipmi:
    """The power of one server; see IpmiConfig."""

    def __init__(self, config: IpmiConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Ipmi:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        keys = ("host", "user", "password", "privilege", "cipher", "interface", "timeout", "min_off_seconds")
        settings.only(equipment, *keys)
        settings.only(binding, "host")
        host, port = settings.address(binding if "host" in binding else equipment, "host", default_port=623)
        privilege, interface = (
            equipment.get("privilege", "administrator"),
            equipment.get("interface", "lanplus"),
        )
        if privilege not in _PRIVILEGES:
            raise DriverConfigError(
                "privilege", f"must be one of {', '.join(_PRIVILEGES)}, not {privilege!r}"
            )
        if interface not in ("lanplus", "lan"):
            raise DriverConfigError("interface", f'must be "lanplus" or "lan", not {interface!r}')
        cipher = (
            settings.whole_number(equipment, "cipher", least=0, most=17) if "cipher" in equipment else None
        )
        return cls(
            IpmiConfig(
                host=host,
                port=port,
                user=settings.text(equipment, "user"),
                password=SecretReference.parse("password", equipment.get("password")),
                privilege=str(privilege),
                cipher=cipher,
                interface=str(interface),
                timeout=settings.seconds(equipment, "timeout", 8.0),
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 5.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Switch the chassis hard; an orderly shutdown is the operating system's business."""
        done = await self.ask("power", "on" if wants_on(state) else "off")
        if done.code and _ALREADY not in done.complaint.lower():
            raise self.complaint(done)

    async def get(self) -> PowerReading:
        """Ask for the chassis' power."""
        done = await self.ask("power", "status")
        if done.code:
            raise self.complaint(done)
        said = last_line(done.output)
        return PowerReading(_STATES.get(said.lower(), PowerState.UNKNOWN), None, said)

    async def ask(self, *words: str) -> Finished:
        """Run ``ipmitool chassis WORDS``; raises DriverError when it cannot be run or does not end."""
        config = self.config
        cipher = [] if config.cipher is None else ["-C", str(config.cipher)]
        argv = [
            "ipmitool", "-I", config.interface, "-H", config.host, "-p", str(config.port), "-U", config.user,
            "-L", config.privilege.upper(), *cipher, "-E", "-N", "1", "-R", "3", "chassis", *words,
        ]  # fmt: skip
        password = {"IPMI_PASSWORD": config.password.reveal()}  # an argument would be seen by every user
        return await run_tool(str(self), argv, config.timeout, environment=password)

    def complaint(self, done: Finished) -> DriverError:
        """Return what an ``ipmitool`` that failed means for the operator."""
        if "unable to establish" in done.complaint.lower():
            return EquipmentUnreachable(
                f"{self}: no session; check the address, the user and its password ({self.config.password}), "
                "and that IPMI over LAN is enabled: a controller says no more than that"
            )
        return EquipmentRefused(f"{self}: {last_line(done.complaint)}")

    def __str__(self) -> str:
        return f"ipmi {self.config.host}:{self.config.port}"
