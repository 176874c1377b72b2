"""The wires of each board: its drivers, made from its bindings, behind the queue of their equipment."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers.errors import DriverConfigError, DriverError
from hostler.drivers.power.protocol import PowerDriver
from hostler.drivers.power.queue import EquipmentQueue
from hostler.drivers.registry import bootctl_driver, console_driver, power_driver
from hostler.model.power import PowerReading, PowerState
from hostler.rack.boot_control import BootControls, Control

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostler.drivers.console.protocol import ConsoleDriver
    from hostler.drivers.power.protocol import PanelReading, ReadsPanel
    from hostler.drivers.power.queue import SwitchResult
    from hostler.drivers.power.turns import Told
    from hostler.model.board import Binding, Board, Equipment
    from hostler.rack.console import RackConsole


@dataclass(frozen=True, slots=True)
class Outlet:
    """One power wire: the driver behind it and the queue it waits in."""

    name: str
    queue: EquipmentQueue
    driver: PowerDriver


class WiredPower:
    """A board's supply over all its power wires, in their order (see ``rack.keeper_port.BoardPower``)."""

    def __init__(self, outlets: Iterable[Outlet]) -> None:
        self._outlets = tuple(outlets)

    async def set(self, state: PowerState, told: Told = lambda _: None) -> tuple[PowerReading, float]:
        """Switch every wire, on in order and off in reverse.

        A wire that cannot be switched on has those before it switched off again; one that cannot be switched
        off keeps no other from going off.

        Raises:
            DriverError: The first there was.
        """
        if state is PowerState.OFF:
            return await self._off(self._outlets)
        readings, seconds = [], 0.0
        for number, outlet in enumerate(self._outlets):
            try:
                result = await outlet.queue.switch(outlet.name, outlet.driver, state, told=told)
            except DriverError:
                with contextlib.suppress(DriverError):
                    await self._off(self._outlets[:number])
                raise
            readings.append(_reading(result))
            seconds += result.seconds
        return _together(readings), seconds

    async def _off(self, outlets: tuple[Outlet, ...]) -> tuple[PowerReading, float]:
        readings, seconds = [], 0.0
        trouble: DriverError | None = None
        for outlet in reversed(outlets):
            try:
                result = await outlet.queue.switch(outlet.name, outlet.driver, PowerState.OFF)
            except DriverError as error:
                trouble = trouble or error
            else:
                readings.append(_reading(result))
                seconds += result.seconds
        if trouble is not None:
            raise trouble
        return _together(readings[::-1]), seconds

    async def get(self) -> PowerReading:
        """Read every wire; raises the first DriverError."""
        return _together([await outlet.queue.read(outlet.name, outlet.driver) for outlet in self._outlets])


def _reading(result: SwitchResult) -> PowerReading:
    return result.reading or PowerReading(PowerState.UNKNOWN, detail="cannot be read")


def _together(readings: list[PowerReading]) -> PowerReading:
    """A board is off when any wire is, on when all are, and else unknown."""
    states = {reading.state for reading in readings}
    if PowerState.OFF in states:
        state = PowerState.OFF
    else:
        state = PowerState.ON if states == {PowerState.ON} else PowerState.UNKNOWN
    watts = [reading.watts for reading in readings if reading.watts is not None]
    detail = ", ".join(reading.detail for reading in readings if reading.detail)
    partly = {PowerState.ON, PowerState.OFF} <= states
    return PowerReading(state, sum(watts) if watts else None, detail, partly)


class _Broken:
    """A wire that cannot be made: every use says why, and the rest of the lab goes on."""

    def __init__(self, error: DriverError) -> None:
        self._error = error

    async def set(self, _state: PowerState, _told: Told = lambda _: None) -> tuple[PowerReading, float]:
        raise self._error

    async def get(self) -> PowerReading:
        raise self._error


class Wires:
    """Makes drivers from bindings; one queue for each equipment, whoever uses it."""

    def __init__(self) -> None:
        self._equipment: dict[str, Equipment] = {}
        self._queues: dict[str, EquipmentQueue] = {}
        self._counted: dict[str, dict[str, EquipmentQueue]] = {}

    def equip(self, equipment: Iterable[Equipment]) -> frozenset[str]:
        """Take the equipment there is, its budgets at once.

        Returns:
            The names of equipment that is reached in another way now: drivers through it must be made anew.
        """
        before, self._equipment = self._equipment, {item.name: item for item in equipment}
        for name, queue in self._queues.items():
            self._limit(name, queue)
        names = before.keys() | self._equipment.keys()
        return frozenset(
            name for name in names if _reached(before.get(name)) != _reached(self._equipment.get(name))
        )

    def power(self, board: Board) -> WiredPower | _Broken | None:
        """Return a board's supply, or None when nothing is bound; a wrong binding is told on every use.

        What the board draws counts on its equipment from now on, until ``forget``.
        """
        outlets = []
        try:
            for number, binding in enumerate(board.power):
                driver = power_driver(binding.driver, self._settings(binding), binding.params)
                queue = self._queue(binding.equipment or f"{board.name} power {number}")
                outlets.append(Outlet(f"{board.name}/{number}", queue, driver))
        except DriverConfigError as error:
            self.forget(board.name)
            return _Broken(error)
        self._count(board, outlets)
        return WiredPower(outlets) if outlets else None

    def outlet(self, name: str, binding: Binding) -> Outlet:
        """Return one power wire that is no board's, behind the queue of its equipment.

        Raises:
            DriverConfigError: The wire cannot be made.
        """
        driver = power_driver(binding.driver, self._settings(binding), binding.params)
        return Outlet(name, self._queue(binding.equipment or name), driver)

    async def panel(self, unit: Equipment, kind: ReadsPanel) -> PanelReading:
        """Read all ends of an equipment when its queue has a turn for it.

        Raises:
            DriverError: It cannot be read, or takes longer than one call may.
        """
        return await self._queue(unit.name).call(lambda: kind.panel(unit.params))

    def line(self, binding: Binding) -> ConsoleDriver:
        """Return the driver of one serial line that is no board's; raises DriverConfigError."""
        return console_driver(binding.driver, self._settings(binding), binding.params)

    def forget(self, board: str) -> None:
        """Take a board's outlets out of every account: it has left the rack."""
        for outlet, queue in self._counted.pop(board, {}).items():
            queue.turns.forget(outlet)

    def _count(self, board: Board, outlets: Iterable[Outlet]) -> None:
        now = {outlet.name: outlet.queue for outlet in outlets}
        for name, queue in self._counted.get(board.name, {}).items():
            if now.get(name) is not queue:
                queue.turns.forget(name)
        for outlet in outlets:
            outlet.queue.turns.expect(outlet.name, outlet.driver, board.watts)
        self._counted[board.name] = now

    def console(self, board: Board) -> ConsoleDriver | None:
        """Return the driver of a board's console, or None; raises DriverConfigError for a wrong binding."""
        if board.console is None:
            return None
        return console_driver(board.console.driver, self._settings(board.console), board.console.params)

    def boot_control(self, board: Board, console: RackConsole | None) -> BootControls | None:
        """Return what brings a board to the network, or None: its firmware does by itself.

        Raises:
            DriverConfigError: A binding is wrong.
        """
        controls = []
        for number, binding in enumerate(board.bootctl):
            driver = bootctl_driver(binding.driver, self._settings(binding), binding.params)
            queue = self._queue(binding.equipment or f"{board.name} bootctl {number}")
            controls.append(Control(binding.driver, driver, queue))
        return BootControls(controls, console) if controls else None

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
            self._limit(name, self._queues[name])
        return self._queues[name]

    def _limit(self, name: str, queue: EquipmentQueue) -> None:
        equipment = self._equipment.get(name)
        queue.turns.limit(
            equipment.budget_watts if equipment else None, equipment.stagger if equipment else None
        )


def _reached(equipment: Equipment | None) -> tuple[str, dict[str, object]] | None:
    return (equipment.driver, equipment.params) if equipment is not None else None
