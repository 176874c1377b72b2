"""Whatever a program can reach: conserver's and conman's clients, ``virsh console``, a vendor's tool.

Equipment: optional ``timeout`` (seconds). Binding: ``command = ["virsh", "console", "board7"]``: program and
arguments, run without a shell on a terminal of its own; what it prints is what the board says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import program_table, settings
from hostler.drivers.console.program import ProgramStream, start
from hostler.drivers.errors import DriverConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class CommandConsoleConfig:
    """One program that is one line.

    Attributes:
        command: Program and arguments.
        timeout: Deadline in seconds of the program taking what is written.
    """

    command: tuple[str, ...]
    timeout: float


class CommandConsole:
    """Opens the line; see CommandConsoleConfig."""

    def __init__(self, config: CommandConsoleConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> CommandConsole:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "timeout")
        settings.only(binding, "command")
        command = program_table.arguments(binding, "command")
        if not command:
            raise DriverConfigError("command", "is missing")
        return cls(CommandConsoleConfig(command, settings.seconds(equipment, "timeout", 5.0)))

    async def open(self) -> ProgramStream:
        """Start the program; one that fails says why on the console.

        Raises:
            DriverConfigError: There is no such program.
        """
        return await start(str(self), self.config.command, self.config.timeout, key="command")

    def __str__(self) -> str:
        return f"console of {self.config.command[0]}"
