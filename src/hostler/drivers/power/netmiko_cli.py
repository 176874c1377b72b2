r"""PoE of any switch that netmiko knows how to log in to: some hundred makes, each with its own manners.

Needs netmiko (``pip install 'hostler[netmiko]'``). Equipment: ``device_type`` (netmiko's name of the make, as
``cisco_ios`` or ``hp_procurve``; those ending in ``_telnet`` use telnet), ``host``, ``user``, ``password`` (a
reference), with ssh ``known_hosts`` (a file, or ``any``); optional ``enable_password`` (a reference),
``timeout``, ``min_off_seconds``; and what to say, with ``{port}`` for the port::

    on = ["interface {port}", "power inline auto"]      # said in configuration mode
    off = ["interface {port}", "power inline never"]
    get = "show power inline {port}"                    # said at the prompt; without it nothing is read back
    row = '^{port} .*$'                                 # the line that tells of the port; without it all
    reads_on = '\bon\b'                                 # looked for in that line
    reads_off = '\b(off|faulty)\b'
    refused = '(?m)^% '                                 # an answer that is a refusal

Binding: ``port``, as the switch names it. Nothing is saved on the switch.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostler.drivers import settings
from hostler.drivers.errors import (
    DriverConfigError,
    DriverTimeout,
    EquipmentRefused,
    EquipmentUnreachable,
    UnknownPort,
)
from hostler.drivers.power.answers import shown
from hostler.drivers.power.calls import deadline, wants_on
from hostler.drivers.secrets import SecretReference
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_REFUSED = r"(?im)^[^\r\n]*(?:% |\berror:|invalid (?:input|command)|unknown command|incomplete command)"
_KEYS = ("device_type", "host", "user", "password", "known_hosts", "enable_password")
_TALK = ("on", "off", "get", "row", "reads_on", "reads_off", "refused")


@dataclass(frozen=True, slots=True)
class NetmikoConfig:
    """One port of one switch.

    Attributes:
        device_type: netmiko's name of the make and the way in.
        host: Name or address.
        port: TCP port.
        user: Who to log in as.
        password: Where the password is.
        enable_password: Where the one for ``enable`` is, if the switch asks for it.
        known_hosts: File of ssh host keys; empty: whoever answers gets the password.
        on: Lines that switch the port on.
        off: Lines that switch it off.
        get: Line whose output tells of it; empty where nothing can be read.
        row: Finds the port's line in it; empty to look at everything.
        reads_on: Found in the row when the port delivers power.
        reads_off: Found in the row when it does not.
        refused: Found in an answer that is a refusal.
        outlet: The port's name on the switch.
        timeout: Deadline of a call in seconds, login included.
        min_off_seconds: Time without power that surely resets a board behind it.
    """

    device_type: str
    host: str
    port: int
    user: str
    password: SecretReference
    enable_password: SecretReference | None
    known_hosts: str
    on: tuple[str, ...]
    off: tuple[str, ...]
    get: str
    row: str
    reads_on: str
    reads_off: str
    refused: str
    outlet: str
    timeout: float
    min_off_seconds: float


class Netmiko:
    """One port; see NetmikoConfig."""

    def __init__(self, config: NetmikoConfig) -> None:
        self.config = config
        self._turn = asyncio.Lock()
        self.capabilities = PowerCapabilities(
            can_read=bool(config.get), min_off_seconds=config.min_off_seconds
        )

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Netmiko:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "timeout", "min_off_seconds", *_KEYS, *_TALK)
        settings.only(binding, "port")
        device_type = settings.text(equipment, "device_type")
        telnet = device_type.endswith("_telnet")
        host, port = settings.address(equipment, "host", default_port=23 if telnet else 22)
        known_hosts = "any" if telnet else settings.text(equipment, "known_hosts")
        enable = equipment.get("enable_password")
        outlet = (
            str(binding["port"]) if isinstance(binding.get("port"), int) else settings.text(binding, "port")
        )
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9/:._-]*", outlet):
            raise DriverConfigError("port", f"must be a port's name, not {outlet!r}")
        get = settings.text(equipment, "get") if "get" in equipment else ""
        for key in ("reads_on", "reads_off"):
            if (key in equipment) != bool(get):
                raise DriverConfigError(key, "and get go together: what is read must be told from its words")
        return cls(
            NetmikoConfig(
                device_type=device_type,
                host=host,
                port=port,
                user=settings.text(equipment, "user"),
                password=SecretReference.parse("password", equipment.get("password")),
                enable_password=None if enable is None else SecretReference.parse("enable_password", enable),
                known_hosts="" if known_hosts == "any" else known_hosts,
                on=_lines(equipment, "on"),
                off=_lines(equipment, "off"),
                get=get,
                row=_pattern(equipment, "row"),
                reads_on=_pattern(equipment, "reads_on"),
                reads_off=_pattern(equipment, "reads_off"),
                refused=_pattern(equipment, "refused") or _REFUSED,
                outlet=outlet,
                timeout=settings.seconds(equipment, "timeout", 9.5),
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 2.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Say the lines for on or off in configuration mode; the answer is looked at for a refusal."""
        lines = self.config.on if wants_on(state) else self.config.off

        def say(connection: Any) -> str:
            if self.config.enable_password is not None or not connection.check_enable_mode():
                connection.enable()
            return str(connection.send_config_set([self._line(line) for line in lines]))

        self._refuse(await self._connected(say))

    async def get(self) -> PowerReading:
        """Read the port's line in the switch's table."""
        config = self.config
        if not config.get:
            return PowerReading(PowerState.UNKNOWN, None, "cannot be read")

        def ask(connection: Any) -> str:
            if not connection.check_enable_mode():
                connection.enable()
            return str(connection.send_command(self._line(config.get), read_timeout=config.timeout))

        output = await self._connected(ask)
        self._refuse(output)
        row = output
        if config.row:
            found = re.search(config.row.replace("{port}", re.escape(config.outlet)), output, re.MULTILINE)
            if found is None:
                raise UnknownPort(f"{self}: tells nothing of port {config.outlet}: {shown(output)}")
            row = found[0]
        words = shown(" ".join(row.split()))
        if re.search(config.reads_on, row):
            return PowerReading(PowerState.ON, None, words)
        if re.search(config.reads_off, row):
            return PowerReading(PowerState.OFF, None, words)
        return PowerReading(PowerState.UNKNOWN, None, f"neither on nor off: {words}")

    async def _connected(self, talk: Callable[[Any], str]) -> str:
        """Log in, talk and log out in a thread of its own: netmiko blocks, and its own timeouts end it.

        One after another: it guesses from pauses when a switch has answered, and switches that serve several
        sessions at once make pauses where there are none.
        """
        # Not the loop's threads: a switch that hangs must not keep them from the rest of the server.
        thread = ThreadPoolExecutor(1, "netmiko")
        try:
            async with self._turn, deadline(str(self), self.config.timeout):
                return await asyncio.get_running_loop().run_in_executor(thread, self._talk, talk)
        finally:
            thread.shutdown(wait=False)

    def _talk(self, talk: Callable[[Any], str]) -> str:
        try:
            import netmiko  # late: a second that only labs with such switches pay
        except ImportError:
            raise DriverConfigError(
                "driver", "needs netmiko; install it with: pip install 'hostler[netmiko]'"
            ) from None
        config = self.config
        if config.device_type not in netmiko.platforms:
            raise DriverConfigError("device_type", f'netmiko knows no "{config.device_type}"')
        ssh = {} if config.device_type.endswith("_telnet") else {
            "ssh_strict": bool(config.known_hosts),
            "alt_host_keys": bool(config.known_hosts),
            "alt_key_file": config.known_hosts,
            "allow_agent": False,
        }  # fmt: skip
        try:
            with netmiko.ConnectHandler(
                device_type=config.device_type,
                host=config.host,
                port=config.port,
                username=config.user,
                password=config.password.reveal(),
                secret=config.enable_password.reveal() if config.enable_password else "",
                conn_timeout=config.timeout,
                auth_timeout=config.timeout,
                banner_timeout=config.timeout,
                read_timeout_override=config.timeout,
                **ssh,
            ) as connection:
                return talk(connection)
        except netmiko.NetmikoAuthenticationException as error:
            raise EquipmentRefused(
                f"{self}: lets user {config.user} not in with {config.password}"
            ) from error
        except netmiko.ReadTimeout as error:
            raise DriverTimeout(f"{self}: did not answer in time: {_first_line(error)}") from error
        except netmiko.NetmikoTimeoutException as error:
            raise EquipmentUnreachable(f"{self}: {_first_line(error)}") from error
        except (netmiko.NetmikoBaseException, OSError, EOFError, ValueError) as error:
            raise EquipmentRefused(f"{self}: {_first_line(error)}") from error

    def _line(self, line: str) -> str:
        return line.replace("{port}", self.config.outlet)

    def _refuse(self, output: str) -> None:
        found = re.search(self.config.refused, output)
        if found is not None:
            raise EquipmentRefused(f"{self}: says {shown(output[found.start() :].strip())}")

    def __str__(self) -> str:
        return f"{self.config.device_type} switch {self.config.host}:{self.config.port}"


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _pattern(table: Mapping[str, object], key: str) -> str:
    if key not in table:
        return ""
    text = settings.text(table, key)
    try:
        re.compile(text.replace("{port}", "1"))
    except re.error as error:
        raise DriverConfigError(key, f"is no regular expression: {error}") from error
    return text


def _lines(table: Mapping[str, object], key: str) -> tuple[str, ...]:
    lines = table.get(key)
    if not isinstance(lines, list) or not lines:
        raise DriverConfigError(key, "must be a list of lines to send")
    for line in lines:
        if not isinstance(line, str) or not line.isprintable():
            raise DriverConfigError(key, f"must hold one line of text each, not {line!r}")
    return tuple(lines)
