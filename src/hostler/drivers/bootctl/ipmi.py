"""Servers whose management controller takes the boot device by IPMI (``ipmitool chassis bootdev``).

Equipment: that of the power driver ``ipmi``. Binding: ``host`` as there; optional ``efi`` (true; false for a
server that boots by BIOS). A controller keeps the request for one boot, and many forget it after a minute
without power-on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import DidNotHappen, DriverConfigError
from hostler.drivers.power.ipmi import Ipmi
from hostler.model.boot import BootTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEVICES = {BootTarget.NETWORK: "pxe", BootTarget.DISK: "disk"}
# Boot device selector of parameter 5 as ipmitool words it (IPMI 2.0 table 28-14).
_READS = {BootTarget.NETWORK: "force pxe", BootTarget.DISK: "force boot from default hard-drive"}


@dataclass(frozen=True, slots=True)
class IpmiBootConfig:
    """One server.

    Attributes:
        server: Its controller.
        efi: Whether the boot it is asked for is one by UEFI.
    """

    server: Ipmi
    efi: bool


class IpmiBoot:
    """The boot device of one server; see IpmiBootConfig."""

    def __init__(self, config: IpmiBootConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> IpmiBoot:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(binding, "host", "efi")
        efi = binding.get("efi", True)
        if not isinstance(efi, bool):
            raise DriverConfigError("efi", f"must be true or false, not {efi!r}")
        of_host = {"host": binding["host"]} if "host" in binding else {}
        return cls(IpmiBootConfig(Ipmi.from_config(equipment, of_host), efi))

    async def direct(self, target: BootTarget) -> str:
        """Set the boot device for the next boot, and read it back."""
        server = self.config.server
        device = _DEVICES[target]
        done = await server.ask("bootdev", device, *(("options=efiboot",) if self.config.efi else ()))
        if done.code:
            raise server.complaint(done)
        selector = await self.look()
        if _READS[target] not in selector.lower():
            raise DidNotHappen(
                f"{server}: agreed to boot from {device}, but reads {selector or 'no boot device'}"
            )
        return f"{server}: {selector}"

    async def look(self) -> str:
        """Read the boot device."""
        done = await self.config.server.ask("bootparam", "get", "5")
        if done.code:
            raise self.config.server.complaint(done)
        reads = [line.strip(" -") for line in done.output.splitlines()]
        return next((line for line in reads if line.lower().startswith("boot device selector")), "")
