"""Boards whose boot ROM is served over USB by a program: ``rpiboot``, ``dfu-util``, ``uuu``, ``fastboot``.

Equipment: nothing. Binding: ``run`` (a list: program and arguments, no shell), optional ``environment`` (a
table of variables whose values are references to secrets), ``seconds`` (60: the longest time from power-on
until the program has done its work). It is started before the board has power, waits for its device as such
programs do, and brings up what then asks the network: a U-Boot, an iPXE, a kernel. Exit code 0 means done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hostler.drivers import program_table, settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused
from hostler.drivers.secrets import SecretReference
from hostler.drivers.tool import last_line, run_tool

_LONGEST_SECONDS = 86_400.0
"""A board may wait for its turn or for watts; from power-on the takeover's own deadline counts."""


@dataclass(frozen=True, slots=True)
class BootToolConfig:
    """The program of one board.

    Attributes:
        run: Program and arguments.
        environment: Variables it gets, and where their values are.
        seconds: Longest time from power-on until it has ended.
    """

    run: tuple[str, ...]
    environment: Mapping[str, SecretReference] = field(hash=False)
    seconds: float


class UsbBootTool:
    """A program that boots a board over USB; see BootToolConfig."""

    def __init__(self, config: BootToolConfig) -> None:
        self.config = config
        self.seconds = config.seconds

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> UsbBootTool:
        """Make the driver from the table described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment)
        settings.only(binding, "run", "environment", "seconds")
        run = program_table.arguments(binding, "run")
        if not run:
            raise DriverConfigError("run", "is missing")
        return cls(
            BootToolConfig(
                run, program_table.environment(binding), settings.seconds(binding, "seconds", 60.0)
            )
        )

    async def boot(self) -> str:
        """Run the program; it is killed, with all it started, when this is cancelled."""
        argv = self.config.run
        environment = {name: reference.reveal() for name, reference in self.config.environment.items()}
        done = await run_tool(f"tool {argv[0]}", argv, _LONGEST_SECONDS, key="run", environment=environment)
        if done.code:
            raise EquipmentRefused(f"tool {argv[0]}: ended with {done.code}: {last_line(done.complaint, 2)}")
        return f"tool {argv[0]}: {last_line(done.output)}"
