"""``hostler power``: one board, and every board of the lab."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from simulated_lab import SimulatedLab, simulated_lab

from hostler.cli.power import power_text
from hostler.client.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTLER = str(Path(sys.executable).parent / "hostler")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SimulatedLab]:
    with simulated_lab(tmp_path / "state") as made:
        with Client(made.settings) as client:
            client.claim("pc", power=True)
            client.claim("arm", power=True)
        yield made


def hostler(lab: SimulatedLab, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOSTLER, *arguments],
        stdin=options.get("stdin", subprocess.DEVNULL),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **lab.environment},
    )


def desired(lab: SimulatedLab) -> set[str]:
    with Client(lab.settings) as client:
        return {board["name"] for board in client.boards() if board["power"]["desired"] == "on"}


def test_every_board_goes_off_and_is_waited_for(lab: SimulatedLab) -> None:
    """Without a terminal --yes is needed; the command ends when every board is off."""
    refused = hostler(lab, "power", "--all-off")
    assert (refused.returncode, "add --yes" in refused.stderr) == (2, True)
    assert desired(lab) == {"pc-1", "arm-1"}
    done = hostler(lab, "power", "--all-off", "--yes")
    assert (done.returncode, done.stdout) == (0, "3 of 3 boards of the lab are off\n")
    assert desired(lab) == set()
    again = json.loads(hostler(lab, "power", "--all-off", "--yes", "--json").stdout)
    assert again == {"boards": ["arm-1", "pc-1", "pc-2"], "runs": [], "quarantined": [], "not_off": []}


@pytest.mark.parametrize(("typed", "left"), [("y", {"pc-1", "arm-1"}), ("off", set())])
def test_on_a_terminal_it_asks(lab: SimulatedLab, typed: str, left: set[str]) -> None:
    """Only the whole word switches a lab off."""
    master, slave = pty.openpty()
    try:
        os.write(master, typed.encode() + b"\n")
        done = hostler(lab, "power", "--all-off", stdin=slave)
    finally:
        os.close(slave)
        os.close(master)
    assert done.returncode == (2 if left else 0)
    assert "runs end" in done.stderr
    assert desired(lab) == left


def test_unknown_equipment_switches_nothing(lab: SimulatedLab) -> None:
    """The refusal names what was asked for."""
    done = hostler(lab, "power", "--all-off", "--equipment", "nope", "--yes")
    assert done.returncode == 1
    assert 'there is no equipment "nope"' in done.stderr
    assert desired(lab) == {"pc-1", "arm-1"}


def test_a_wait_and_a_difference_are_shown() -> None:
    """Who looks at a board sees since when it is not as it should be, and what it waits for."""
    power: Any = {
        "desired": "on", "observed": "off", "as_asked": False, "watts": None, "detail": "", "error": "",
        "waits": "waits for 13 W on sw1: 360 of 370 W are taken by b1", "mismatch_since": None, "at": None,
    }  # fmt: skip
    assert power_text(power) == ("off (should be on): waits for 13 W on sw1: 360 of 370 W are taken by b1")
    power |= {"waits": "", "mismatch_since": "2026-01-02T03:04:05.678Z"}
    assert power_text(power).startswith("off (should be on since 2026-01-0")
    power |= {"desired": "off", "observed": "unknown", "mismatch_since": None}
    assert power_text(power) == "unknown (should be off)"
    power |= {"as_asked": True}
    assert power_text(power) == "unknown (was switched off; it cannot be read)"
