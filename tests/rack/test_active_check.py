"""A board's wires tried on a real rack over fake supplies and lines: whichever is wrong is named."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from bench import RealBoard, bench

from hostler.link.port import RequestRefusedError
from hostler.model.board import Lifecycle
from hostler.model.power import PowerState
from hostler.rack import active_check, signs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """These boards answer at once."""
    for module, name in (
        (signs, "CONSOLE_SECONDS"), (signs, "LISTEN_SECONDS"), (signs, "OTHER_SECONDS"),
        (active_check, "SETTLE_SECONDS"), (active_check, "SILENCE_SECONDS"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 0.3)


def failed(report: dict) -> dict[str, str]:
    return {row["what"]: row["text"] for row in report["checks"] if not row["ok"]}


def right(name: str) -> RealBoard:
    return RealBoard(powered_by=name, heard_on=name)


async def test_a_board_that_is_wired_right_passes_and_is_off_again(tmp_path: Path) -> None:
    """Off, on, the network and the console are all seen to work; at the end it is off as before."""
    async with bench(tmp_path, b1=right("b1"), b2=right("b2")) as made:
        report = await made.check("b1")
        assert failed(report) == {}
        assert [row["what"].rsplit(" ", 1)[0] for row in report["checks"]] == [
            "power off of", "power on of", "network boot of", "console of",
            "power off again of", "silence of",
        ]  # fmt: skip
        assert report["ok"] is True
        assert made.supply("b1").state is PowerState.OFF
        assert PowerState.ON not in made.supply("b2").history
        assert made.rack.keepers()["b1"].view.desired.power is PowerState.OFF


async def test_crossed_power_is_named(tmp_path: Path) -> None:
    """The other board's MAC shows up: its power hangs on this wire."""
    one, two = RealBoard(powered_by="b2", heard_on="b1"), RealBoard(powered_by="b1", heard_on="b2")
    async with bench(tmp_path, b1=one, b2=two) as made:
        report = await made.check("b1")
        (text,) = failed(report).values()
        assert text == 'fake powers board "b2", not "b1": the power wires of "b1" and "b2" are crossed'
        assert report["crossed"] == ["b2"]


async def test_crossed_consoles_are_named(tmp_path: Path) -> None:
    """The board boots, but what it says is heard on the other one's line."""
    one, two = RealBoard(powered_by="b1", heard_on="b2"), RealBoard(powered_by="b2", heard_on="b1")
    async with bench(tmp_path, b1=one, b2=two) as made:
        report = await made.check("b1")
        assert list(failed(report)) == ["console of b1"]
        assert 'the console wires of "b1" and "b2" are crossed' in failed(report)["console of b1"]
        assert report["crossed"] == ["b2"]


async def test_swapped_macs_are_told_from_crossed_wires(tmp_path: Path) -> None:
    """Power and console agree and only the MAC is another's: lab.toml has it wrong, and says so."""
    one = RealBoard(powered_by="b1", heard_on="b1", mac="52:54:00:00:00:32")
    async with bench(tmp_path, b1=one, b2=RealBoard(powered_by="nobody", heard_on=None)) as made:
        report = await made.check("b1")
        (row,) = [row for row in report["checks"] if not row["ok"]]
        assert 'the MACs of "b1" and "b2" are swapped' in row["advice"]


async def test_a_dead_console_and_a_dead_network_are_told_apart(tmp_path: Path) -> None:
    """Each is named alone; a board of which nothing is heard at all is a matter of its power."""
    boards = {
        "b1": RealBoard("b1", None),
        "b2": RealBoard("b2", "b2", boots=False),
        "b3": RealBoard("nobody", None),
        "b4": RealBoard("b4", "b4", mac="52:54:00:99:99:99"),
    }
    async with bench(tmp_path, **boards) as made:
        b1, b2, b3, b4 = [await made.check(name) for name in boards]
        assert "nothing in" in failed(b1)["console of b1"]
        assert list(failed(b1)) == ["console of b1"]
        assert list(failed(b2)) == ["network boot of b2"]
        assert "nothing was heard of it at all" in failed(b3)["network boot of b3"]
        assert "52:54:00:99:99:99 began to, which is in no lab.toml" in failed(b4)["network boot of b4"]


async def test_a_console_that_shows_another_board_is_crossed(tmp_path: Path) -> None:
    """Words on the console that name another board are believed over the fact that something is said."""
    one = RealBoard("b1", "b1", says=b'Hostler: b2: Board "b2" is held\r\n')
    async with bench(tmp_path, b1=one, b2=RealBoard("nobody", None)) as made:
        report = await made.check("b1")
        assert 'what is heard on it is board "b2"' in failed(report)["console of b1"]


async def test_noise_is_a_wrong_speed(tmp_path: Path) -> None:
    """Bytes that are no text come from a line with the wrong settings."""
    async with bench(tmp_path, b1=RealBoard("b1", "b1", says=b"\x00\xfe\x80\xf8" * 9)) as made:
        (row,) = [row for row in (await made.check("b1"))["checks"] if not row["ok"]]
        assert row["text"] == "only noise"
        assert "baud" in row["advice"]


async def test_a_supply_that_does_nothing_ends_the_check(tmp_path: Path) -> None:
    """What cannot be switched is said at once, and nothing else is guessed from it."""
    async with bench(tmp_path, b1=right("b1")) as made:
        made.supply("b1").misbehaviour.refuse = True
        report = await made.check("b1")
        assert list(failed(report)) == ["power off of b1"]
        assert len(report["checks"]) == 1


async def test_crossed_boards_checked_together_do_not_answer_for_each_other(tmp_path: Path) -> None:
    """Boards may be checked side by side: they are switched on one after the other."""
    one, two = RealBoard(powered_by="b2", heard_on="b1"), RealBoard(powered_by="b1", heard_on="b2")
    async with bench(tmp_path, b1=one, b2=two) as made:
        reports = await asyncio.gather(made.check("b1"), made.check("b2"))
        assert [list(failed(report)) for report in reports] == [
            ["network boot of b1"],
            ["network boot of b2"],
        ]


async def test_the_hub_goes_first(tmp_path: Path) -> None:
    """Whoever is given the board in mid-check gets it: the check ends without a verdict."""
    async with bench(tmp_path, b1=RealBoard("b1", None, boots=False)) as made:
        checking = asyncio.ensure_future(made.check("b1", seconds=30.0))
        while made.supply("b1").state is not PowerState.ON:
            await asyncio.sleep(0.02)
        await made.want("b1", Lifecycle.QUARANTINED, "somebody said so")
        report = await checking
        assert report["ok"] is False
        assert "quarantined now: somebody said so" in report["interrupted"]
        async with asyncio.timeout(60):
            while made.supply("b1").state is not PowerState.OFF:
                await asyncio.sleep(0.02)


async def test_what_the_hub_repeats_disturbs_nothing(tmp_path: Path) -> None:
    """The hub says again what it wants whenever it learns something: a board on trial is not switched off."""
    async with bench(tmp_path, b1=RealBoard("b1", "b1", boots=False)) as made:
        checking = asyncio.ensure_future(made.check("b1"))
        while not checking.done():
            await made.want("b1")
            await asyncio.sleep(0.05)
        assert list(failed(await checking)) == ["network boot of b1"]
        history = made.supply("b1").history
        assert history.count(PowerState.ON) == 1
        assert history[-1] is PowerState.OFF


async def test_an_order_that_does_not_arrive_is_no_check(tmp_path: Path, monkeypatch) -> None:
    """Nothing is switched before the hub's order to stand by has arrived; unknown boards are refused."""
    monkeypatch.setattr(active_check, "ORDER_SECONDS", 0.2)
    async with bench(tmp_path, b1=right("b1")) as made:
        with pytest.raises(RequestRefusedError, match="has not heard yet"):
            await made.check("b1", reason="being checked by somebody else")
        with pytest.raises(RequestRefusedError, match="does not keep"):
            await made.check("b9")
        assert PowerState.ON not in made.supply("b1").history


async def test_a_check_that_is_called_off_gives_the_board_back(tmp_path: Path) -> None:
    """Whatever it was at, the keeper wants again what the hub does, and another check can begin."""
    async with bench(tmp_path, b1=RealBoard("b1", None), b2=right("b2")) as made:
        checking = asyncio.ensure_future(made.check("b1", seconds=60))
        async with asyncio.timeout(60):
            while made.supply("b1").state is not PowerState.ON:
                await asyncio.sleep(0.01)
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
        async with asyncio.timeout(60):
            while made.supply("b1").state is not PowerState.OFF:
                await asyncio.sleep(0.01)
        assert made.rack.keepers()["b1"].view.desired.power is PowerState.OFF
        assert (await made.check("b2"))["ok"] is True


async def test_the_next_is_switched_on_when_one_that_was_called_off_is_off(tmp_path: Path) -> None:
    """One that goes on booting for a while would answer for the next, were their wires crossed."""
    async with bench(tmp_path, b1=RealBoard("b1", None), b2=right("b2")) as made:
        one, two = made.rack.keepers()["b1"], made.supply("b2")
        checking = asyncio.ensure_future(made.check("b1", seconds=60))
        async with asyncio.timeout(60):
            while one.view.seen.power.state is not PowerState.ON:
                await asyncio.sleep(0.01)
        made.supply("b1").misbehaviour.lag = 8  # readings until it is off
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
        checking = asyncio.ensure_future(made.check("b2"))
        async with asyncio.timeout(60):
            while not checking.done():
                assert two.state is PowerState.OFF or one.view.seen.power.state is not PowerState.ON
                await asyncio.sleep(0.01)
        assert (await checking)["ok"] is True
