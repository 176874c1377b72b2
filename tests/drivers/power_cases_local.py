"""Power that hangs on this machine: USB hubs, GPIO lines, relay cards."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gpio_lines import Lines, gpio
from power_case import PowerCase
from relay_cards import HidCard, SerialCard
from usb_hub import usb_hub

from hostler.drivers.power.hid_relay import HidRelay
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


@asynccontextmanager
async def _hid_relay() -> AsyncIterator[PowerDriver]:
    config = HidRelay.from_config({"path": "/dev/hidraw0"}, {"relay": 2}).config
    yield HidRelay(config, HidCard())


@asynccontextmanager
async def _serial_relay() -> AsyncIterator[PowerDriver]:
    with SerialCard("numato").plugged_in() as path:
        yield power_driver("serial-relay", {"path": path, "model": "numato"}, {"relay": 2})


CASES = {
    "gpio": PowerCase(_gpio, {"chip": "/dev/gpiochip0"}, {"line": 3}),
    "hid-relay": PowerCase(_hid_relay, {"path": "/dev/hidraw0"}, {"relay": 1}),
    "serial-relay": PowerCase(_serial_relay, {"path": "/dev/ttyACM0", "model": "lctech"}, {"relay": 1}),
    "uhubctl": PowerCase(_uhubctl, {"location": "1-1"}, {"port": 2}),
}
