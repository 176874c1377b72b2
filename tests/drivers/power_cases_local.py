"""Power that hangs on this machine: USB hubs, GPIO lines, relay cards."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gpio_lines import Lines, gpio
from power_case import PowerCase
from usb_hub import usb_hub

from hostler.drivers.registry import power_driver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostler.drivers.power.protocol import PowerDriver


@asynccontextmanager
async def _uhubctl() -> AsyncIterator[PowerDriver]:
    with usb_hub():
        yield power_driver("uhubctl", {"location": "1-1"}, {"port": 2})


@asynccontextmanager
async def _gpio() -> AsyncIterator[PowerDriver]:
    yield gpio(Lines())


CASES = {
    "gpio": PowerCase(_gpio, {"chip": "/dev/gpiochip0"}, {"line": 3}),
    "uhubctl": PowerCase(_uhubctl, {"location": "1-1"}, {"port": 2}),
}
