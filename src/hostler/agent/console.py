"""What the agent says on the board's console: plain lines for people, marker lines for the console broker."""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from hostler.model.json import JSON

MARKER = "@hostler "
LOG_LINES = 40


class Console:
    """The console and the last lines said on it. Safe to use from any thread.

    Args:
        stream: Where to write; standard output unless given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._lock = threading.Lock()
        self._log: deque[str] = deque(maxlen=LOG_LINES)

    def say(self, text: str) -> None:
        """Print a line for people and remember it."""
        self._log.append(text)
        self._write(f"hostler: {text}")

    def mark(self, event: str, **data: JSON) -> None:
        """Print a marker line: ``hello``, ``step``, ``done``, ``fail`` or ``lost``, with its data."""
        self._write(MARKER + json.dumps({"event": event, **data}))

    def last_lines(self) -> list[str]:
        """Return what was said since ``forget``, at most the last 40 lines."""
        return list(self._log)

    def forget(self) -> None:
        """Begin a new log; the next step is not to be blamed with the lines of the last."""
        self._log.clear()

    def _write(self, line: str) -> None:
        # One write for the whole line, so that the kernel's own messages come before or after it, not within.
        with self._lock:
            self._stream.write(line.replace("\n", " ") + "\n")
            self._stream.flush()
