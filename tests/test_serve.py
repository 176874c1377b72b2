"""Starting the server, and what it writes to the terminal it runs on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hostler.client.client import Client
from hostler.client.settings import Settings
from running_server import running_server

LAB = '[lab]\nname = "bench"\n[networks.boot]\ninterface = "eth9"\naddress = "10.9.0.1/24"\ndhcp = "off"\n'


def test_the_log_speaks_to_nobodys_terminal(tmp_path: Path) -> None:
    """What comes into a log line from outside cannot control a terminal, and lines stay lines."""
    code = (
        "import logging; from hostler.serve import _log_to_stderr; _log_to_stderr(); "
        "logging.getLogger('x').warning('%s', 'a\\x1b]0;owned\\x07\\x9bb\\ud800')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.stderr.endswith("WARNING x: a\ufffd]0;owned\ufffd\ufffdb\ufffd\n")


def test_a_slip_in_lab_toml_and_a_crash_take_no_lab_down(tmp_path: Path) -> None:
    """Restarted with a file that is wrong, the server serves the lab as it was and says what is wrong."""
    config = tmp_path / "lab.toml"
    config.write_text(LAB + '[classes.pc]\nplatform = "x86-bios"\n')
    state = tmp_path / "state"
    with running_server(state, "--config", str(config)) as server:
        token = server.token
        server.process.kill()
        server.process.wait(30)
    config.write_text(LAB + '[classes.pc]\nplatform = "x86-bois"\n')
    with running_server(state, "--config", str(config)) as server:
        server.wait_for("served as it was: .*x86-bois")
        with Client(Settings(server.url, token)) as client:
            assert [one["name"] for one in client.classes()] == ["pc"]


def test_a_first_start_with_a_wrong_lab_toml_is_refused(tmp_path: Path) -> None:
    """Where there is no lab yet, there is nothing to serve: the mistake is told, and no token is made."""
    config = tmp_path / "lab.toml"
    config.write_text(LAB + '[classes.pc]\nplatform = "x86-bois"\n')
    done = subprocess.run(
        [
            sys.executable, "-m", "hostler.cli.main", "serve", "--listen", "127.0.0.1:0",
            "--state", str(tmp_path / "state"), "--config", str(config),
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "x86-bois" in done.stderr
    assert "token" not in done.stdout
