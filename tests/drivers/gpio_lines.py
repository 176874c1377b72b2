"""GPIO lines without a chip: what the kernel would do with those of ``/dev/gpiochip0``."""

from __future__ import annotations

import errno

from hostler.drivers.power.gpio import Gpio, GpioConfig, _Held


class Lines:
    """Eight lines; ``levels`` are on the pins, ``outputs`` those that are driven, ``taken`` those in use."""

    def __init__(self) -> None:
        self.levels = dict.fromkeys(range(8), False)
        self.outputs: set[int] = set()
        self.taken: set[int] = set()

    def request(self, chip: str, line: int | str, *, active_low: bool, as_input: bool) -> Line:
        if chip != "/dev/gpiochip0":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", chip)
        number = {"RESET": 5}[line] if line == "RESET" else line
        if not isinstance(number, int) or number not in self.levels:
            raise ValueError(f"unable to map line {line!r} to an offset")
        if number in self.taken:
            raise OSError(errno.EBUSY, "Device or resource busy")
        self.taken.add(number)
        if as_input:
            self.outputs.discard(number)
        return Line(self, number, active_low)


class Line:
    def __init__(self, lines: Lines, number: int, active_low: bool) -> None:
        self._lines, self._number, self._active_low = lines, number, active_low

    def driven(self) -> bool:
        return self._number in self._lines.outputs

    def drive(self, active: bool) -> None:
        self._lines.outputs.add(self._number)
        self._lines.levels[self._number] = active is not self._active_low

    def active(self) -> bool:
        return self._lines.levels[self._number] is not self._active_low

    def release(self) -> None:
        self._lines.taken.discard(self._number)


def gpio(lines: Lines, held: _Held | None = None, **binding: object) -> Gpio:
    """Make a driver on these lines; ``held`` stands for the program that holds them."""
    config: GpioConfig = Gpio.from_config({"chip": "/dev/gpiochip0"}, {"line": 3, **binding}).config
    return Gpio(config, lines.request, held or _Held())
