"""A GPIO line of this machine that drives a relay or a board's reset or power pin (character device, v2).

Equipment: ``chip = "/dev/gpiochip0"``, optional ``timeout``, ``min_off_seconds``. Binding: ``line``, its
offset or its name; optional ``active_low`` where a low level feeds the board, and ``sense``, an input line
that is active when there is power (else the driven line is read back).

A line is held from the first call until the program ends, since the kernel may let go of its level with it.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from hostler.drivers import settings
from hostler.drivers.errors import (
    DriverConfigError,
    DriverError,
    EquipmentRefused,
    EquipmentUnreachable,
    UnknownPort,
)
from hostler.drivers.power.calls import deadline, wants_on
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


class HeldLine(Protocol):
    """A line that nobody else can have."""

    def driven(self) -> bool:
        """Return whether it is an output."""
        ...

    def drive(self, active: bool) -> None:
        """Make it an output of that level."""
        ...

    def active(self) -> bool:
        """Return its level, ``active_low`` considered."""
        ...

    def release(self) -> None:
        """Let go of it."""
        ...


class RequestLine(Protocol):
    """Asks the kernel for a line; it goes on as it is until it is driven."""

    def __call__(self, chip: str, line: int | str, *, active_low: bool, as_input: bool) -> HeldLine:
        """Return the line.

        Raises:
            OSError: As the kernel says.
            ValueError: There is no line of that name or offset.
        """
        ...


class _KernelLine:
    def __init__(self, chip: str, line: int | str, *, active_low: bool, as_input: bool) -> None:
        import gpiod  # late: only labs with such lines need it

        self._gpiod = gpiod
        self._chip, self._line, self._active_low = chip, line, active_low
        wanted = gpiod.line.Direction.INPUT if as_input else gpiod.line.Direction.AS_IS
        self._request = gpiod.request_lines(
            chip,
            consumer="hostler",
            config={line: gpiod.LineSettings(direction=wanted, active_low=active_low)},
        )

    def driven(self) -> bool:
        with self._gpiod.Chip(self._chip) as chip:
            return chip.get_line_info(self._line).direction is self._gpiod.line.Direction.OUTPUT

    def drive(self, active: bool) -> None:
        value = self._gpiod.line.Value.ACTIVE if active else self._gpiod.line.Value.INACTIVE
        self._request.reconfigure_lines(
            {
                self._line: self._gpiod.LineSettings(
                    direction=self._gpiod.line.Direction.OUTPUT,
                    active_low=self._active_low,
                    output_value=value,
                )
            }
        )

    def active(self) -> bool:
        return self._request.get_value(self._line) is self._gpiod.line.Value.ACTIVE

    def release(self) -> None:
        self._request.release()


class _Held:
    """The lines this program holds; a lab read anew finds its lines again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[tuple[str, int | str], tuple[tuple[bool, bool], HeldLine]] = {}

    def line(
        self, request: RequestLine, chip: str, line: int | str, *, active_low: bool, as_input: bool
    ) -> HeldLine:
        with self._lock:
            wanted = (active_low, as_input)
            kept = self._lines.get((chip, line))
            if kept is not None and kept[0] == wanted:
                return kept[1]
            if kept is not None:  # the lab's description has changed
                self._lines.pop((chip, line))
                kept[1].release()
            fresh = request(chip, line, active_low=active_low, as_input=as_input)
            self._lines[chip, line] = (wanted, fresh)
            return fresh


_HELD = _Held()


@dataclass(frozen=True, slots=True)
class GpioConfig:
    """One line.

    Attributes:
        chip: Path of the chip.
        line: Offset or name.
        active_low: A low level feeds the board.
        sense: Offset or name of an input that tells whether there is power; None to read the line.
        timeout: Deadline of a call in seconds.
        min_off_seconds: Time without power that surely resets a board behind it.
    """

    chip: str
    line: int | str
    active_low: bool
    sense: int | str | None
    timeout: float
    min_off_seconds: float


class Gpio:
    """One line; see GpioConfig. ``request`` is how lines are had, ``held`` where they are kept."""

    def __init__(
        self, config: GpioConfig, request: RequestLine = _KernelLine, held: _Held | None = None
    ) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)
        self._request = request
        self._held = held or _HELD

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Gpio:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "chip", "timeout", "min_off_seconds")
        settings.only(binding, "line", "active_low", "sense")
        active_low = binding.get("active_low", False)
        if not isinstance(active_low, bool):
            raise DriverConfigError("active_low", f"must be true or false, not {active_low!r}")
        line = _line(binding, "line")
        sense = _line(binding, "sense") if "sense" in binding else None
        if sense == line:
            raise DriverConfigError("sense", "must be another line than the one that is driven")
        return cls(
            GpioConfig(
                chip=settings.text(equipment, "chip"),
                line=line,
                active_low=active_low,
                sense=sense,
                timeout=settings.seconds(equipment, "timeout", 3.0),
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 2.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Drive the line."""
        on = wants_on(state)
        await self._call(lambda: self._driven_line().drive(on))

    async def get(self) -> PowerReading:
        """Read the sense line, or the driven line; one that nobody drives yet says nothing."""
        return await self._call(self._read)

    def _read(self) -> PowerReading:
        config = self.config
        if config.sense is not None:
            what = f"sense line {config.sense}"
            line = self._held.line(self._request, config.chip, config.sense, active_low=False, as_input=True)
        else:
            what = f"line {config.line}"
            line = self._driven_line()
            if not line.driven():
                return PowerReading(PowerState.UNKNOWN, None, f"{what} is an input until it is first set")
        active = line.active()
        state = PowerState.ON if active else PowerState.OFF
        return PowerReading(state, None, f"{what} is {'active' if active else 'inactive'}")

    def _driven_line(self) -> HeldLine:
        config = self.config
        return self._held.line(
            self._request, config.chip, config.line, active_low=config.active_low, as_input=False
        )

    async def _call(self, job: Callable[[], T]) -> T:
        # In a thread: a line behind an I²C expander waits for its bus.
        try:
            async with deadline(str(self), self.config.timeout):
                return await asyncio.to_thread(job)
        except (OSError, ValueError) as error:
            raise self._named(error) from error

    def _named(self, error: Exception) -> DriverError:
        code = error.errno if isinstance(error, OSError) else errno.EINVAL
        if code in (errno.EINVAL, errno.ENOENT) and not isinstance(error, FileNotFoundError):
            return UnknownPort(f"{self}: has no such line: {error}")
        if code == errno.EBUSY:
            return EquipmentRefused(f"{self}: another program holds the line; `gpioinfo` names it")
        if code in (errno.EACCES, errno.EPERM):
            return EquipmentRefused(f"{self}: no access; give this user the group of {self.config.chip}")
        return EquipmentUnreachable(f"{self}: {error}")

    def __str__(self) -> str:
        return f"gpio {self.config.chip} line {self.config.line}"


def _line(binding: Mapping[str, object], key: str) -> int | str:
    if isinstance(binding.get(key), str):
        return settings.text(binding, key)
    return settings.whole_number(binding, key, least=0, most=65535)
