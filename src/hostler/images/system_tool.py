"""Programs of the system that make disks and file systems: each failure says which, and in whose words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hostler.images.store_errors import StoreFullError
from hostler.images.tool_run import ToolTimeoutError, find_tool, run_tool
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

_SECONDS = 3 * 3600.0


class ToolError(Exception):
    """A program is missing, failed or took too long; the text says which and what to do."""


class Tool(Protocol):
    """What runs programs; see ``SystemTool``."""

    def __call__(
        self,
        package: str,
        program: str,
        *arguments: str | Path,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> object:
        """Run a program to its end."""
        ...


class SystemTool:
    """Runs programs of the system.

    Args:
        beat: Called all the while; what it raises ends the program.
    """

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat

    def __call__(
        self,
        package: str,
        program: str,
        *arguments: str | Path,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        good: Collection[int] = (0,),
    ) -> str:
        """Run a program to its end.

        Args:
            package: Debian's, which has it.
            program: Its name.
            arguments: Its arguments.
            stdin: What it reads.
            environment: Variables set over those of this process.
            good: Exit statuses that are no failure.

        Returns:
            What it wrote to standard error.

        Raises:
            ToolError: It is missing, failed or took longer than three hours.
            StoreFullError: It said that there is no space left.
        """
        place = find_tool(program)
        if place is None:
            raise ToolError(f"this needs {program} on the server: apt install {package}")
        try:
            done = run_tool([place, *arguments], _SECONDS, self._beat, stdin=stdin, environment=environment)
        except ToolTimeoutError as error:
            raise ToolError(str(error)) from None
        if done.returncode not in good:
            said = f"{done.stderr.strip()} {done.stdout.strip()}"
            if "No space left" in said:
                raise StoreFullError(f"{program}: no space left beside the image store; nothing was kept")
            raise ToolError(f"{program} failed with status {done.returncode}: {printable(said[-300:], 300)}")
        return done.stderr
