"""The real ``hostler serve`` in a process of its own, and what it printed."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass
class RunningServer:
    """A server that answers.

    Attributes:
        process: Ends with the block.
        state: Its state directory.
        url: As it printed it.
        token: The admin's; empty when it was printed at an earlier start.
        fingerprint: Of its certificate authority; empty without one.
        lines: All it has said so far, both streams.
    """

    process: subprocess.Popen[str]
    state: Path
    url: str = ""
    token: str = ""
    fingerprint: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port it serves on."""
        return int(self.url.rpartition(":")[2])

    @property
    def ca(self) -> Path:
        """The certificate it hands out."""
        return self.state / "tls/ca.pem"

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait until it has said something."""
        end = time.monotonic() + seconds
        while True:
            if match := re.search(pattern, "\n".join(self.lines)):
                return match
            assert time.monotonic() < end, f"{pattern} was not said: {self.lines}"
            assert self.process.poll() is None, self.lines
            time.sleep(0.02)


@contextmanager
def running_server(
    state: Path, *arguments: str, listen: str = "127.0.0.1:0", before: Sequence[str] = ()
) -> Iterator[RunningServer]:
    """Run a server until the block ends; ``before`` is put before its command line."""
    command = [*before, sys.executable, "-m", "hostler.cli.main", "serve"]
    with subprocess.Popen(
        [*command, "--state", str(state), "--listen", listen, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        server = RunningServer(process, state)

        def listen_to() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                server.lines.append(line.rstrip("\n"))

        reader = threading.Thread(target=listen_to, daemon=True)
        reader.start()
        try:
            server.url = server.wait_for(r"hostler serves (\S+)")[1]
            server.wait_for("Started server process")
            said = "\n".join(server.lines)
            server.token = next(iter(re.findall(r"hst_\S+", said)), "")
            server.fingerprint = next(iter(re.findall(r"SHA256:[0-9A-F:]+", said)), "")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(5)
