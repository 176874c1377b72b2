"""A QEMU board whose serial console a test reads and types on; plain emulation, no KVM."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

import pytest

MACHINES = {
    "amd64": ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max"],
    "arm64": ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57"],
    # Its console is the second UART.
    "raspberrypi3": ["qemu-system-aarch64", "-machine", "raspi3b", "-serial", "null"],
}
OVMF = Path("/usr/share/OVMF/OVMF_CODE.fd")
UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
_ESCAPE = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|[^\[])")


class Board:
    """Starts at once, is killed on leaving the context. Every wait has a deadline."""

    def __init__(self, arch: str, *arguments: str | Path) -> None:
        command = [*MACHINES[arch], "-accel", "tcg", "-m", "1024", "-smp", "2"]
        command += ["-display", "none", "-monitor", "none", "-no-reboot", "-serial", "stdio"]
        if shutil.which(command[0]) is None:
            pytest.fail(f"{command[0]} is not installed; scripts/setup test")
        self.seen = ""
        self._raw = ""
        self._looked = 0
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(10)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def expect(self, pattern: str, deadline: float) -> re.Match[str]:
        """Wait until the console shows ``pattern`` beyond what was matched before."""
        end = time.monotonic() + deadline
        assert self._process.stdout is not None
        while True:
            match = re.compile(pattern).search(self.seen, self._looked)
            if match:
                self._looked = match.end()
                return match
            left = end - time.monotonic()
            ready = left > 0 and select.select([self._process.stdout], [], [], left)[0]
            data = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if not data:
                why = "QEMU ended" if ready else f"not within {deadline:.0f} s"
                pytest.fail(f"console never showed {pattern!r} ({why}); its end:\n{self.seen[-3000:]}")
            self._take(data)

    def _take(self, data: bytes) -> None:
        # Firmware and shells paint with escape sequences, which may come in two reads; a test reads words.
        self._raw += data.decode(errors="replace")
        whole, escape, rest = self._raw.rpartition("\x1b")
        if escape and not _ESCAPE.match(escape + rest) and len(rest) < 16:
            self._raw = escape + rest
        else:
            whole, self._raw = self._raw, ""
        self.seen += _ESCAPE.sub("", whole)

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def wait(self, deadline: float) -> int:
        """Wait until the board has switched itself off."""
        assert self._process.stdout is not None
        end = time.monotonic() + deadline
        while self._process.poll() is None and time.monotonic() < end:
            if select.select([self._process.stdout], [], [], 0.2)[0]:
                self._take(os.read(self._process.stdout.fileno(), 65536))
        if self._process.poll() is None:
            pytest.fail(f"the board was still on after {deadline:.0f} s; its end:\n{self.seen[-3000:]}")
        return self._process.returncode


def login(board: Board, hostname: str, deadline: float) -> float:
    """Log in as root at the prompt, run a command; returns seconds from power-on to the prompt."""
    board.expect(rf"{hostname} login: ?", deadline)
    prompt = board.seconds
    board.type("root")
    board.expect("Password: ?", 60)
    board.type("hostler")
    board.expect(r"# ?$", 60)
    board.type("echo sum-$((40 + 2))-$(id -un)-$(uname -m)")
    board.expect(r"sum-42-root-(x86_64|aarch64)", 60)
    return prompt
