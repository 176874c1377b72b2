"""A relay card: pymodbus's own server with 16 coils and 16 inputs in unit 1."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def modbus_card(inputs: int = 0) -> AsyncIterator[str]:
    """Serve; ``inputs`` are the bits of the discrete inputs. Yields ``host:port``."""
    registers = [SimData(0, count=1, values=0, datatype=DataType.REGISTERS)]
    sensed = [bool(inputs >> number & 1) for number in range(16)]
    card = SimDevice(
        1,
        simdata=(
            [SimData(0, count=16, values=False, datatype=DataType.BITS)],
            [SimData(0, values=sensed, datatype=DataType.BITS)],
            registers,
            registers,
        ),
    )
    server = ModbusTcpServer(card, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        host, port = server.transport.sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        await server.shutdown()
