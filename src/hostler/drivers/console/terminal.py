"""A terminal device as a console stream: what local lines and programs on a pty share."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from hostler.drivers.errors import DriverTimeout, EquipmentUnreachable
from hostler.wire.rfc2217 import LineSettings

if TYPE_CHECKING:
    from collections.abc import Callable

_Key = TypeVar("_Key", int, str)

_READ_BYTES = 65536
_FULL_PIECE = 1024
"""A piece of that size says that more is waiting."""
_TIOCSBRK, _TIOCCBRK = 0x5427, 0x5428  # asm-generic/ioctls.h; not in Python's termios


def make_raw(descriptor: int, speed: int | None = None, cflag: int = termios.CS8, iflag: int = 0) -> None:
    """Let a terminal carry bytes: no echo, no lines, no translation, no signals.

    Nothing that has come already is thrown away, and the modem lines stay as they are when it is closed:
    DTR falling is the reset of many boards.

    Args:
        descriptor: The terminal.
        speed: A ``termios.B`` constant; None leaves it.
        cflag: Size of a byte, parity, stop bits, hardware flow control.
        iflag: Software flow control.

    Raises:
        termios.error: It is no terminal, or cannot do that.
    """
    attributes = termios.tcgetattr(descriptor)
    if speed is not None:
        attributes[4] = attributes[5] = speed
    characters = attributes[6]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0  # with 0 a silent line reads as closed
    base = termios.CREAD | termios.CLOCAL
    termios.tcsetattr(
        descriptor, termios.TCSANOW, [iflag, 0, base | cflag, 0, attributes[4], attributes[5], characters]
    )


class TerminalStream:
    """An open terminal.

    Args:
        name: Names the line in messages.
        descriptor: The terminal, non-blocking; the stream closes it.
        timeout: Deadline in seconds of the line taking what is written.
    """

    def __init__(self, name: str, descriptor: int, timeout: float) -> None:
        self._name = name
        self._descriptor = descriptor
        self._timeout = timeout
        self._closing = asyncio.Event()
        self._readable = asyncio.Event()
        self._writing = asyncio.Lock()

    async def read(self) -> bytes:
        """Return what has come, at most 64 KiB; ``b""`` when the line is closed, hung up or unplugged."""
        loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            try:
                return self._read_all()
            except BlockingIOError:
                self._readable.clear()
                loop.add_reader(self._descriptor, self._readable.set)
                try:
                    await self._readable.wait()
                finally:
                    if not self._closing.is_set():
                        loop.remove_reader(self._descriptor)
            except OSError:
                return b""
        return b""

    def _read_all(self) -> bytes:
        """Return what is there: the kernel hands out at most 4 KiB of a terminal at once."""
        data = piece = os.read(self._descriptor, _READ_BYTES)
        while len(piece) >= _FULL_PIECE and len(data) < _READ_BYTES:
            try:
                piece = os.read(self._descriptor, _READ_BYTES)
            except OSError:
                break  # nothing more now; what else is wrong the next read tells
            data += piece
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            EquipmentUnreachable: The line is closed.
            DriverTimeout: The line takes nothing within the deadline: flow control holds it.
        """
        async with self._writing:
            rest = memoryview(data)
            while rest:
                if self._closing.is_set():
                    raise EquipmentUnreachable(f"{self._name}: the line is closed")
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:
                    await self._room()
                except OSError as error:
                    raise EquipmentUnreachable(f"{self._name}: {error.strerror}") from error

    async def _room(self) -> None:
        loop = asyncio.get_running_loop()
        room = asyncio.Event()
        loop.add_writer(self._descriptor, room.set)
        waits = [asyncio.ensure_future(event.wait()) for event in (room, self._closing)]
        try:
            done, _ = await asyncio.wait(waits, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            if not self._closing.is_set():
                loop.remove_writer(self._descriptor)
        if not done:
            raise DriverTimeout(f"{self._name}: takes no bytes for {self._timeout:g} s")

    async def close(self) -> None:
        """Close the line; what was not sent yet is dropped."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._readable.set()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._descriptor)
        loop.remove_writer(self._descriptor)
        os.close(self._descriptor)
        await asyncio.sleep(0)

    def control(self, action: Callable[[int], object]) -> None:
        """Do something to the terminal itself.

        Raises:
            EquipmentUnreachable: The line is closed, or cannot do that.
        """
        if self._closing.is_set():
            raise EquipmentUnreachable(f"{self._name}: the line is closed")
        try:
            action(self._descriptor)
        except (OSError, termios.error) as error:
            raise EquipmentUnreachable(f"{self._name}: {error}") from error


class SerialStream(TerminalStream):
    """An open serial line: a terminal with BREAK and modem lines."""

    async def send_break(self, seconds: float = 0.25) -> None:
        """Hold the line at zero for that long.

        Raises:
            EquipmentUnreachable: The line is closed, or cannot do that.
        """
        self.control(lambda descriptor: fcntl.ioctl(descriptor, _TIOCSBRK))
        try:
            await asyncio.sleep(seconds)
        finally:
            if not self._closing.is_set():
                self.control(lambda descriptor: fcntl.ioctl(descriptor, _TIOCCBRK))

    async def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Switch DTR and RTS on or off; None leaves a line as it is.

        Raises:
            EquipmentUnreachable: The line is closed, or has no such lines.
        """
        for line, on in ((termios.TIOCM_DTR, dtr), (termios.TIOCM_RTS, rts)):
            if on is not None:
                self.control(partial(_switch_line, line=line, on=on))
        await asyncio.sleep(0)

    async def set_line(self, settings: LineSettings) -> LineSettings:
        """Set what is not None, as far as the line can, and return how it is now.

        Raises:
            EquipmentUnreachable: The line is closed, or is no serial line.
        """
        found: list[LineSettings] = []
        self.control(lambda descriptor: found.append(change_line(descriptor, settings)))
        await asyncio.sleep(0)
        return found[0]


_SPEEDS = {
    int(name[1:]): getattr(termios, name) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()
}
_SIZES = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
_PARITIES = {"none": 0, "even": termios.PARENB, "odd": termios.PARENB | termios.PARODD}
_STOPS = {1: 0, 2: termios.CSTOPB}
_CRTSCTS = getattr(termios, "CRTSCTS", 0)


def change_line(descriptor: int, settings: LineSettings) -> LineSettings:
    """Set what a terminal can do of some settings; return how it is then.

    Raises:
        termios.error: It is no terminal.
    """
    attributes = termios.tcgetattr(descriptor)
    cflag: int = attributes[2]
    for value, values, mask in (
        (settings.data_bits, _SIZES, termios.CSIZE),
        (settings.parity, _PARITIES, termios.PARENB | termios.PARODD),
        (settings.stop_bits, _STOPS, termios.CSTOPB),
    ):
        if value in values:
            cflag = cflag & ~mask | values[value]  # type: ignore[index]  # looked up a line above
    if settings.flow is not None:
        cflag = cflag & ~_CRTSCTS | (_CRTSCTS if settings.flow == "rtscts" else 0)
        software = termios.IXON | termios.IXOFF
        attributes[0] = attributes[0] & ~software | (software if settings.flow == "xonxoff" else 0)
    attributes[2] = cflag
    if settings.baud in _SPEEDS:
        attributes[4] = attributes[5] = _SPEEDS[settings.baud]
    termios.tcsetattr(descriptor, termios.TCSADRAIN, attributes)
    iflag, _, cflag, _, speed = termios.tcgetattr(descriptor)[:5]
    return LineSettings(
        _key(_SPEEDS, speed),
        _key(_SIZES, cflag & termios.CSIZE),
        _key(_PARITIES, cflag & (termios.PARENB | termios.PARODD)),
        _key(_STOPS, cflag & termios.CSTOPB),
        "rtscts" if cflag & _CRTSCTS else "xonxoff" if iflag & termios.IXON else "none",
    )


def _key(values: dict[_Key, int], wanted: int) -> _Key | None:
    return next((key for key, value in values.items() if value == wanted), None)


def _switch_line(descriptor: int, *, line: int, on: bool) -> None:
    fcntl.ioctl(descriptor, termios.TIOCMBIS if on else termios.TIOCMBIC, struct.pack("I", line))
