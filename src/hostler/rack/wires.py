"""The wires of each board: its drivers, made from its bindings, behind the queue of their equipment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers.errors import DriverConfigError, DriverError
from hostler.drivers.power.protocol import PowerDriver
from hostler.drivers.power.queue import EquipmentQueue
from hostler.drivers.registry import console_driver, power_driver
from hostler.model.power import PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostler.drivers.console.protocol import ConsoleDriver
    from hostler.model.board import Binding, Board, Equipment


@dataclass(frozen=True, slots=True)
class _Outlet:
    """One power wire: the driver behind it and the queue it waits in."""

    name: str
    queue: EquipmentQueue
    driver: PowerDriver


class WiredPower:
    """A board's supply over all its power wires, in their order (see ``rack.keeper.BoardPower``)."""

    def __init__(self, outlets: Iterable[_Outlet]) -> None:
        self._outlets = tuple(outlets)

    async def set(self, state: PowerState) -> tuple[PowerReading, float]:
        """Switch every wire, on in order and off in reverse; raises the first DriverError."""
        outlets = self._outlets if state is PowerState.ON else tuple(reversed(self._outlets))
        readings, seconds = [], 0.0
        for outlet in outlets:
            result = await outlet.queue.switch(outlet.name, outlet.driver, state)
            readings.append(result.reading or PowerReading(PowerState.UNKNOWN, detail="cannot be read"))
            seconds += result.seconds
        return _together(readings), seconds

    async def get(self) -> PowerReading:
        """Read every wire; raises the first DriverError."""
        return _together([await outlet.queue.read(outlet.driver) for outlet in self._outlets])


def _together(readings: list[PowerReading]) -> PowerReading:
    """A board is off when any wire is, on when all are, and else unknown."""
    states = {reading.state for reading in readings}
    if PowerState.OFF in states:
        state = PowerState.OFF
    else:
        state = PowerState.ON if states == {PowerState.ON} else PowerState.UNKNOWN
    watts = [reading.watts for reading in readings if reading.watts is not None]
    detail = ", ".join(reading.detail for reading in readings if reading.detail)
    return PowerReading(state, sum(watts) if watts else None, detail)


class _Broken:
    """A wire that cannot be made: every use says why, and the rest of the lab goes on."""

    def __init__(self, error: DriverError) -> None:
        self._error = error

    async def set(self, _state: PowerState) -> tuple[PowerReading, float]:
        raise self._error

    async def get(self) -> PowerReading:
        raise self._error


class Wires:
    """Makes drivers from bindings; one queue for each equipment, whoever uses it."""

    def __init__(self) -> None:
        self._equipment: dict[str, Equipment] = {}
        self._queues: dict[str, EquipmentQueue] = {}

    def equip(self, equipment: Iterable[Equipment]) -> None:
        """Take the equipment there is; drivers made from now on use it."""
        self._equipment = {item.name: item for item in equipment}

    def power(self, board: Board) -> WiredPower | _Broken | None:
        """Return a board's supply, or None when nothing is bound; a wrong binding is told on every use."""
        if not board.power:
            return None
        try:
            outlets = []
            for number, binding in enumerate(board.power):
                driver = power_driver(binding.driver, self._settings(binding), binding.params)
                queue = self._queue(binding.equipment or f"{board.name} power {number}")
                outlets.append(_Outlet(f"{board.name}/{number}", queue, driver))
        except DriverConfigError as error:
            return _Broken(error)
        return WiredPower(outlets)

    def console(self, board: Board) -> ConsoleDriver | None:
        """Return the driver of a board's console, or None; raises DriverConfigError for a wrong binding."""
        if board.console is None:
            return None
        return console_driver(board.console.driver, self._settings(board.console), board.console.params)

    def _settings(self, binding: Binding) -> Mapping[str, object]:
        if binding.equipment is None:
            return {}
        equipment = self._equipment.get(binding.equipment)
        if equipment is None:
            raise DriverConfigError("equipment", f'there is no equipment "{binding.equipment}"')
        return equipment.params

    def _queue(self, name: str) -> EquipmentQueue:
        if name not in self._queues:
            self._queues[name] = EquipmentQueue(name)
        return self._queues[name]
