"""Run the programs a build is made of: each with a deadline, each failure with its last words."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING

from hostler.build.errors import SpaceError, ToolFailedError, ToolMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_TAIL_LINES = 15
# Users' PATH often lacks the directories of mke2fs and sfdisk.
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def find(program: str, package: str) -> str:
    """The path of ``program``.

    Raises:
        ToolMissingError: It is not installed; the message names the Debian package.
    """
    path = os.environ.get("PATH", os.defpath) + ":" + _SYSTEM_PATH
    found = shutil.which(program, path=path)
    if found is None:
        raise ToolMissingError(f'"{program}" is not installed; install the Debian package "{package}"')
    return found


def run(
    command: Sequence[str | Path],
    *,
    deadline: float,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdin: bytes = b"",
) -> bytes:
    """Run ``command`` to its end and return what it wrote to standard output.

    Args:
        command: Program and arguments.
        deadline: Seconds until it and its children are killed.
        environment: Variables set over those of this process; messages are always in English.
        directory: Where it runs.
        stdin: What it reads.

    Raises:
        ToolMissingError: The program is not there.
        ToolFailedError: Exit status not 0, or the deadline passed.
        SpaceError: It said that the device is full.
    """
    words = [str(word) for word in command]
    variables = dict(os.environ) | {"LC_ALL": "C.UTF-8"} | dict(environment or {})
    # stderr goes to a file so that a grandchild that keeps it open cannot hold us beyond the deadline.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=variables,
                cwd=directory,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ToolMissingError(f'"{words[0]}" is not installed') from error
        try:
            process.communicate(input=stdin or None, timeout=deadline)
        except subprocess.TimeoutExpired:
            _kill(process)
            errors.seek(0)
            raise ToolFailedError(
                f"{words[0]} did not end within {deadline:.0f} s{_tail(errors.read())}"
            ) from None
        except BaseException:
            _kill(process)
            raise
        errors.seek(0)
        output.seek(0)
        said, result = errors.read(), output.read()
    if process.returncode != 0:
        text = said if said.strip() else result
        if b"No space left on device" in text:
            raise SpaceError(f"{words[0]}: no space left on the device{_tail(text)}")
        raise ToolFailedError(f"{words[0]} failed with status {process.returncode}{_tail(text)}")
    return result


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()[-_TAIL_LINES:]
    return "".join(f"\n  {line}" for line in lines)
