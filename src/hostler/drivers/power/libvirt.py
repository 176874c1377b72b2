"""Virtual machines of libvirt, through ``virsh``.

Equipment: optional ``uri`` (``qemu:///system``, or a remote one that needs no typing), ``timeout``,
``min_off_seconds``. Binding: ``domain``, its name or UUID.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.calls import wants_on
from hostler.drivers.tool import Finished, last_line, run_tool
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping

# What holds its memory has power, whether it runs or not.
_STATES = {
    "running": PowerState.ON,
    "idle": PowerState.ON,
    "paused": PowerState.ON,
    "in shutdown": PowerState.ON,
    "pmsuspended": PowerState.ON,
    "crashed": PowerState.ON,
    "shut off": PowerState.OFF,
}
_ALREADY = ("already active", "is not running")


@dataclass(frozen=True, slots=True)
class LibvirtConfig:
    """One domain.

    Attributes:
        uri: The hypervisor.
        domain: Name or UUID.
        timeout: Deadline of a call in seconds.
        min_off_seconds: Nothing holds a charge here.
    """

    uri: str
    domain: str
    timeout: float
    min_off_seconds: float


class Libvirt:
    """The power of one virtual machine; see LibvirtConfig."""

    def __init__(self, config: LibvirtConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Libvirt:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "uri", "timeout", "min_off_seconds")
        settings.only(binding, "domain")
        domain = settings.text(binding, "domain")
        if domain.startswith("-"):
            raise DriverConfigError("domain", f'must not begin with "-": "{domain}"')
        return cls(
            LibvirtConfig(
                uri=settings.text(equipment, "uri") if "uri" in equipment else "qemu:///system",
                domain=domain,
                timeout=settings.seconds(equipment, "timeout", 8.0),
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 0.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Start the domain, or pull its plug."""
        done = await self._virsh("start" if wants_on(state) else "destroy")
        if done.code and not any(words in done.complaint for words in _ALREADY):
            self._complain(done)

    async def get(self) -> PowerReading:
        """Ask for the domain's state."""
        done = await self._virsh("domstate")
        if done.code:
            self._complain(done)
        return PowerReading(_STATES.get(done.output, PowerState.UNKNOWN), None, done.output or "no word")

    async def _virsh(self, verb: str) -> Finished:
        config = self.config
        argv = ["virsh", "--quiet", "--connect", config.uri, verb, config.domain]
        return await run_tool(str(self), argv, config.timeout)

    def _complain(self, done: Finished) -> None:
        said = done.complaint.lower()
        if "failed to get domain" in said:
            raise UnknownPort(f"{self}: has no such domain; check domain")
        if "authentication" in said or "access denied" in said or "permission denied" in said:
            raise EquipmentRefused(f"{self}: {last_line(done.complaint)}")
        if "failed to connect" in said:
            raise EquipmentUnreachable(
                f"{self}: {last_line(done.complaint)}; check uri, and that libvirtd runs"
            )
        raise EquipmentRefused(f"{self}: {last_line(done.complaint)}")

    def __str__(self) -> str:
        return f"libvirt {self.config.uri} {self.config.domain}"
