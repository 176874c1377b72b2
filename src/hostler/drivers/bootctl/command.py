"""Whatever a program of yours can do: one that is run before a network boot, one before a local boot.

Equipment: ``network`` and ``disk`` (lists: program and arguments, no shell; one of them may be left out, and
then there is nothing to do), optional ``environment`` (a table of variables whose values are references to
secrets), ``timeout``. Binding: optional ``name``, which replaces ``{name}`` in the arguments. Without
equipment all in the binding.

Exit code 0 means done, anything else that it was refused. The board has no power while they run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hostler.drivers import program_table, settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused
from hostler.drivers.secrets import SecretReference
from hostler.drivers.tool import last_line, run_tool
from hostler.model.boot import BootTarget

_KEYS = ("network", "disk", "environment", "timeout")


@dataclass(frozen=True, slots=True)
class BootCommandConfig:
    """The programs of one board.

    Attributes:
        network: Program and arguments that have it boot from the network; empty: nothing to do.
        disk: Program and arguments that have it boot by itself again; empty: nothing to do.
        environment: Variables the programs get, and where their values are.
        timeout: Deadline of a call in seconds; the program and all it started are killed then.
    """

    network: tuple[str, ...]
    disk: tuple[str, ...]
    environment: Mapping[str, SecretReference] = field(hash=False)
    timeout: float


class BootCommand:
    """Where a board boots from, told by programs; see BootCommandConfig."""

    def __init__(self, config: BootCommandConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> BootCommand:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, *_KEYS)
        settings.only(binding, "name", *(() if equipment else _KEYS))
        table = equipment or binding
        name = settings.text(binding, "name") if "name" in binding else ""
        if name.startswith("-"):
            raise DriverConfigError("name", f'must be a name without "-" before, not {name!r}')
        config = BootCommandConfig(
            network=_arguments(table, "network", name),
            disk=_arguments(table, "disk", name),
            environment=program_table.environment(table),
            timeout=settings.seconds(table, "timeout", 8.0),
        )
        if not config.network:
            raise DriverConfigError("network", "is missing")
        return cls(config)

    async def direct(self, target: BootTarget) -> str:
        """Run the program for it."""
        argv = self.config.network if target is BootTarget.NETWORK else self.config.disk
        if not argv:
            return f"no command for {target}"
        environment = {name: reference.reveal() for name, reference in self.config.environment.items()}
        done = await run_tool(
            f"command {argv[0]}", argv, self.config.timeout, key=str(target), environment=environment
        )
        if done.code:
            raise EquipmentRefused(
                f"command {argv[0]} ({target}): ended with {done.code}: {last_line(done.complaint)}"
            )
        return f"command {argv[0]}: {last_line(done.output)}"


def _arguments(table: Mapping[str, object], key: str, name: str) -> tuple[str, ...]:
    argv = program_table.arguments(table, key)
    if not name and any("{name}" in part for part in argv):
        raise DriverConfigError("name", f"is missing, although {key} names {{name}}")
    return tuple(part.replace("{name}", name) for part in argv)
