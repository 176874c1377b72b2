"""A program on a terminal as a console stream: what describes itself as a console client, and SOL."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from hostler.drivers.console.terminal import TerminalStream, make_raw
from hostler.drivers.errors import DriverConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INHERITED = ("PATH", "HOME")
_END_SECONDS = 1.0
"""How long a program may take to end by itself."""


class ProgramStream(TerminalStream):
    """A running program and the terminal it is on; both end together. Made by ``start``."""

    def __init__(
        self, name: str, descriptor: int, timeout: float, process: asyncio.subprocess.Process
    ) -> None:
        super().__init__(name, descriptor, timeout)
        self._process = process

    async def close(self) -> None:
        """End the program and what it started."""
        if self._closing.is_set():
            return
        await super().close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await self._process.wait()


async def start(
    name: str,
    argv: Sequence[str],
    timeout: float,  # noqa: ASYNC109 - of writing, later
    *,
    key: str = "driver",
    environment: Mapping[str, str] | None = None,
) -> ProgramStream:
    """Run a program on a new raw terminal, with no variable but PATH, HOME, TERM and those given.

    Args:
        name: Names the line in messages.
        argv: Program and arguments; there is no shell.
        timeout: Deadline in seconds of the program taking what is written.
        key: The configuration key to blame when there is no such program.
        environment: Its secrets: arguments are seen by every user.

    Raises:
        DriverConfigError: There is no such program, or it may not be run.
    """
    inherited = {variable: os.environ[variable] for variable in _INHERITED if variable in os.environ}
    ours, theirs = pty.openpty()
    try:
        os.set_inheritable(ours, False)
        os.set_blocking(ours, False)
        make_raw(theirs)
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**inherited, "LC_ALL": "C.UTF-8", "TERM": "dumb", **(environment or {})},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        os.close(ours)
        raise DriverConfigError(key, f"cannot run {argv[0]}: {error}; is it installed?") from error
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return ProgramStream(name, ours, timeout, process)
