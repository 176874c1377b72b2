"""`hostler top`: the wall in a terminal, against a real server."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from simulated_lab import LAB, SimulatedLab, simulated_lab
from textual.widgets import Input

from free_ports import free_port
from hostler.cli.top_app import TopApp
from hostler.cli.top_screens import Question, Reading
from hostler.cli.top_wall import Wall
from hostler.client.client import Client
from hostler.client.settings import Settings
from hostler.client.wall import BoardNews
from running_server import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.pilot import Pilot

    from hostler.client.documents import Run

HOSTLER = str(Path(sys.executable).parent / "hostler")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def lab(state: Path) -> Iterator[SimulatedLab]:
    with simulated_lab(state) as lab:
        yield lab


def on_screen(app: TopApp) -> str:
    """Return what the terminal shows, line by line."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)


async def sees(pilot: Pilot[None], wanted: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, on_screen(pilot.app)  # type: ignore[arg-type]
        await pilot.pause(0.05)


async def test_the_wall_follows_the_lab(lab: SimulatedLab, state: Path) -> None:
    """At 80 by 24 every board shows; who takes one, what its run does and what happened show at once."""
    app = TopApp(lab.settings, Wall())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, lambda: all(name in on_screen(app) for name in ("arm-1", "pc-1", "pc-2")))
        assert "3 boards: 3 available, 0 at work" in on_screen(app)
        assert max(map(len, on_screen(app).splitlines())) <= 80
        with Client(lab.settings) as client:
            client.claim("pc")
            await sees(pilot, lambda: "claimed" in on_screen(app) and "admin" in on_screen(app))
            (state / "hold").touch()
            client.start_run("pc-1", "wipe")
        await sees(pilot, lambda: "1 at work" in on_screen(app))
        (state / "hold").unlink()
        await sees(pilot, lambda: "wipe succeeded" in on_screen(app))


def test_how_fast_a_run_is_shows(lab: SimulatedLab, state: Path) -> None:
    """Bytes done at two times make a rate, which ends with the run."""
    (state / "hold").touch()
    with Client(lab.settings) as client:
        client.claim("pc")
        client.start_run("pc-1", "wipe")
        board = client.board("pc-1")
    run = board["run"]
    assert run is not None
    wall = Wall()
    for second, megabytes in enumerate((0, 20, 40)):
        at_work: Run = {**run, "state": "running", "done": megabytes * 10**6, "total": 10**8}
        wall.hear(BoardNews("board", {**board, "run": at_work}, "pc-1"), float(second))
    assert wall.rows()[0].cells[4].startswith("20.0 MB/s 40% wipe")
    wall.hear(BoardNews("board", {**board, "run": {**run, "state": "succeeded"}}, "pc-1"), 3.0)
    assert wall.rows()[0].cells[4] == "wipe succeeded"


async def test_words_choose_and_keys_order(lab: SimulatedLab) -> None:
    """Typing filters with each letter, Escape shows all again; s and g go through orders and groups."""
    app = TopApp(lab.settings, Wall())
    async with app.run_test(size=(100, 30)) as pilot:
        await sees(pilot, lambda: "arm-1" in on_screen(app))
        await pilot.press("/", *"arm")
        await sees(pilot, lambda: "pc-1" not in on_screen(app))
        await pilot.press("enter")
        await sees(pilot, lambda: 'only "arm"' in on_screen(app))
        await pilot.press("escape")
        await sees(pilot, lambda: "pc-1" in on_screen(app))
        assert app.query_one("#filter", Input).value == ""
        await pilot.press("g")
        await sees(pilot, lambda: "arm · 1" in on_screen(app) and "pc · 2" in on_screen(app))
        await pilot.press("s")
        await sees(pilot, lambda: "by lifecycle, grouped by class" in on_screen(app))


async def test_power_is_switched_after_two_answers(lab: SimulatedLab) -> None:
    """Key p asks what and whether it is meant; Escape and no leave the board alone; a refusal is told."""
    with Client(lab.settings) as client:
        client.claim("pc")
        app = TopApp(lab.settings, Wall(), "pc-1")
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await sees(pilot, lambda: "claimed" in on_screen(app))

            async def asked(key: str, question: str) -> None:
                await pilot.press(key)
                await sees(pilot, lambda: question in on_screen(app))

            async def left(key: str) -> None:
                await pilot.press(key)
                await sees(pilot, lambda: not isinstance(app.screen, Question))

            await asked("p", "Power of pc-1")
            await left("escape")
            for no in ("n", "escape"):
                await asked("p", "Power of pc-1")
                await asked("c", "Switch pc-1: power cycle?")
                await left(no)
            assert client.power("pc-1")["desired"] == "off"
            await asked("p", "Power of pc-1")
            await asked("o", "Switch pc-1: power on?")
            await left("y")
            await sees(pilot, lambda: client.power("pc-1")["observed"] == "on")
            await sees(pilot, lambda: "power on is asked for" in on_screen(app))


async def test_why_and_trace_are_read(lab: SimulatedLab) -> None:
    """Keys w, Enter and t show what `hostler why` and `hostler trace` print; any of their keys leads back."""
    with Client(lab.settings) as client:
        client.claim("pc")
        client.start_run("pc-1", "wipe")
    app = TopApp(lab.settings, Wall(), "pc-1")
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, lambda: "wipe succeeded" in on_screen(app))
        await pilot.press("t")
        await sees(pilot, lambda: isinstance(app.screen, Reading) and "10.77.0.100 for 1 h" in on_screen(app))
        await pilot.press("escape")
        await sees(pilot, lambda: not isinstance(app.screen, Reading))
        for why, back in (("w", "q"), ("enter", "enter")):
            await pilot.press(why)
            await sees(
                pilot, lambda: isinstance(app.screen, Reading) and "pc-1, boot 1 (agent)" in on_screen(app)
            )
            await pilot.press(back)
            await sees(pilot, lambda: not isinstance(app.screen, Reading))


async def test_a_server_that_restarts_is_waited_for(tmp_path: Path) -> None:
    """The wall says that it is away and keeps what it showed; it goes on with what the next one tells."""
    listen = f"127.0.0.1:{free_port()}"
    with running_server(tmp_path / "state", listen=listen) as server:
        settings = Settings(server.url, server.token)
        with Client(settings) as client:
            client.apply(LAB)
        app = TopApp(settings, Wall())
        running = app.run_test(size=(80, 24))
        pilot = await running.__aenter__()
        try:
            await sees(pilot, lambda: "pc-1" in on_screen(app))
            server.process.kill()
            await sees(pilot, lambda: "AWAY: " in on_screen(app) and "pc-1" in on_screen(app))
            with running_server(tmp_path / "state", listen=listen), Client(settings) as client:
                await sees(pilot, lambda: "AWAY: " not in on_screen(app))
                client.apply(LAB.replace("boards.pc-2", "boards.pc-7"))
                await sees(pilot, lambda: "pc-7" in on_screen(app) and "pc-2" not in on_screen(app))
        finally:
            await running.__aexit__(None, None, None)


@pytest.mark.parametrize("options", [("--once",), ()])
def test_without_a_terminal_it_is_a_table(lab: SimulatedLab, options: tuple[str, ...]) -> None:
    """Every board once, filtered and grouped as asked; --json is one document."""
    done = run(lab, "top", *options)
    assert [line.split()[:2] for line in done.splitlines()[1:4]] == [
        ["arm-1", "available"], ["pc-1", "available"], ["pc-2", "available"],
    ]  # fmt: skip
    assert "3 boards" in done
    grouped = run(lab, "top", "pc-1", "--group", "class", *options).splitlines()
    assert grouped[1].strip() == "pc · 1"
    assert [board["name"] for board in json.loads(run(lab, "top", "arm", "--json"))] == ["arm-1"]


def test_on_a_terminal_q_leaves_it_as_it_was(lab: SimulatedLab) -> None:
    """The program draws on the terminal it was started at, and ends well."""
    master, slave = pty.openpty()
    environment = {**os.environ, **lab.environment, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen([HOSTLER, "top"], stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    try:
        seen, end = b"", time.monotonic() + 60
        while b"pc-2" not in seen:
            assert time.monotonic() < end, seen
            seen += os.read(master, 65536)
        os.write(master, b"q")
        while process.poll() is None:
            assert time.monotonic() < end
            try:
                seen += os.read(master, 65536)
            except OSError:
                break
        assert process.wait(60) == 0
    finally:
        process.kill()
        os.close(master)
    assert b"\x1b[?1049l" in seen  # the other screen is left


def run(lab: SimulatedLab, *arguments: str) -> str:
    done = subprocess.run(
        [HOSTLER, *arguments], capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL, env={**os.environ, **lab.environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
