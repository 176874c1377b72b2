"""Tools that do not outlive who wants them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hostler.images.tool_run import ToolTimeoutError, run_tool

LONG = "echo $$ > pid.new; mv pid.new pid; exec sleep 3600"


def gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has asked about yet counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(condition: object, seconds: float = 60.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_tool_ends_when_it_is_called_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the beat raises comes out, and the tool is gone by then."""
    monkeypatch.chdir(tmp_path)

    def beat() -> None:
        if Path("pid").exists():
            raise KeyError("called off")

    with pytest.raises(KeyError, match="called off"):
        run_tool(["sh", "-c", LONG], 3600, beat)
    assert gone(int(Path("pid").read_text()))


def test_a_tool_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes longer is named; of others the output and the status are told."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ToolTimeoutError, match="sh took longer than 0 s"):
        run_tool(["sh", "-c", LONG], 0, lambda: None)
    done = run_tool(["sh", "-c", "echo out; echo err >&2; exit 3"], 60, lambda: None)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_a_tool_dies_with_its_process(tmp_path: Path) -> None:
    """Also when that is killed outright."""
    code = (
        f"from hostler.images.tool_run import run_tool; run_tool(['sh', '-c', {LONG!r}], 3600, lambda: None)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) as process:
        wait_for((tmp_path / "pid").exists)
        tool = int((tmp_path / "pid").read_text())
        assert not gone(tool)
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: gone(tool))
