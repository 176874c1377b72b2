"""A serial line behind telnet: terminal servers, ser2net, the console ports of switches and of emulators.

Equipment: ``host = "10.0.0.3"``, optional ``timeout`` (seconds). Binding: ``port``. Or everything in the
binding: ``address = "10.0.0.3:2001"``. A server that asks for a login shows it on the console.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hostler.drivers.console.raw_tcp import RawTcp
from hostler.drivers.console.socket_stream import SocketStream, connect_tcp
from hostler.drivers.errors import DriverError, DriverTimeout, EquipmentUnreachable
from hostler.wire.telnet import (
    BINARY,
    BREAK,
    ECHO,
    SUPPRESS_GO_AHEAD,
    OptionChanged,
    OptionRefused,
    Telnet,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostler.drivers.console.raw_tcp import RawTcpConfig

_SETTLE_SECONDS = 1.0
"""How long a server may take to answer which options it does; most that do not answer then never will."""


class TelnetConsole:
    """Opens the line; see RawTcpConfig."""

    def __init__(self, config: RawTcpConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> TelnetConsole:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        return cls(RawTcp.from_config(equipment, binding).config)

    async def open(self) -> TelnetLine:
        """Connect and agree on a line that carries bytes.

        Raises:
            EquipmentUnreachable: Nothing listens there, or it hangs up at once.
            DriverTimeout: No connection within the deadline.
        """
        line = await connect_tcp(str(self), self.config.host, self.config.port, self.config.timeout)
        end = _PlainLine()
        stream = TelnetLine(str(self), line, end, self.config.timeout)
        try:
            await stream.settle(lambda: end.settled, min(_SETTLE_SECONDS, self.config.timeout))
        except BaseException:
            await stream.close()
            raise
        return stream

    def __str__(self) -> str:
        return f"console telnet {self.config.host}:{self.config.port}"


class LineEnd(Protocol):
    """Our end of a line over telnet, sans I/O."""

    suspended: bool

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the connection; return those that the line said."""
        ...

    def send(self, data: bytes) -> None:
        """Write to the line."""
        ...

    def bytes_to_send(self) -> bytes:
        """Return what must go to the server now, and forget it."""
        ...

    def hold_break(self, *, on: bool) -> None:
        """Begin or end a BREAK."""
        ...


@dataclass
class _PlainLine:
    """A line without settings: bytes both ways, and BREAK."""

    suspended = False

    def __post_init__(self) -> None:
        options = (BINARY, SUPPRESS_GO_AHEAD)
        self._telnet = Telnet(ours=options, theirs=(*options, ECHO))
        self._open = {(ours, option) for option in options for ours in (True, False)}
        for option in options:
            self._telnet.offer(option)
            self._telnet.ask(option)

    @property
    def settled(self) -> bool:
        """Whether every proposal is answered: until then it is unclear whether a CR is followed by a NUL."""
        return not self._open

    def receive(self, data: bytes) -> bytes:
        said = self._telnet.receive(data)
        for event in self._telnet.events():
            if isinstance(event, OptionChanged | OptionRefused):
                self._open.discard((event.ours, event.option))
        return said

    def send(self, data: bytes) -> None:
        self._telnet.send(data)

    def bytes_to_send(self) -> bytes:
        return self._telnet.bytes_to_send()

    def hold_break(self, *, on: bool) -> None:
        if on:  # how long is the server's choice
            self._telnet.command(BREAK)


class TelnetLine:
    """An open line.

    Args:
        name: Names the line in messages.
        line: The connection.
        end: Our end of the protocol on it.
        timeout: Deadline in seconds of a server that holds us up.
    """

    def __init__(self, name: str, line: SocketStream, end: LineEnd, timeout: float) -> None:
        self._name = name
        self._line = line
        self._end = end
        self._timeout = timeout
        self._early = bytearray()
        self._resumed = asyncio.Event()

    async def settle(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Talk options until a condition holds; False when it does not in time. Keeps what the line says.

        Raises:
            EquipmentUnreachable: The server hung up.
        """
        await self._flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    data = await self._line.read()
                    if not data:
                        raise EquipmentUnreachable(f"{self._name}: the server hung up; is the line in use?")
                    self._early += await self._take(data)
        return condition()

    async def read(self) -> bytes:
        """Return what the line said; ``b""`` when it is closed or broken."""
        if self._early:
            said = bytes(self._early)
            self._early.clear()
            return said
        while data := await self._line.read():
            try:
                said = await self._take(data)
            except DriverError:
                return b""
            if said:
                return said
        self._resumed.set()
        return b""

    async def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            EquipmentUnreachable: The line is closed.
            DriverTimeout: The server takes nothing within the deadline, or suspended the line for longer.
        """
        if self._end.suspended:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._resumed.wait()
            except TimeoutError as error:
                raise DriverTimeout(
                    f"{self._name}: suspended by its server for {self._timeout:g} s"
                ) from error
        self._end.send(data)
        await self._flush()

    async def send_break(self, seconds: float = 0.25) -> None:
        """Send BREAK; over plain telnet the server chooses how long.

        Raises:
            EquipmentUnreachable: The line is closed.
            DriverTimeout: The server takes nothing within the deadline.
        """
        self._end.hold_break(on=True)
        await self._flush()
        await asyncio.sleep(seconds)
        self._end.hold_break(on=False)
        await self._flush()

    async def close(self) -> None:
        """Close the line; what was not sent yet is dropped."""
        self._resumed.set()
        await self._line.close()

    async def _take(self, data: bytes) -> bytes:
        said = self._end.receive(data)
        if self._end.suspended:
            self._resumed.clear()
        else:
            self._resumed.set()
        await self._flush()
        return said

    async def _flush(self) -> None:
        # Empty is written too: it tells a line that is closed.
        await self._line.write(self._end.bytes_to_send())
