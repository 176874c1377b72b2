"""A serial line on this machine: a USB adapter, a UART, or a pty that something else made.

Equipment: optional ``timeout`` (seconds). Binding: ``path = "/dev/serial/by-path/…"``, or ``usb_serial``
(the adapter's serial number) with ``interface`` (0; which of its lines); optional ``baud`` (115200),
``data_bits`` (8), ``parity`` (``none``, ``even``, ``odd``), ``stop_bits`` (1), ``flow`` (``none``,
``rtscts``, ``xonxoff``), and ``dtr`` and ``rts`` (true or false; else as the system sets them).
"""

from __future__ import annotations

import errno
import fcntl
import os
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hostler.drivers import settings
from hostler.drivers.console.terminal import SerialStream, make_raw
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

_Value = TypeVar("_Value")

SPEEDS: Final[dict[int, int]] = {
    int(name[1:]): getattr(termios, name) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()
}
_DATA_BITS: Final = {7: termios.CS7, 8: termios.CS8}
_PARITY: Final = {"none": 0, "even": termios.PARENB, "odd": termios.PARENB | termios.PARODD}
_STOP_BITS: Final = {1: 0, 2: termios.CSTOPB}
_FLOW: Final = {
    "none": (0, 0),
    "rtscts": (getattr(termios, "CRTSCTS", 0), 0),
    "xonxoff": (0, termios.IXON | termios.IXOFF),
}


@dataclass(frozen=True, slots=True)
class TtyConfig:
    """One serial line of this machine.

    Attributes:
        path: The device; empty when it is found by ``usb_serial``.
        usb_serial: Serial number of a USB adapter.
        interface: Number of the adapter's USB interface that is the line.
        speed: A ``termios.B`` constant.
        cflag: Size of a byte, parity, stop bits and hardware flow control, for termios.
        iflag: Software flow control, for termios.
        dtr: What DTR is set to; None: left alone.
        rts: The same for RTS.
        timeout: Deadline in seconds of the line taking what is written.
        sysfs: Where the kernel lists its terminals.
    """

    path: str
    usb_serial: str
    interface: int
    speed: int
    cflag: int
    iflag: int
    dtr: bool | None
    rts: bool | None
    timeout: float
    sysfs: Path = Path("/sys/class/tty")


class Tty:
    """Opens the line; see TtyConfig."""

    retry_seconds = 0.5
    """An adapter that is plugged in again is in use again at once: what a board says before is lost."""

    def __init__(self, config: TtyConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Tty:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "timeout")
        settings.only(
            binding, "path", "usb_serial", "interface", "baud", "data_bits", "parity", "stop_bits", "flow",
            "dtr", "rts",
        )  # fmt: skip
        path = usb_serial = ""
        if "usb_serial" in binding:
            if "path" in binding:
                raise DriverConfigError("path", "is one way to say where the line is, usb_serial another")
            usb_serial = settings.text(binding, "usb_serial")
        else:
            path = settings.text(binding, "path")
            if "interface" in binding:
                raise DriverConfigError("interface", "goes with usb_serial; a path is a line already")
        flow = _one_of(binding, "flow", _FLOW, "none")
        return cls(
            TtyConfig(
                path,
                usb_serial,
                settings.whole_number(binding, "interface", least=0, most=255, default=0),
                _one_of(binding, "baud", SPEEDS, 115200),
                _one_of(binding, "data_bits", _DATA_BITS, 8)
                | _one_of(binding, "parity", _PARITY, "none")
                | _one_of(binding, "stop_bits", _STOP_BITS, 1)
                | flow[0],
                flow[1],
                _switch(binding, "dtr"),
                _switch(binding, "rts"),
                settings.seconds(equipment, "timeout", 5.0),
            )
        )

    async def open(self) -> SerialStream:
        """Open the device for nobody but us.

        Raises:
            EquipmentUnreachable: There is no such device now: it is unplugged.
            EquipmentRefused: It is not ours to open, or another program uses it.
        """
        config = self.config
        path = config.path or find_usb_line(config.sysfs, config.usb_serial, config.interface)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _cannot_open(path, error) from error
        stream = SerialStream(str(self), descriptor, config.timeout)
        try:
            self._prepare(descriptor, path)
            if config.dtr is not None or config.rts is not None:
                await stream.set_lines(dtr=config.dtr, rts=config.rts)
        except BaseException:
            await stream.close()
            raise
        return stream

    def _prepare(self, descriptor: int, path: str) -> None:
        if not os.isatty(descriptor):
            raise EquipmentRefused(f"console {path}: is not a serial line; correct its path")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.ioctl(descriptor, termios.TIOCEXCL)
            make_raw(descriptor, self.config.speed, self.config.cflag, self.config.iflag)
        except (OSError, termios.error) as error:
            raise _cannot_open(path, error) from error

    def __str__(self) -> str:
        config = self.config
        return f"console {config.path or f'usb {config.usb_serial} interface {config.interface}'}"


def find_usb_line(sysfs: Path, serial: str, interface: int) -> str:
    """Return the device of the line behind an interface of the USB adapter with that serial number.

    Args:
        sysfs: ``/sys/class/tty``.
        serial: The adapter's serial number.
        interface: USB interface number.

    Raises:
        EquipmentUnreachable: There is none now; lists the adapters that are there.
    """
    there = set()
    for terminal in sorted(sysfs.glob("*/device")):
        found = _usb_identity(terminal.resolve())
        if found == (serial, interface):
            return f"/dev/{terminal.parent.name}"
        if found is not None:
            there.add(f"{found[0]} interface {found[1]}")
    raise EquipmentUnreachable(
        f"console usb {serial} interface {interface}: no such adapter is plugged in; "
        f"there are: {', '.join(sorted(there)) or 'none'}"
    )


def _usb_identity(device: Path) -> tuple[str, int] | None:
    """Return serial number and interface number of the USB interface a terminal belongs to."""
    for folder in (device, *device.parents):
        if (folder / "bInterfaceNumber").exists():
            try:
                number = int((folder / "bInterfaceNumber").read_text(), 16)
                return (folder.parent / "serial").read_text().strip(), number
            except (OSError, ValueError):
                return None  # has no serial number, or is being unplugged
    return None


def _cannot_open(path: str, error: OSError | termios.error) -> EquipmentRefused | EquipmentUnreachable:
    number = error.args[0] if error.args else None
    text = os.strerror(number) if isinstance(number, int) else str(error)
    if number in (errno.EBUSY, errno.EAGAIN):
        return EquipmentRefused(
            f"console {path}: another program uses it; end that one, a getty or modem manager perhaps"
        )
    if number in (errno.EACCES, errno.EPERM):
        return EquipmentRefused(f"console {path}: {text}; add the server's user to the device's group")
    return EquipmentUnreachable(f"console {path}: {text}")


def _one_of(table: Mapping[str, object], key: str, values: Mapping[Any, _Value], default: object) -> _Value:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value not in values:
        raise DriverConfigError(key, f"must be one of {', '.join(map(str, sorted(values)))}, not {value!r}")
    return values[value]


def _switch(table: Mapping[str, object], key: str) -> bool | None:
    value = table.get(key)
    if value is not None and not isinstance(value, bool):
        raise DriverConfigError(key, f"must be true or false, not {value!r}")
    return value
