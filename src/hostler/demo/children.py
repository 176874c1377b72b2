"""The server and the virtual lab as children that end with the demo, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from hostler.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_STOP_SECONDS = 20.0
_TOKEN = re.compile(r"hst_[A-Za-z0-9_-]{20,}")


class ChildEndedError(ClientError):
    """A process the demo needs has ended, or never became ready; the text ends with its last lines."""


class Child:
    """One ``hostler`` process whose output goes to a log, without the tokens in it.

    Start it in the thread that lives as long as the demo: the kernel ends the child with that thread.

    Args:
        name: What it is called in messages.
        arguments: Of ``hostler``.
        log: Where its output goes.
        rights: Options of ``setpriv`` that take rights away from it.

    Attributes:
        name: What it is called in messages.
        tokens: Tokens it has printed.
    """

    def __init__(self, name: str, arguments: list[str], log: Path, rights: Sequence[str] = ()) -> None:
        self.name = name
        self.tokens: list[str] = []
        self._log = log
        self._last: deque[str] = deque(maxlen=30)
        self._news = threading.Condition()
        log.parent.mkdir(parents=True, exist_ok=True)
        # The kernel sends SIGTERM when we die of whatever, kill -9 included.
        self._process = subprocess.Popen(
            [
                *("setpriv", *rights, "--pdeathsig", "TERM", "--"),
                *(sys.executable, "-m", "hostler.cli.main", *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # what it prints is to be seen at once
            start_new_session=True,  # Ctrl-C is for the demo, which then stops them in order
        )
        self._reader = threading.Thread(target=self._copy, name=f"{name}-log", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self._process.poll() is None

    def last_lines(self) -> list[str]:
        """Return the last lines it printed."""
        with self._news:
            return list(self._last)

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Wait until it is ready; raises ChildEndedError when it ends or takes too long."""
        end = time.monotonic() + seconds
        while not ready():
            if not self.alive():
                self._reader.join(2)
                raise self.trouble(f"{self.name} ended with status {self._process.returncode}")
            if time.monotonic() > end:
                raise self.trouble(f"{self.name}: {what} did not happen within {seconds:.0f} s")
            with self._news:
                self._news.wait(0.1)

    def printed(self, pattern: str) -> bool:
        """Tell whether a line among the last ones matches."""
        return any(re.search(pattern, line) for line in self.last_lines())

    def trouble(self, text: str) -> ChildEndedError:
        """Return an error that ends with the last lines of the log."""
        lines = "".join(f"\n  | {line}" for line in self.last_lines()[-15:])
        return ChildEndedError(f"{text}; its log is {self._log}{lines}")

    def stop(self) -> None:
        """End it: kindly, and after a while not."""
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
        self._reader.join(2)

    def _copy(self) -> None:
        assert self._process.stdout is not None
        with self._log.open("w", encoding="utf-8") as log:
            for line in self._process.stdout:
                found = _TOKEN.findall(line)
                text = _TOKEN.sub("hst_…", line)
                log.write(text)
                log.flush()
                with self._news:
                    self.tokens += found
                    self._last.append(text.rstrip("\n"))
                    self._news.notify_all()
