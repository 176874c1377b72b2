"""Running somebody's command line tool: by argument list, with a hard end and nothing inherited."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers.errors import DriverConfigError, DriverTimeout
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INHERITED = ("PATH", "HOME")
_MOST_BYTES = 65536  # of output; the rest is read and dropped
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # ECMA-48 control sequences


@dataclass(frozen=True, slots=True)
class Finished:
    """What a tool left behind.

    Attributes:
        code: Its exit code; negative when a signal ended it.
        output: What it printed, without white space around.
        complaint: What it said on standard error; the output where it said nothing there.
    """

    code: int
    output: str
    complaint: str


async def run_tool(
    name: str,
    argv: Sequence[str],
    seconds: float,
    *,
    key: str = "driver",
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program without a shell, terminal, or any variable but PATH, HOME and those given.

    Args:
        name: The equipment, for messages.
        argv: Program and arguments.
        seconds: When it is killed, with all it started.
        key: The configuration key to blame when there is no such program.
        environment: Its secrets.

    Raises:
        DriverConfigError: There is no such program, or it may not be run.
        DriverTimeout: It did not end in time.
    """
    inherited = {variable: os.environ[variable] for variable in _INHERITED if variable in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**inherited, "LC_ALL": "C.UTF-8", **(environment or {})},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise DriverConfigError(key, f"cannot run {argv[0]}: {error}; is it installed?") from error
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(seconds):
            output, complaint, code = await asyncio.gather(
                _text(process.stdout), _text(process.stderr), process.wait()
            )
    except TimeoutError as error:
        await _kill(process)
        raise DriverTimeout(f"{name}: {argv[0]} did not end within {seconds:g} s") from error
    except asyncio.CancelledError:
        await _kill(process)
        raise
    return Finished(code, output, complaint or output)


async def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await process.wait()


async def _text(stream: asyncio.StreamReader) -> str:
    kept = b""
    while piece := await stream.read(_MOST_BYTES):
        kept += piece[: _MOST_BYTES - len(kept)]
    return kept.decode(errors="replace").strip()


def last_line(text: str, lines: int = 1) -> str:
    """Return the last line, where most tools say what went wrong; "no word" when there is none.

    Some colour their words even when no terminal is there.

    Args:
        text: What a tool said.
        lines: How many of its last lines, for tools that say the reason in the line before.
    """
    said = [line for line in (_COLOURS.sub("", line).strip() for line in text.splitlines()) if line]
    return printable("; ".join(said[-lines:]), 300) or "no word"
