"""USB relay cards that call themselves ``USBRelay1`` to ``USBRelay8`` (16c0:05df), over hidraw.

Equipment: ``path = "/dev/hidraw0"`` or a udev link to it, optional ``timeout``, ``min_off_seconds``.
Binding: ``relay``, counted from 1; optional ``inverted`` where an energised relay cuts the power.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.answers import shown
from hostler.drivers.power.calls import deadline, wants_on
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping

REPORT_BYTES = 9  # the number of the report, and eight
_SET_FEATURE = 0xC0004806 | REPORT_BYTES << 16  # HIDIOCSFEATURE(9), linux/hidraw.h
_GET_FEATURE = 0xC0004807 | REPORT_BYTES << 16  # HIDIOCGFEATURE(9)

_ON, _OFF = 0xFF, 0xFD
_STATES = 7  # the byte with a bit for each relay; bytes 0 to 4 are the card's serial number


class FeatureReports(Protocol):
    """Sends and gets a HID device's feature reports."""

    def send(self, path: str, report: bytes) -> None:
        """Send a report; its first byte is the report's number.

        Raises:
            OSError: As the kernel says.
        """
        ...

    def get(self, path: str) -> bytes:
        """Return report 1, without its number.

        Raises:
            OSError: As the kernel says.
        """
        ...


class Hidraw:
    """The kernel's hidraw devices."""

    def send(self, path: str, report: bytes) -> None:
        """Send a report."""
        self._ioctl(path, _SET_FEATURE, bytearray(report))

    def get(self, path: str) -> bytes:
        """Return report 1; this card puts no number before it."""
        report = bytearray(REPORT_BYTES)
        report[0] = 1
        self._ioctl(path, _GET_FEATURE, report)
        return bytes(report)

    @staticmethod
    def _ioctl(path: str, request: int, report: bytearray) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(handle, request, report, True)
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class HidRelayConfig:
    """One relay of one card.

    Attributes:
        path: The card's hidraw device.
        relay: The relay's number, from 1.
        inverted: An energised relay cuts the power.
        timeout: Deadline of a call in seconds.
        min_off_seconds: Time without power that surely resets a board behind it.
    """

    path: str
    relay: int
    inverted: bool
    timeout: float
    min_off_seconds: float


class HidRelay:
    """One relay; see HidRelayConfig. ``reports`` is how the card is spoken to."""

    def __init__(self, config: HidRelayConfig, reports: FeatureReports | None = None) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)
        self._reports = reports or Hidraw()

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> HidRelay:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "path", "timeout", "min_off_seconds")
        settings.only(binding, "relay", "inverted")
        inverted = binding.get("inverted", False)
        if not isinstance(inverted, bool):
            raise DriverConfigError("inverted", f"must be true or false, not {inverted!r}")
        return cls(
            HidRelayConfig(
                path=settings.text(equipment, "path"),
                relay=settings.whole_number(binding, "relay", least=1, most=8),
                inverted=inverted,
                timeout=settings.seconds(equipment, "timeout", 3.0),
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 5.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Switch the relay."""
        energised = wants_on(state) is not self.config.inverted
        report = bytes((0, _ON if energised else _OFF, self.config.relay)).ljust(REPORT_BYTES, b"\0")
        await self._call(report)

    async def get(self) -> PowerReading:
        """Read the relay's bit."""
        report = await self._call(None)
        if not report[:5].isascii() or 0 in report[:5]:
            raise EquipmentRefused(f"{self}: is no USBRelay card: it says {shown(report.hex())}")
        energised = bool(report[_STATES] >> self.config.relay - 1 & 1)
        state = PowerState.ON if energised is not self.config.inverted else PowerState.OFF
        card = report[:5].decode()
        return PowerReading(
            state, None, f"relay {self.config.relay} of {card} is {'' if energised else 'not '}energised"
        )

    async def _call(self, report: bytes | None) -> bytes:
        path = self.config.path
        try:
            # In a thread: the control transfer of a card that hangs lasts seconds.
            async with deadline(str(self), self.config.timeout):
                if report is None:
                    return await asyncio.to_thread(self._reports.get, path)
                await asyncio.to_thread(self._reports.send, path, report)
                return b""
        except PermissionError as error:
            raise EquipmentRefused(
                f"{self}: no access; a udev rule must give this user the device"
            ) from error
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EINVAL):
                raise UnknownPort(f"{self}: does not take this: {error.strerror}; is it the card?") from error
            raise EquipmentUnreachable(f"{self}: {error.strerror or error}") from error

    def __str__(self) -> str:
        return f"usb relay card {self.config.path}"
