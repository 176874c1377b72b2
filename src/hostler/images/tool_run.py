"""A tool of the system, run for as long as it is wanted: it ends with this process, or when called off."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_BEAT_SECONDS = 0.1
_SYSTEM_PLACES = "/usr/sbin:/sbin:/usr/bin:/bin"  # a user's PATH may lack the first two


class ToolTimeoutError(Exception):
    """A tool took longer than it may."""


def find_tool(program: str) -> str | None:
    """Return where a program of the system is, those for its administrator too; None: nowhere."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PLACES}")


def run_tool(
    command: Sequence[str | Path], seconds: float, beat: Callable[[], None], *, memory: int | None = None,
    stdin: str = "", environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a tool to its end, in the C locale; it is killed when this thread or process ends.

    Args:
        command: The program and its arguments.
        seconds: How long it may take.
        beat: Called all the while; what it raises ends the tool.
        memory: Bytes of address space it may have; None: any number.
        stdin: What it reads.
        environment: Variables set over those of this process.

    Raises:
        ToolTimeoutError: It took longer.
    """
    deadline = time.monotonic() + seconds
    bounded: list[str | Path] = ["setpriv", "--pdeathsig", "KILL", "--"]
    if memory is not None:
        bounded += ["prlimit", f"--as={memory}", "--"]
    with subprocess.Popen(
        [*bounded, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, errors="replace", env={**os.environ, "LC_ALL": "C", **(environment or {})},
    ) as process:  # fmt: skip
        try:
            out = err = None
            words: str | None = stdin
            while out is None and time.monotonic() < deadline:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    # It is sent once; a call after one that ran into its timeout goes on sending.
                    words, sent = None, words
                    out, err = process.communicate(sent, timeout=_BEAT_SECONDS)
                beat()
        finally:
            process.kill()
    if out is None or err is None:
        raise ToolTimeoutError(f"{Path(command[0]).name} took longer than {seconds:g} s")
    return subprocess.CompletedProcess([str(word) for word in command], process.returncode, out, err)
