"""`hostler console` against a console as a rack keeps it, on a pty with a board at its other end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import threading
import time
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import serial
from person import HOSTLER, Person
from simulated_lab import SimulatedLab, simulated_lab

from hostler.client.client import Client
from hostler.client.errors import RefusedError
from hostler.drivers.console.tty import Tty
from hostler.wire.console_keys import EscapeKeys, Give, Key

if TYPE_CHECKING:
    from collections.abc import Iterator


class Board:
    """A board on the far end of a pty: it echoes in capitals."""

    def __init__(self) -> None:
        self.end, self.line = pty.openpty()
        tty.setraw(self.line)
        self.path = os.ttyname(self.line)
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._echo)
        self._thread.start()

    def _echo(self) -> None:
        while self._stop not in (ready := select.select([self.end, self._stop], [], [])[0]):
            if self.end in ready:
                os.write(self.end, os.read(self.end, 4096).upper())

    def say(self, data: bytes) -> None:
        os.write(self.end, data)

    def close(self) -> None:
        os.write(self._stopped, b"x")
        self._thread.join()
        for descriptor in (self.end, self.line, self._stop, self._stopped):
            os.close(descriptor)


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board()
    yield made
    made.close()


@pytest.fixture
def lab(tmp_path: Path, board: Board) -> Iterator[SimulatedLab]:
    with simulated_lab(tmp_path / "state", wire=Tty.from_config({}, {"path": board.path})) as lab:
        yield lab


def run(lab: SimulatedLab, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [HOSTLER, "console", "pc-1", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **lab.environment},
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@contextlib.contextmanager
def listening(lab: SimulatedLab, *options: str) -> Iterator[int]:
    """Run ``hostler console pc-1 --listen 0``; yields the port."""
    process = subprocess.Popen(
        [HOSTLER, "console", "pc-1", "--listen", "0", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **lab.environment},
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["port"]
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def recorded(lab: SimulatedLab, wanted: bytes) -> None:
    """Wait until the log has it."""
    end = time.monotonic() + 10
    with Client(lab.settings) as client:
        while wanted not in client.console_log("pc-1", since="1h"):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_keys_for_us_are_told_from_keys_for_the_board():
    """Every key of the menu is found wherever the typing is cut, and nothing else is lost."""
    typed = b"a\x1dtb\x1d\x1dc\x1d]\x1dg12\r\x1dg\rd\x1dZ\x1d1"
    wanted = [b"a", Key.TAKE, b"b\x1dc\x1d", Give(12), Give(None), b"d", Key.HELP, Key.ON]
    assert list(EscapeKeys().feed(typed)) == wanted
    keys, found = EscapeKeys(), []
    for byte in typed:
        found += keys.feed(bytes((byte,)))
    assert [item for item in found if not isinstance(item, bytes)] == [
        item for item in wanted if not isinstance(item, bytes)
    ]
    assert b"".join(item for item in found if isinstance(item, bytes)) == b"ab\x1dc\x1dd"


def test_a_log_is_read_and_searched(lab: SimulatedLab, board: Board) -> None:
    """--log prints what was said, --search only lines that match, with status 1 when there are none."""
    board.say(b"Linux version 6.1\r\n\x1b[31mKernel panic\x1b[0m - not syncing\r\n# ")
    recorded(lab, b"# ")
    assert "Kernel panic" in run(lab, "--log", "--since", "10m")
    found = run(lab, "--log", "--since", "10m", "--search", "^Kernel pan.c -")
    assert re.search(r"^\d{4}-\d\d-\d\d .*boot -  Kernel panic - not syncing$", found, re.MULTILINE)
    document = json.loads(run(lab, "--log", "--since", "10m", "--search", "panic", "--json"))
    assert document["complete"] is True
    assert [match["offset"] for match in document["matches"]] == [19]
    assert run(lab, "--log", "--since", "10m", "--search", "nowhere", status=1) == ""
    assert "not a pattern" in run(lab, "--log", "--since", "10m", "--search", "(", status=1)
    assert "10m" in run(lab, "--log", "--since", "soon", status=1)
    assert "needs --log" in run(lab, "--since", "10m", status=2)


def test_a_claims_log_is_its_holders_alone(lab: SimulatedLab, board: Board) -> None:
    """What was said under a claim is read by its holder after it ended, and by nobody else but admins."""
    with Client(lab.settings) as admin:
        people = {}
        for name in ("ann", "bob"):
            made = _person(lab, name)
            people[name] = Client(type(lab.settings)(lab.settings.url, made))
        first = people["ann"].claim("pc", ttl="1h")
        assert first["board"] == "pc-1"
        with people["ann"].console("pc-1"):
            board.say(b"secret of ann\r\n")
            recorded(lab, b"secret of ann")
        with pytest.raises(RefusedError) as caught:
            people["bob"].console_log("pc-1", claim=first["id"])
        assert caught.value.status == 403
        people["ann"].release(first["id"])
        end = time.monotonic() + 20
        while admin.board("pc-1")["lifecycle"] != "available":
            assert time.monotonic() < end
            time.sleep(0.1)
        second = people["bob"].claim("pc", ttl="1h")
        assert second["board"] == "pc-1"
        with people["bob"].console("pc-1") as session:
            assert session.attached["replay"] == 0
            board.say(b"bob is here\r\n")
            session.expect("bob is here", seconds=10)
        recorded(lab, b"bob is here")
        assert people["ann"].console_log("pc-1", claim=first["id"]) == b"secret of ann\r\n"
        assert people["bob"].console_log("pc-1", since="1h") == b"bob is here\r\n"
        assert [m["line"] for m in people["bob"].search_console("pc-1", "e", since="1h")["matches"]] == [
            "bob is here"
        ]
        assert admin.console_log("pc-1", claim=second["id"]) == b"bob is here\r\n"
        for client in people.values():
            client.close()


def _person(lab: SimulatedLab, name: str) -> str:
    """Make a member; returns their token."""
    made: dict[str, Any] = json.loads(
        subprocess.run(
            ["curl", "-sS", "-H", f"Authorization: Bearer {lab.settings.token}", "-H",
             "Content-Type: application/json", "-d", json.dumps({"name": name, "role": "member"}),
             f"{lab.settings.url}/api/v1/principals"],
            capture_output=True, check=True, timeout=20,
        ).stdout
    )  # fmt: skip
    return str(made["token"])


def test_a_late_viewer_sees_the_screen_as_it_stands(lab: SimulatedLab, board: Board) -> None:
    """A menu drawn by cursor moves is there for who joins later, whole, in the colours it had."""
    board.say(b"\x1b[2J\x1b[1;1H\x1b[31mGRUB\x1b[0m\r\n\x1b[3;3H*Debian")
    recorded(lab, b"*Debian")
    with Client(lab.settings) as client, client.console("pc-1", size=(80, 24)) as session:
        shown = session.read(5)
    assert b"\x1b[1;1H\x1b[0;31mGRUB\x1b[0m" in shown
    assert b"\x1b[3;1H  *Debian" in shown
    assert shown.endswith(b"\x1b[3;10H\x1b[0m")


def test_a_keyboard_changes_hands_between_terminals(lab: SimulatedLab) -> None:
    """Ctrl-] w lists who is joined, r asks, g hands over; both people read what happened, and type or not."""
    first = Person(lab)
    first.see(b"all keys")
    first.type(b"hello")
    first.see(b"HELLO")
    second = Person(lab)
    try:
        second.see(b"admin has the keyboard")
        second.see(b"HELLO")
        second.type(b"\x1dr")
        first.see(b"asks for the keyboard")
        first.type(b"\x1dg\r")
        second.see(b"gave you the keyboard")
        second.type(b"mine")
        first.see(b"MINE")
        first.type(b"\x1dw")
        first.see(b"1  admin (you)")
        first.see(b"2  admin  has the keyboard")
        second.type(b"\x1dl")
        second.see(b"you type no more")
        second.type(b"\x1db")
        second.see(b"only reading")
        for person in (first, second):
            person.type(b"\x1dq")
            assert person.leave() == 0
    finally:
        first.close()
        second.close()


def test_power_is_switched_from_inside(lab: SimulatedLab) -> None:
    """Ctrl-] 1 and 0 go through the API's power; what came of it stands between the board's words."""
    person = Person(lab)
    try:
        person.see(b"all keys")
        with Client(lab.settings) as client:
            for key, words, wanted in ((b"1", b"power on", "on"), (b"0", b"power off", "off")):
                person.type(b"\x1d" + key)
                person.see(words + b" is under way")
                end = time.monotonic() + 10
                while client.power("pc-1")["observed"] != wanted:
                    assert time.monotonic() < end
                    time.sleep(0.02)
            person.type(b"\x1d?")
            person.see(b"power-cycle the board")
        person.type(b"\x1dq")
        assert person.leave() == 0
    finally:
        person.close()


def test_a_raw_port_carries_the_console(lab: SimulatedLab) -> None:
    """A program that knows only TCP types on the board and hears it; who connects later only reads."""
    with listening(lab) as port, socket.create_connection(("127.0.0.1", port), 10) as first:
        first.sendall(b"hello")
        assert first.recv(5, socket.MSG_WAITALL) == b"HELLO"
        with socket.create_connection(("127.0.0.1", port), 10) as second:
            second.sendall(b"not heard")
            time.sleep(0.3)
            first.sendall(b"\xff\x00again")
            assert first.recv(7, socket.MSG_WAITALL) == b"\xff\x00AGAIN"
            assert second.recv(7, socket.MSG_WAITALL) == b"\xff\x00AGAIN"


def test_socat_uses_the_raw_port(lab: SimulatedLab) -> None:
    """socat, which people put between old tools and the network, carries both ways."""
    with listening(lab) as port:
        socat = subprocess.Popen(
            ["socat", "-", f"TCP:127.0.0.1:{port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert socat.stdin is not None
        assert socat.stdout is not None
        socat.stdin.write(b"through socat")
        socat.stdin.flush()
        assert socat.stdout.read(13) == b"THROUGH SOCAT"
        socat.stdin.close()
        socat.stdout.close()
        socat.terminate()
        socat.wait(10)


def line_of(board: Board) -> int:
    return int(termios.tcgetattr(board.line)[4])


def test_pyserial_uses_the_port_as_a_serial_line(lab: SimulatedLab, board: Board) -> None:
    """A foreign RFC 2217 client sets the speed of the real line, types and hears; the line is put back."""
    before = line_of(board)
    with listening(lab, "--rfc2217") as port:
        with serial.serial_for_url(
            f"rfc2217://127.0.0.1:{port}", baudrate=57600, timeout=10, do_not_open=False
        ) as line:
            assert line_of(board) == termios.B57600
            line.write(b"from pyserial \xff\x00\r")
            assert line.read(17) == b"FROM PYSERIAL \xff\x00\r"
            line.baudrate = 9600
            assert line_of(board) == termios.B9600
        end = time.monotonic() + 10
        while line_of(board) != before:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_line_that_cannot_be_so_says_so(lab: SimulatedLab, board: Board) -> None:
    """A pty has no modem lines: a client that switches DTR off is told that it stays on."""
    with (
        listening(lab, "--rfc2217") as port,
        serial.serial_for_url(f"rfc2217://127.0.0.1:{port}", timeout=10) as line,
    ):
        with pytest.raises(ValueError, match="rejected"):
            line.dtr = False
        line.send_break(0.05)
        line.write(b"still there")
        assert line.read(11) == b"STILL THERE"
    assert fcntl.ioctl(board.line, termios.TIOCOUTQ, struct.pack("i", 0)) is not None


@pytest.mark.parametrize(
    ("where", "why"),
    [("0.0.0.0:0", "--allow-remote"), ("nonsense", "is no port"), ("127.0.0.1:99999", "is no port")],
)
def test_a_listener_others_could_reach_is_refused(lab: SimulatedLab, where: str, why: str) -> None:
    """Only loopback is listened on unless it is meant, and a bad address is named."""
    assert why in run(lab, "--listen", where, status=1)
    assert "needs --listen" in run(lab, "--rfc2217", status=2)


def test_a_port_in_use_is_named(lab: SimulatedLab) -> None:
    """Who asks for a port that is taken is told which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on {port}" in run(lab, "--listen", str(port), status=1)
