"""Somebody at a terminal of their own who runs ``hostler console pc-1``."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulated_lab import SimulatedLab

HOSTLER = str(Path(sys.executable).parent / "hostler")


def environment(lab: SimulatedLab) -> dict[str, str]:
    """Return what a command at a terminal finds."""
    return {**os.environ, **lab.environment, "TERM": "vt100"}


class Person:
    """Somebody at a terminal of their own who runs ``hostler console pc-1``."""

    def __init__(self, lab: SimulatedLab, *arguments: str) -> None:
        self.terminal, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [HOSTLER, "console", "pc-1", *arguments],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=environment(lab),
        )

    def type(self, data: bytes) -> None:
        os.write(self.terminal, data)

    def see(self, wanted: bytes, seconds: float = 60) -> None:
        """Read until something shows on the terminal after what was seen last."""
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            assert time.monotonic() < end, f"{wanted!r} not in {self.seen!r}"
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.seen += os.read(self.terminal, 4096)
        self.seen = self.seen.partition(wanted)[2]

    def leave(self) -> int:
        """Wait for the end of the command and check that the terminal is as it was."""
        end = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.terminal], [], [], 0.05)[0]:
                self.seen += os.read(self.terminal, 4096)
        status = self.process.poll()
        assert status is not None
        assert termios.tcgetattr(self.slave) == self.before
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)
        os.close(self.slave)
