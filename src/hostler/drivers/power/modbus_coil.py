"""A coil of a Modbus relay card or PLC over TCP.

Equipment: ``host = "10.0.0.8"`` or ``"10.0.0.8:502"``, optional ``unit`` (1), ``timeout``,
``min_off_seconds``. Binding: ``coil``, counted from 0 as in the protocol; optional ``input``, a discrete
input that tells whether there is power (else the coil itself is read back), and ``inverted`` where an
energised coil cuts the power.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.calls import deadline, wants_on
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.pdu import ModbusPDU

# MODBUS Application Protocol 1.1b3, section 7.
_ILLEGAL_ADDRESS = 2
_EXCEPTIONS = {
    1: "does not know this function",
    3: "does not take this value",
    4: "failed to do it",
    5: "needs more time",
    6: "is busy",
    10: "is a gateway without a path to that unit",
    11: "is a gateway whose unit does not answer",
}


@dataclass(frozen=True, slots=True)
class ModbusCoilConfig:
    """One coil of one unit.

    Attributes:
        host: Name or address.
        port: TCP port, usually 502.
        unit: The unit behind a gateway; 1 on most cards, 255 on some.
        coil: Its address, counted from 0.
        sense: Address of the discrete input that tells whether there is power; None to read the coil.
        inverted: An energised coil cuts the power.
        timeout: Deadline of a call in seconds.
        min_off_seconds: Time without power that surely resets a board behind it.
    """

    host: str
    port: int
    unit: int
    coil: int
    sense: int | None
    inverted: bool
    timeout: float
    min_off_seconds: float


class ModbusCoil:
    """One coil; see ModbusCoilConfig."""

    def __init__(self, config: ModbusCoilConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> ModbusCoil:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "host", "unit", "timeout", "min_off_seconds")
        settings.only(binding, "coil", "input", "inverted")
        host, port = settings.address(equipment, "host", default_port=502)
        inverted = binding.get("inverted", False)
        if not isinstance(inverted, bool):
            raise DriverConfigError("inverted", f"must be true or false, not {inverted!r}")
        sense = settings.whole_number(binding, "input", least=0, most=65535) if "input" in binding else None
        return cls(
            ModbusCoilConfig(
                host=host,
                port=port,
                unit=settings.whole_number(equipment, "unit", least=0, most=255, default=1),
                coil=settings.whole_number(binding, "coil", least=0, most=65535),
                sense=sense,
                inverted=inverted,
                timeout=settings.seconds(equipment, "timeout", 3.0),
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 5.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Write the coil; the unit repeats what it took."""
        energised = wants_on(state) is not self.config.inverted
        async with self._connected() as client:
            answer = await client.write_coil(self.config.coil, energised, device_id=self.config.unit)
        self._check(answer, f"coil {self.config.coil}")

    async def get(self) -> PowerReading:
        """Read the input that tells of the power, or the coil."""
        config = self.config
        async with self._connected() as client:
            if config.sense is not None:
                answer = await client.read_discrete_inputs(config.sense, count=1, device_id=config.unit)
            else:
                answer = await client.read_coils(config.coil, count=1, device_id=config.unit)
        what = f"coil {config.coil}" if config.sense is None else f"input {config.sense}"
        self._check(answer, what)
        if not answer.bits:
            return PowerReading(PowerState.UNKNOWN, None, f"{what} is missing in the answer")
        on = answer.bits[0] if config.sense is not None else answer.bits[0] is not config.inverted
        return PowerReading(PowerState.ON if on else PowerState.OFF, None, f"{what} is {int(answer.bits[0])}")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncModbusTcpClient]:
        from pymodbus.client import AsyncModbusTcpClient  # late: only labs that have such cards pay for it
        from pymodbus.exceptions import ModbusException

        config = self.config
        # One attempt and no reconnecting: repeating is the business of the queue above.
        client = AsyncModbusTcpClient(
            config.host, port=config.port, timeout=config.timeout, retries=0, reconnect_delay=0
        )
        try:
            async with deadline(str(self), config.timeout):
                if not await client.connect():
                    raise EquipmentUnreachable(f"{self}: nothing answers at {config.host}:{config.port}")
                yield client
        except ModbusException as error:
            raise EquipmentUnreachable(f"{self}: connected, but no answer from unit {config.unit}") from error
        finally:
            client.close()

    def _check(self, answer: ModbusPDU, what: str) -> None:
        if not answer.isError():
            return
        if answer.exception_code == _ILLEGAL_ADDRESS:
            raise UnknownPort(f"{self}: has no {what}; addresses count from 0")
        why = _EXCEPTIONS.get(answer.exception_code, f"answers exception {answer.exception_code}")
        raise EquipmentRefused(f"{self}: {why} ({what})")

    def __str__(self) -> str:
        return f"modbus {self.config.host}:{self.config.port} unit {self.config.unit}"
