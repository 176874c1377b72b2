"""Relay cards on serial lines (over a pty) and behind HID feature reports (over a stand-in for hidraw)."""

from __future__ import annotations

import asyncio
import fcntl
import os
from typing import TYPE_CHECKING

import pytest
from relay_cards import HidCard, SerialCard

from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.hid_relay import Hidraw, HidRelay
from hostler.drivers.power.serial_relay import MODELS, SerialRelay
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from pathlib import Path

DESCRIBED = {
    "model": "described",
    "on": "a0 {relay} 01 {sum}",
    "off": "a0 {relay} 00 {sum}",
    "query": "ff",
    "reads_on": r"CH{relay}: ON",
    "reads_off": r"CH{relay}: OFF",
}


def _serial(path: str, model: str, relay: int = 2, **binding: object) -> SerialRelay:
    table = {"path": path, "model": model, "timeout": 0.5}
    return SerialRelay.from_config(table, {"relay": relay, **binding})


def _hid(card: HidCard, relay: int = 2, path: str = "/dev/hidraw0", **binding: object) -> HidRelay:
    return HidRelay(HidRelay.from_config({"path": path}, {"relay": relay, **binding}).config, card)


@pytest.mark.parametrize("model", sorted(MODELS))
async def test_one_relay_and_no_other(model: str) -> None:
    """The bytes reach the relay meant; a card that cannot tell reads as unknown."""
    card = SerialCard(model)
    with card.plugged_in() as path:
        driver = _serial(path, model)
        for state in (PowerState.ON, PowerState.OFF, PowerState.ON):
            await driver.set(state)
            seen = (await driver.get()).state
            assert seen is (state if driver.capabilities.can_read else PowerState.UNKNOWN)
        await asyncio.sleep(0.05)
    assert [number for number, on in card.relays.items() if on] == [2]


async def test_calls_at_once_take_turns_on_the_line() -> None:
    """Answers carry no name, so two relays of one card are never asked at the same time."""
    card = SerialCard("numato")
    card.relays[1] = True
    with card.plugged_in() as path:
        readings = await asyncio.gather(*(_serial(path, "numato", number % 4).get() for number in range(8)))
    assert [reading.state is PowerState.ON for reading in readings] == [False, True, False, False] * 2


async def test_a_card_that_falls_silent_is_unknown_in_time() -> None:
    """No answer is never taken for off."""
    card = SerialCard("numato")
    card.mute = True
    with card.plugged_in() as path:
        async with asyncio.timeout(60):
            reading = await _serial(path, "numato").get()
    assert (reading.state, reading.detail) == (PowerState.UNKNOWN, "no answer")


async def test_any_other_card_can_be_described() -> None:
    """Bytes in lab.toml do what a row of ours does; inverted turns them round."""
    card = SerialCard("lcus")
    with card.plugged_in() as path:
        driver = SerialRelay.from_config({"path": path, **DESCRIBED}, {"relay": 3, "inverted": True})
        await driver.set(PowerState.OFF)
        assert (await driver.get()).state is PowerState.OFF
    assert card.relays[3]


async def test_a_line_that_is_not_there() -> None:
    """An unplugged card is unreachable; a file that is no line too."""
    with pytest.raises(EquipmentUnreachable, match="absent"):
        await _serial("/dev/absent", "lctech").set(PowerState.ON)
    with pytest.raises(EquipmentUnreachable):
        await _serial("/dev/null", "numato").get()


async def test_an_hid_card_switches_one_relay_and_no_other() -> None:
    """The report's bytes are those of the card; its state is a bit for each relay."""
    card = HidCard()
    await _hid(card).set(PowerState.ON)
    assert card.states == 0b10
    assert (await _hid(card).get()).state is PowerState.ON
    assert (await _hid(card, 1).get()).state is PowerState.OFF
    assert (await _hid(card, 1, inverted=True).get()).state is PowerState.ON


async def test_what_goes_wrong_with_an_hid_card_is_named(tmp_path: Path) -> None:
    """A relay it does not have, a path without a card, and something that is no such card."""
    with pytest.raises(UnknownPort):
        await _hid(HidCard(), 7).set(PowerState.ON)
    with pytest.raises(EquipmentUnreachable, match="hidraw9"):
        await _hid(HidCard(), path="/dev/hidraw9").get()
    other = HidCard()
    other.serial = b"\x01\x02"
    with pytest.raises(EquipmentRefused, match="no USBRelay"):
        await _hid(other).get()
    (tmp_path / "file").touch()
    with pytest.raises(EquipmentUnreachable):
        await HidRelay.from_config({"path": str(tmp_path / "file")}, {"relay": 1}).get()


def test_hidraw_is_asked_with_the_kernels_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """HIDIOCSFEATURE(9) and HIDIOCGFEATURE(9) of linux/hidraw.h, with nine bytes each."""
    asked = []

    def ioctl(_handle: int, request: int, report: bytearray, _mutate: bool) -> int:
        asked.append((request, bytes(report)))
        report[:] = b"HW341\0\0\2\0"
        return 9

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    Hidraw().send(os.devnull, b"\0\xff\2".ljust(9, b"\0"))
    assert Hidraw().get(os.devnull)[7] == 2
    assert asked == [(0xC0094806, b"\0\xff\2\0\0\0\0\0\0"), (0xC0094807, b"\1\0\0\0\0\0\0\0\0")]


@pytest.mark.parametrize(
    ("equipment", "binding", "key"),
    [
        ({"model": "numato"}, {"relay": 0}, "path"),
        ({"path": "p"}, {"relay": 1}, "model"),
        ({"path": "p", "model": "acme"}, {"relay": 1}, "model"),
        ({"path": "p", "model": "lctech"}, {"relay": 0}, "relay"),
        ({"path": "p", "model": "lctech", "baud": 10000}, {"relay": 1}, "baud"),
        ({"path": "p", "model": "lctech", "on": "00"}, {"relay": 1}, "on"),
        ({"path": "p", "model": "lctech"}, {"relay": 1, "inverted": 1}, "inverted"),
        ({"path": "p", **DESCRIBED, "on": "on!"}, {"relay": 1}, "on"),
        ({"path": "p", **DESCRIBED, "reads_on": "("}, {"relay": 1}, "reads_on"),
        (
            {"path": "p", "model": "described", "on": "01", "off": "00", "query": "ff"},
            {"relay": 1},
            "reads_on",
        ),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        SerialRelay.from_config(equipment, binding)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("equipment", "binding", "key"),
    [({}, {"relay": 1}, "path"), ({"path": "p"}, {"relay": 9}, "relay"), ({"path": "p"}, {}, "relay")],
)
def test_a_wrong_key_of_an_hid_card_is_named(
    equipment: dict[str, object], binding: dict[str, object], key: str
) -> None:
    """The same for HID cards."""
    with pytest.raises(DriverConfigError) as caught:
        HidRelay.from_config(equipment, binding)
    assert caught.value.key == key
