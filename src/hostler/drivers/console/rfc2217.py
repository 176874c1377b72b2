"""A serial line behind RFC 2217: ser2net, terminal servers and adapters whose line is set up by the client.

Equipment: ``host = "10.0.0.3"``, optional ``timeout`` (seconds). Binding: ``port``, or without equipment
``address = "10.0.0.3:4001"``; optional, else as the server has it: ``baud``, ``data_bits``, ``parity``
(``none``, ``even``, ``odd``, ``mark``, ``space``), ``stop_bits`` (1, 2), ``flow`` (``none``, ``rtscts``,
``xonxoff``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.console.raw_tcp import RawTcp, RawTcpConfig
from hostler.drivers.console.socket_stream import SocketStream, connect_tcp
from hostler.drivers.console.telnet import TelnetLine
from hostler.drivers.errors import DidNotHappen, DriverConfigError, DriverTimeout, EquipmentRefused
from hostler.wire import rfc2217
from hostler.wire.rfc2217 import ComPort, LineSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE_KEYS = ("baud", "data_bits", "parity", "stop_bits", "flow")
_MASK_SECONDS = 1.0
"""How much longer a server may take to answer what only some servers know."""


@dataclass(frozen=True, slots=True)
class Rfc2217Config:
    """One line of a server.

    Attributes:
        tcp: Where the server is.
        line: How the line is to be.
    """

    tcp: RawTcpConfig
    line: LineSettings


class Rfc2217:
    """Opens the line; see Rfc2217Config."""

    def __init__(self, config: Rfc2217Config) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Rfc2217:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(binding, "port", "address", *_LINE_KEYS)
        where = {key: value for key, value in binding.items() if key not in _LINE_KEYS}
        tcp = RawTcp.from_config(equipment, where).config
        line = LineSettings(
            settings.whole_number(binding, "baud", least=50, most=20_000_000) if "baud" in binding else None,
            settings.whole_number(binding, "data_bits", least=5, most=8) if "data_bits" in binding else None,
            _word(binding, "parity", rfc2217.PARITY),
            settings.whole_number(binding, "stop_bits", least=1, most=2) if "stop_bits" in binding else None,
            _word(binding, "flow", rfc2217.FLOW),
        )
        return cls(Rfc2217Config(tcp, line))

    async def open(self) -> Rfc2217Line:
        """Connect and set the line up.

        Raises:
            EquipmentUnreachable: Nothing listens there, or it hangs up at once.
            EquipmentRefused: The server does not speak RFC 2217 on this port.
            DidNotHappen: The line is not as it was asked for.
            DriverTimeout: No connection, or no answer within the deadline.
        """
        tcp = self.config.tcp
        line = await connect_tcp(str(self), tcp.host, tcp.port, tcp.timeout)
        end = _ComPortEnd(self.config.line)
        stream = Rfc2217Line(str(self), line, end, tcp.timeout)
        try:
            await stream.settle(lambda: end.usable or end.refused, tcp.timeout)
            self._check(end)
            await stream.settle(lambda: end.ready, min(_MASK_SECONDS, tcp.timeout))
        except BaseException:
            await stream.close()
            raise
        return stream

    def _check(self, end: ComPort) -> None:
        if end.refused:
            raise EquipmentRefused(
                f"{self}: does not do RFC 2217 on this port; enable it, or use driver telnet"
            )
        if not end.usable:
            raise DriverTimeout(
                f"{self}: no answer of RFC 2217; check the port, raw ones need driver raw-tcp"
            )
        if end.differences:
            wrong = ", ".join(sorted(end.differences))
            raise DidNotHappen(f"{self}: the server did not set {wrong} as asked; correct the binding")

    def __str__(self) -> str:
        return f"console rfc2217 {self.config.tcp.host}:{self.config.tcp.port}"


class _ComPortEnd(ComPort):
    """The protocol as a line's end."""

    def hold_break(self, *, on: bool) -> None:
        """Begin or end a BREAK."""
        self.control(rfc2217.BREAK_ON if on else rfc2217.BREAK_OFF)


class Rfc2217Line(TelnetLine):
    """An open line with BREAK and modem lines."""

    def __init__(self, name: str, line: SocketStream, end: _ComPortEnd, timeout: float) -> None:
        super().__init__(name, line, end, timeout)
        self.port = end
        self._heard = asyncio.Event()

    async def set_line(self, settings: LineSettings) -> LineSettings:
        """Ask the server for what is not None; return how it says the line is now.

        The answer comes while the line is read, which is whoever opened it's to do.

        Raises:
            EquipmentUnreachable: The line is closed.
            DriverTimeout: The server does not answer within the deadline.
        """
        self.port.change(settings)
        await self._flush()
        try:
            async with asyncio.timeout(self._timeout):
                while not self.port.usable:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError as error:
            raise DriverTimeout(f"{self._name}: no answer to new settings for {self._timeout:g} s") from error
        return self.port.line

    async def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Switch DTR and RTS on or off; None leaves a line as it is.

        Raises:
            EquipmentUnreachable: The line is closed.
            DriverTimeout: The server takes nothing within the deadline.
        """
        if dtr is not None:
            self.port.control(rfc2217.DTR_ON if dtr else rfc2217.DTR_OFF)
        if rts is not None:
            self.port.control(rfc2217.RTS_ON if rts else rfc2217.RTS_OFF)
        await self._flush()

    async def _take(self, data: bytes) -> bytes:
        said = await super()._take(data)
        self._heard.set()
        return said


def _word(table: Mapping[str, object], key: str, known: Mapping[str, int]) -> str | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or value not in known:
        raise DriverConfigError(key, f"must be one of {', '.join(sorted(known))}, not {value!r}")
    return value
