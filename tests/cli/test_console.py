"""`hostler console` against the real server, with a real shell on a real terminal at the board's end."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from person import HOSTLER, Person, environment
from simulated_lab import SimulatedLab, simulated_lab

from hostler.client.client import Client
from hostler.client.errors import RefusedError
from hostler.client.shell import login, run_command
from serial_board import on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

CTRL_C, ESCAPE = b"\x03", b"\x1d"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SimulatedLab]:
    with on_terminal() as terminal, simulated_lab(tmp_path / "state", terminal) as lab:
        yield lab


@pytest.fixture
def person(lab: SimulatedLab) -> Iterator[Person]:
    somebody = Person(lab)
    yield somebody
    somebody.close()


def test_a_terminal_session(person: Person) -> None:
    """What is typed reaches the board raw, Ctrl-C included; Ctrl-] q leaves the terminal as it was."""
    person.see(b"Ctrl-] then: q leave")
    person.see(b"before")  # the replay
    person.type(b"\r")
    person.see(b"login: ")
    person.type(b"root\r")
    person.see(b"Password: ")
    person.type(b"hostler\r")
    person.see(b"# ")
    person.type(b"sleep 100\r")
    time.sleep(0.5)
    person.type(CTRL_C)
    person.see(b"^C")
    person.type(b"echo a''b\r")
    person.see(b"ab\r\n")
    person.type(ESCAPE + b"q")
    assert person.leave() == 0
    assert b"left the console" in person.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_killed_session_restores_the_terminal(person: Person, number: signal.Signals) -> None:
    """A signal that can be caught leaves the terminal as it was."""
    person.see(b"before")
    person.process.send_signal(number)
    assert person.leave() != 0


def test_follow_only_reads(lab: SimulatedLab) -> None:
    """--follow shows the console until Ctrl-C and types nothing."""
    reader = Person(lab, "--follow")
    try:
        reader.see(b"leave with Ctrl-C")
        reader.see(b"before")
        reader.process.send_signal(signal.SIGINT)
        assert reader.leave() == 0
    finally:
        reader.close()


def test_a_pipe_types_lines(lab: SimulatedLab) -> None:
    """Without a terminal the lines of standard input are typed, and what the board says is printed."""
    done = subprocess.run(
        [HOSTLER, "console", "pc-1", "--linger", "1"],
        input=b"\nroot\nhostler\n",
        capture_output=True,
        timeout=60,
        check=True,
        env=environment(lab),
    )
    assert b"login: " in done.stdout
    documents = subprocess.run(
        [HOSTLER, "console", "pc-1", "--linger", "1", "--json"],
        input=b"echo pi''ped\n",
        capture_output=True,
        timeout=60,
        check=True,
        env=environment(lab),
    ).stdout.splitlines()
    assert json.loads(documents[0])["event"] == "attached"
    assert "piped" in "".join(json.loads(line)["text"] for line in documents[1:])


def test_log_in_and_run_a_command(lab: SimulatedLab) -> None:
    """The client's login works through the whole server, replay included."""
    with Client(lab.settings) as client, client.console("pc-1") as session:
        login(session, "root", "hostler", seconds=30)
        assert run_command(session, "echo $((6 * 7))", seconds=20).output == "42\n"


def test_refusals_say_why(lab: SimulatedLab) -> None:
    """A board without a console, an unknown board and an unknown token are each refused by name."""
    with Client(lab.settings) as client:
        for board, status in (("arm-1", 404), ("nope", 404)):
            with pytest.raises(RefusedError, match=board) as caught, client.console(board):
                pass
            assert caught.value.status == status
    done = subprocess.run(
        [HOSTLER, "console", "pc-1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**environment(lab), "HOSTLER_TOKEN": "hst_wrong"},
    )
    assert done.returncode == 1
    assert "HOSTLER_TOKEN" in done.stderr
