"""The verbs about wires against the real server: rows as they come, and a board added with one command."""

from __future__ import annotations

import select
import signal
import tomllib
from typing import TYPE_CHECKING

import pytest
from simulated_lab import LAB, LOST, STRANGER, simulated_lab
from test_commands import Shell

from hostler.client.client import Client
from hostler.client.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EQUIPMENT = """
[equipment.rack1]
driver = "snmp-poe"
host = "10.0.0.2"
community = "env:RACK1"
"""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with simulated_lab(tmp_path / "state") as lab:
        yield Shell(lab)


@pytest.fixture
def strangers(shell: Shell, tmp_path: Path) -> Client:
    """Two machines nobody knows are listed, and the lab has a switch."""
    (tmp_path / "lab.toml").write_text(LAB + EQUIPMENT)
    shell("apply", str(tmp_path / "lab.toml"))
    (tmp_path / "state" / "strangers").touch()
    client = Client(shell.lab.settings)
    poll(lambda: len(client.boards()), lambda count: count == 5, seconds=20, what="two strangers")
    return client


def test_rows_are_printed_as_they_come(shell: Shell, tmp_path: Path) -> None:
    """What is known is printed while the rest is still tried; each row once, and the sum at the end."""
    checking = shell.start("check", "--active", "pc-2")
    try:
        assert checking.stdout is not None
        assert select.select([checking.stdout], [], [], 20)[0], "nothing came before the end"
        assert checking.stdout.readline() == "ok      power on of pc-2: reads on\n"
        (tmp_path / "state" / "proceed").touch()
        rest, error = checking.communicate(timeout=30)
    finally:
        checking.kill()
    assert rest == "FAILED  console of pc-2: silent\n        look at the wire\n2 looked at, 1 failed\n", error
    assert checking.returncode == 1
    assert "console of pc-2: silent" in shell("show", "pc-2").stdout


@pytest.mark.parametrize("words", [("arm-1",), ("--all", "--class", "arm")], ids=["a board", "a class"])
def test_ctrl_c_and_stop_call_a_trial_off(shell: Shell, words: tuple[str, ...]) -> None:
    """Whoever waits presses Ctrl-C, or somebody says --stop: the board is free again when it has ended."""
    whose = words if words == ("arm-1",) else ()
    none = "are not being tried" if whose else "no trial of wires goes on"
    assert none in shell("check", *whose, "--stop", status=1).stderr
    for by_key in (True, False):
        checking = shell.start("check", "--active", *words)
        try:
            assert checking.stdout is not None
            assert select.select([checking.stdout], [], [], 60)[0], "it has not begun"
            if by_key:
                checking.send_signal(signal.SIGINT)
            else:
                shell("check", *whose, "--stop")
            _, error = checking.communicate(timeout=60)
        finally:
            checking.kill()
        assert "is called off" in error if by_key else "admin called it off" in error
        assert checking.returncode == 1
        assert shell.json("show", "arm-1")["lifecycle"] == "available"
    assert "goes with a BOARD or alone" in shell("check", "--stop", "--active", "arm-1", status=2).stderr


def test_active_checks_of_all_and_of_a_class(shell: Shell, tmp_path: Path) -> None:
    """--all tries every free board, --class narrows it, --json prints one document."""
    (tmp_path / "state" / "proceed").touch()
    report = shell.json("check", "--active", "--all", "--class", "arm", "--at-once", "2", status=1)
    assert [row["what"] for row in report["checks"]] == ["power on of arm-1", "console of arm-1"]
    assert shell.json("check", "--active", "pc-1")["ok"] is True
    shell("claim", "pc", "--name", "mine")
    (held,) = [board["name"] for board in shell.json("boards", "--claimed", "mine")]
    assert "--force" in shell("check", "--active", held, status=1).stderr
    assert shell.json("check", "--active", held, "--force", status=0 if held == "pc-1" else 1)


@pytest.mark.parametrize(
    "words",
    [("--active",), ("--active", "pc-1", "--all"), ("pc-1", "--force"), ("--all",), ("--class", "pc")],
)
def test_words_that_do_not_go_together_are_usage(shell: Shell, words: tuple[str, ...]) -> None:
    """Exit status 2 and one line; nothing is tried."""
    assert "--active" in shell("check", *words, status=2).stderr


def test_adopting_prints_the_lines_and_changes_nothing(
    shell: Shell, strangers: Client, tmp_path: Path
) -> None:
    """Without --apply the table is for a person to add."""
    done = shell("adopt", STRANGER, "--name", "new", "--class", "pc", "--file", str(tmp_path / "lab.toml"))
    assert "ok      power of it: port 7 of rack1" in done.stdout
    table = tomllib.loads(done.stdout.partition("\n\n")[2].partition("\n\n")[0])["boards"]["new"]
    assert table["power"] == {"equipment": "rack1", "port": 7}
    assert "nothing was changed" in done.stdout
    assert (tmp_path / "lab.toml").read_text() == LAB + EQUIPMENT
    assert "new" not in [board["name"] for board in strangers.boards()]


def test_adopting_with_a_file_writes_both(shell: Shell, strangers: Client, tmp_path: Path) -> None:
    """The file and the inventory say the same, and the file keeps its mode."""
    file = tmp_path / "lab.toml"
    file.chmod(0o640)
    found = shell.json(
        "adopt", f"unknown-{STRANGER.replace(':', '')}", "--name", "new", "--class", "pc",
        "--file", str(file), "--apply",
    )  # fmt: skip
    assert [change["name"] for change in found["changes"]] == ["new"]
    assert file.read_text() == strangers.inventory()["text"]
    assert tomllib.loads(file.read_text())["boards"]["new"]["serial"] == "S1"
    assert file.stat().st_mode & 0o777 == 0o640
    assert strangers.board("new")["lifecycle"] == "available"
    assert list(tmp_path.glob(".lab*")) == []


def test_adopting_without_a_file_warns_of_one(shell: Shell, strangers: Client) -> None:
    """The inventory of the server is added to; a file it may be read from is the person's to change."""
    done = shell("adopt", STRANGER, "--name", "new", "--class", "pc", "--apply")
    assert "add board new" in done.stdout
    assert "reads it from a file" in done.stderr
    assert "[boards.new]" in strangers.inventory()["text"]


def test_a_machine_whose_power_is_not_found_is_not_added(shell: Shell, strangers: Client) -> None:
    """Status 1, and the inventory is as before; what cannot be read is said before anything is tried."""
    before = strangers.inventory()["text"]
    done = shell("adopt", LOST, "--name", "new", "--class", "pc", "--apply", status=1)
    assert "power was not found" in done.stderr
    assert strangers.inventory()["text"] == before
    done = shell("adopt", LOST, "--name", "n", "--class", "pc", "--file", "/none/lab.toml", status=1)
    assert "cannot read /none/lab.toml" in done.stderr


def test_the_last_check_and_equipment_are_told(shell: Shell, tmp_path: Path) -> None:
    """What the last check found can be asked for; a front that cannot be read shows boards and says why."""
    assert shell("check", "--last", status=1).stdout == "never checked\n"
    shell("check", status=1)
    last = shell("check", "--last", status=1).stdout
    assert "by admin\n" in last
    assert "FAILED  power pc-2: no answer\n        look at the cable\n2 looked at, 1 failed\n" in last
    assert "goes with --active or alone" in shell("check", "pc-1", "--last", status=2).stderr
    wired = LAB.replace('{ driver = "fake" }', '{ equipment = "rack1", port = 1 }', 1) + EQUIPMENT
    (tmp_path / "lab.toml").write_text(wired)
    shell("apply", str(tmp_path / "lab.toml"))
    assert shell.json("equipment") == [{"name": "rack1", "driver": "snmp-poe", "boards": 1}]
    front = shell("equipment", "rack1", status=1)
    assert front.stdout.splitlines()[1].split()[:4] == ["port", "1", "power", "pc-1"]
    assert "no such request: panel" in front.stderr
