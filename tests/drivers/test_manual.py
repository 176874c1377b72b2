"""Somebody switches by hand: asked once, believed only when they answered this request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from somebody import somebody

from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentUnreachable
from hostler.drivers.power.manual import Manual
from hostler.drivers.power.queue import EquipmentQueue
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from pathlib import Path


def _manual(folder: Path, wait: float = 0.0) -> Manual:
    return Manual.from_config({"folder": str(folder), "wait": wait}, {"outlet": "nuc-1"})


async def test_nothing_goes_on_before_the_answer(tmp_path: Path) -> None:
    """Every attempt fails until somebody has said so; the request is written once."""
    manual = _manual(tmp_path)
    assert (await manual.get()).detail == "nobody has said yet"
    for _ in range(2):
        with pytest.raises(DriverTimeout, match=r"nuc-1\.please"):
            await manual.set(PowerState.ON)
    assert "Please switch nuc-1 on" in (tmp_path / "nuc-1.please").read_text()
    assert (await manual.get()).state is PowerState.UNKNOWN
    (tmp_path / "nuc-1.is").write_text("on\n")
    await manual.set(PowerState.ON)
    assert (await manual.get()).state is PowerState.ON
    assert not (tmp_path / "nuc-1.please").exists()


async def test_an_answer_from_before_is_none(tmp_path: Path) -> None:
    """What was on last week is unknown from the moment somebody is asked to switch it off."""
    (tmp_path / "nuc-1.is").write_text("on")
    manual = _manual(tmp_path)
    with pytest.raises(DriverTimeout):
        await manual.set(PowerState.OFF)
    reading = await manual.get()
    assert (reading.state, reading.detail) == (PowerState.UNKNOWN, "asked, not answered yet")
    (tmp_path / "nuc-1.is").write_text("on")  # somebody looked, and did not switch
    with pytest.raises(DriverTimeout):
        await manual.set(PowerState.OFF)
    assert (await manual.get()).state is PowerState.ON


async def test_words_that_are_no_answer(tmp_path: Path) -> None:
    """Only on and off are understood; the rest is shown."""
    (tmp_path / "nuc-1.is").write_text("later!")
    reading = await _manual(tmp_path).get()
    assert (reading.state, reading.detail) == (PowerState.UNKNOWN, "somebody said later!")


async def test_through_the_queue_with_somebody_who_is_there(tmp_path: Path) -> None:
    """What they answer is a verified switch."""
    async with somebody(tmp_path):
        result = await EquipmentQueue("hand").switch("nuc-1", _manual(tmp_path, 5.0), PowerState.OFF)
    assert result.verified


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The folder is blamed, not the person."""
    with pytest.raises(EquipmentUnreachable, match="folder"):
        await _manual(tmp_path / "none").set(PowerState.ON)


@pytest.mark.parametrize(
    ("equipment", "outlet", "key"),
    [
        ({}, "a", "folder"),
        ({"folder": "/x"}, "../a", "outlet"),
        ({"folder": "/x"}, ".a", "outlet"),
        ({"folder": "/x", "wait": 60}, "a", "wait"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], outlet: str, key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        Manual.from_config(equipment, {"outlet": outlet})
    assert caught.value.key == key
