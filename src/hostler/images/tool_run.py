"""A tool of the system, run for as long as it is wanted: it ends with this process, or when called off."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BEAT_SECONDS = 0.1


class ToolTimeoutError(Exception):
    """A tool took longer than it may."""


def run_tool(
    command: Sequence[str | Path], seconds: float, beat: Callable[[], None], *, memory: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end, in the C locale; it is killed when this thread or process ends.

    Args:
        command: The program and its arguments.
        seconds: How long it may take.
        beat: Called all the while; what it raises ends the tool.
        memory: Bytes of address space it may have; None: any number.

    Raises:
        ToolTimeoutError: It took longer.
    """
    deadline = time.monotonic() + seconds
    bounded: list[str | Path] = ["setpriv", "--pdeathsig", "KILL", "--"]
    if memory is not None:
        bounded += ["prlimit", f"--as={memory}", "--"]
    with subprocess.Popen(
        [*bounded, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, errors="replace", env={**os.environ, "LC_ALL": "C"},
    ) as process:  # fmt: skip
        try:
            out = err = None
            while out is None and time.monotonic() < deadline:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    out, err = process.communicate(timeout=_BEAT_SECONDS)
                beat()
        finally:
            process.kill()
    if out is None or err is None:
        raise ToolTimeoutError(f"{Path(command[0]).name} took longer than {seconds:g} s")
    return subprocess.CompletedProcess([str(word) for word in command], process.returncode, out, err)
