"""Whatever a program of yours can switch: a command for on, one for off, and one that tells what is.

Equipment: ``on`` and ``off`` (lists: program and arguments, no shell), optional ``status``, ``environment``
(a table of variables whose values are references to secrets), ``timeout``, ``min_off_seconds``. Binding:
optional ``outlet``, which replaces ``{outlet}`` in the arguments. Without equipment all in the binding.

Exit code 0 means done, anything else that it was refused. ``status`` prints ``on`` or ``off`` as its last
line; anything else is unknown. Without ``status`` nothing can be read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hostler.drivers import program_table, settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused
from hostler.drivers.power.calls import wants_on
from hostler.drivers.secrets import SecretReference
from hostler.drivers.tool import last_line, run_tool
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

_KEYS = ("on", "off", "status", "environment", "timeout", "min_off_seconds")
_STATES = {"on": PowerState.ON, "off": PowerState.OFF}


@dataclass(frozen=True, slots=True)
class CommandConfig:
    """The programs of one outlet.

    Attributes:
        on: Program and arguments that switch on.
        off: Program and arguments that switch off.
        status: Program and arguments that tell; empty where nothing can.
        environment: Variables the programs get, and where their values are.
        timeout: Deadline of a call in seconds; the program and all it started are killed then.
        min_off_seconds: Time without power that surely resets the board.
    """

    on: tuple[str, ...]
    off: tuple[str, ...]
    status: tuple[str, ...]
    environment: Mapping[str, SecretReference] = field(hash=False)
    timeout: float
    min_off_seconds: float


class Command:
    """A supply switched by programs; see CommandConfig."""

    def __init__(self, config: CommandConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(
            can_read=bool(config.status), min_off_seconds=config.min_off_seconds
        )

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Command:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, *_KEYS)
        table = equipment or binding
        settings.only(binding, "outlet", *(() if equipment else _KEYS))
        outlet = binding.get("outlet", "")
        if isinstance(outlet, bool) or not isinstance(outlet, str | int) or str(outlet).startswith("-"):
            raise DriverConfigError(
                "outlet", f'must be a number or a name without "-" before, not {outlet!r}'
            )
        for key in ("on", "off"):
            if key not in table:
                raise DriverConfigError(key, "is missing")
        config = CommandConfig(
            on=_arguments(table, "on", str(outlet)),
            off=_arguments(table, "off", str(outlet)),
            status=_arguments(table, "status", str(outlet)),
            environment=program_table.environment(table),
            timeout=settings.seconds(table, "timeout", 8.0),
            min_off_seconds=settings.seconds(table, "min_off_seconds", 5.0),
        )
        if "outlet" not in binding and _wants_outlet(table):
            raise DriverConfigError("outlet", "is missing, although the commands name {outlet}")
        return cls(config)

    async def set(self, state: PowerState) -> None:
        """Run the program for it."""
        key = "on" if wants_on(state) else "off"
        await self._run(key, self.config.on if key == "on" else self.config.off)

    async def get(self) -> PowerReading:
        """Run the program that tells; a failure of it is an error and never off."""
        if not self.config.status:
            return PowerReading(PowerState.UNKNOWN, None, "no status command")
        said = last_line(await self._run("status", self.config.status))
        return PowerReading(_STATES.get(said.lower(), PowerState.UNKNOWN), None, said)

    async def _run(self, key: str, argv: tuple[str, ...]) -> str:
        environment = {name: reference.reveal() for name, reference in self.config.environment.items()}
        done = await run_tool(
            f"command {argv[0]}", argv, self.config.timeout, key=key, environment=environment
        )
        if done.code:
            raise EquipmentRefused(
                f"command {argv[0]} ({key}): ended with {done.code}: {last_line(done.complaint)}"
            )
        return done.output


def _arguments(table: Mapping[str, object], key: str, outlet: str) -> tuple[str, ...]:
    return tuple(part.replace("{outlet}", outlet) for part in program_table.arguments(table, key))


def _wants_outlet(table: Mapping[str, object]) -> bool:
    lists = [value for key in ("on", "off", "status") if isinstance(value := table.get(key), list)]
    return any("{outlet}" in part for parts in lists for part in parts)
