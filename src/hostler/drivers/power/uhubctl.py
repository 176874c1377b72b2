"""A port of a USB hub with per-port power switching, through the program ``uhubctl``.

Equipment: ``location``, the hub's as ``uhubctl`` lists it (``1-1.4``); optional ``force``, for hubs that
switch although they do not say so, ``timeout``, ``min_off_seconds``. Binding: ``port``.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.answers import shown
from hostler.drivers.power.calls import deadline, wants_on
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping

# A USB 3 hub is two hubs, listed one after the other; "  Port 2: 0503 power highspeed enable connect [...]"
_PORT = re.compile(r"^\s*Port (\d+): [0-9a-f]{4} (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class UhubctlConfig:
    """One port of one hub.

    Attributes:
        location: Bus and path of the hub.
        port: The port's number.
        force: Try hubs that do not say that they switch.
        timeout: Deadline of a call in seconds.
        min_off_seconds: Time without power that surely resets a board behind it.
    """

    location: str
    port: int
    force: bool
    timeout: float
    min_off_seconds: float


class Uhubctl:
    """One port; see UhubctlConfig."""

    def __init__(self, config: UhubctlConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Uhubctl:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "location", "force", "timeout", "min_off_seconds")
        settings.only(binding, "port")
        location = settings.text(equipment, "location")
        if not re.fullmatch(r"\d+(-\d+(\.\d+)*)?", location):
            raise DriverConfigError("location", f'must be as uhubctl lists it, "1-1.4", not {location!r}')
        force = equipment.get("force", False)
        if not isinstance(force, bool):
            raise DriverConfigError("force", f"must be true or false, not {force!r}")
        return cls(
            UhubctlConfig(
                location=location,
                port=settings.whole_number(binding, "port", least=1, most=31),
                force=force,
                timeout=settings.seconds(equipment, "timeout", 8.0),
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 2.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Switch the port."""
        await self._run("-a", "on" if wants_on(state) else "off")

    async def get(self) -> PowerReading:
        """Read the port's status; of a USB 3 hub's two halves one that feeds is enough."""
        output = await self._run("-N")
        words = [words for port, words in _PORT.findall(output) if int(port) == self.config.port]
        if not words:
            raise UnknownPort(f"{self}: has no port {self.config.port}: {shown(output)}")
        fed = [half.split()[0] == "power" if half.split() else None for half in words]
        detail = "; ".join(words)
        if any(fed):
            return PowerReading(PowerState.ON, None, detail)
        if all(half.split()[:1] == ["off"] for half in words):
            return PowerReading(PowerState.OFF, None, detail)
        return PowerReading(PowerState.UNKNOWN, None, detail or "no word of power")

    async def _run(self, *arguments: str) -> str:
        config = self.config
        force = ("-f",) if config.force else ()
        command = ("uhubctl", "-l", config.location, "-p", str(config.port), *force, *arguments)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            raise EquipmentUnreachable(f"{self}: uhubctl cannot be run: {error.strerror}") from error
        try:
            async with deadline(str(self), config.timeout):
                output, _ = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        text = output.decode(errors="replace")
        if "permission" in text.lower():
            raise EquipmentRefused(f"{self}: no access to the USB device; install uhubctl's udev rules")
        if "No compatible devices" in text:
            raise EquipmentUnreachable(
                f"{self}: no hub that switches its ports is there; `uhubctl` lists those"
            )
        if process.returncode != 0:
            raise EquipmentRefused(f"{self}: uhubctl ended with {process.returncode}: {shown(text)}")
        return text

    def __str__(self) -> str:
        return f"usb hub {self.config.location}"
