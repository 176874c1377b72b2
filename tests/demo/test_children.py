"""The demo's child processes: their tokens, their logs, their end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hostler.client.client import Client
from hostler.client.settings import Settings
from hostler.client.waiting import wait_healthy
from hostler.demo.children import Child, ChildEndedError
from hostler.demo.lab import free_ports

PARENT = """
import sys, time
from pathlib import Path
from hostler.demo.children import Child
child = Child("server", sys.argv[2:], Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(60)
"""


def serve(state: Path) -> tuple[list[str], str]:
    listen = f"127.0.0.1:{free_ports(state).consoles[0]}"
    return ["serve", "--state", str(state / "server"), "--listen", listen], f"http://{listen}"


def test_the_token_is_taken_and_not_logged(tmp_path: Path) -> None:
    """The token a server prints opens it, and its log does not have it; stopping ends the process."""
    arguments, url = serve(tmp_path)
    child = Child("server", arguments, tmp_path / "server.log")
    try:
        child.wait_until(lambda: bool(child.tokens), seconds=60, what="a token")
        with Client(Settings(url, child.tokens[0])) as client:
            wait_healthy(client, seconds=60, alive=child.alive)
            assert client.boards() == []
    finally:
        child.stop()
    assert not child.alive()
    log = (tmp_path / "server.log").read_text()
    assert child.tokens[0] not in log
    assert "hst_…" in log


def test_a_child_that_ends_is_told_with_its_last_lines(tmp_path: Path) -> None:
    """Waiting for a process that has ended stops at once and shows what it said."""
    child = Child("server", ["serve", "--listen", "nowhere"], tmp_path / "server.log")
    with pytest.raises(ChildEndedError, match=r"(?s)ended with status 1.*HOST:PORT"):
        child.wait_until(lambda: False, seconds=60, what="anything")


def test_children_end_with_a_killed_demo(tmp_path: Path) -> None:
    """After kill -9 of the demo its children end by themselves."""
    arguments, _ = serve(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "server.log"), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        end = time.monotonic() + 30
        log = tmp_path / "server.log"
        while "hostler serves" not in (log.read_text() if log.exists() else ""):
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
    end = time.monotonic() + 15
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < end, "the child outlived the demo"
        time.sleep(0.05)
