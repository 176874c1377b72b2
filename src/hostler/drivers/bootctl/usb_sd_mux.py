"""Boards that boot from an SD card in a USB-SD-Mux, through its program ``usbsdmux``.

Equipment: optional ``timeout``. Binding: ``path`` (``/dev/usb-sd-mux/id-00048.00643``, which stays when it is
plugged in elsewhere), optional ``network`` (``"host"``; ``"off"``: the card is nobody's). Without its card
the board goes on to what its firmware tries next, which must be the network; for a local boot it has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import DidNotHappen, DriverConfigError, EquipmentRefused
from hostler.drivers.tool import last_line, run_tool
from hostler.model.boot import BootTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

_AWAY = ("host", "off")


@dataclass(frozen=True, slots=True)
class UsbSdMuxConfig:
    """One multiplexer.

    Attributes:
        path: Its device.
        network: Where the card is for a boot from the network.
        timeout: Deadline of a call in seconds.
    """

    path: str
    network: str
    timeout: float


class UsbSdMux:
    """Who has the SD card; see UsbSdMuxConfig."""

    def __init__(self, config: UsbSdMuxConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> UsbSdMux:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "timeout")
        settings.only(binding, "path", "network")
        path, network = settings.text(binding, "path"), binding.get("network", "host")
        if not path.startswith("/dev/") or ".." in path:
            raise DriverConfigError("path", f"must be a device below /dev, not {path!r}")
        if network not in _AWAY:
            raise DriverConfigError("network", f"must be one of {', '.join(_AWAY)}, not {network!r}")
        return cls(UsbSdMuxConfig(path, str(network), settings.seconds(equipment, "timeout", 8.0)))

    async def direct(self, target: BootTarget) -> str:
        """Switch the card, and read back who has it."""
        place = self.config.network if target is BootTarget.NETWORK else "dut"
        await self._run(place)
        has = await self._run("get")
        if has != place:
            raise DidNotHappen(f"{self}: agreed to give the card to {place}, but {has or 'nobody'} has it")
        return f"{self}: the card is at {place}"

    async def look(self) -> str:
        """Read who has the card."""
        return f"the card is at {await self._run('get')}"

    async def _run(self, verb: str) -> str:
        done = await run_tool(str(self), ["usbsdmux", self.config.path, verb], self.config.timeout)
        if done.code:
            raise EquipmentRefused(f"{self}: {last_line(done.complaint)}")
        return last_line(done.output) if done.output else ""

    def __str__(self) -> str:
        return f"usbsdmux {self.config.path}"
