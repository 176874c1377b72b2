r"""PoE of switches that are told by their command line, over ssh or telnet.

Equipment: ``host``, ``dialect`` (a row of DIALECTS, or ``described``), ``transport`` (``ssh`` or
``telnet``), ``user``, ``password`` (a reference), with ssh ``host_key`` (``SHA256:…`` or ``any``); optional
``enable_password``, ``old_ssh``, ``timeout``, ``min_off_seconds``. Binding: ``port``, a number as printed on
the switch, or its whole name (``1/0/3``, ``Gi1/0/3``).

``dialect = "described"`` describes any other in the equipment's table::

    on = ["enable", "configure", "interface {port}", "poe enable", "end"]
    off = ["enable", "configure", "interface {port}", "no poe enable", "end"]
    get = ["show poe {port}"]           # without it nothing can be read back
    row = '^{port} .*$'                 # the line that tells of the port; without it the whole output
    reads_on = '\bdelivering\b'         # looked for in that line
    reads_off = '\b(searching|disabled)\b'
    watts = '([0-9.]+) W'
    prompt = '[>#] ?$'
    refused = '(?m)^Error'

A line may be ``{ send = "enable", expect = 'really\? $' }`` where something else than the prompt follows.
``enable`` is left out where the prompt ends in ``#`` already. Nothing is saved: a
switch that loses power starts with the ports as they were when its configuration was last saved.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.cli_session import KEYS, PROMPT, CliAccess, cli_session
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, UnknownPort
from hostler.drivers.power.answers import shown
from hostler.drivers.power.calls import deadline, wants_on
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFUSED = r"(?im)^[^\r\n]*(?:error:|bad command|invalid|unknown command|incomplete command|not found|% )"
_NO_PORT = (
    r"(?i)(?:invalid|wrong|no such|bad) (?:port|interface|unit)|(?:port|interface)[^\r\n]* (?:not|out of)"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One line to send; ``expect`` is what follows instead of the prompt."""

    send: str
    expect: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between makes. ``{port}`` stands for the port's name.

    Attributes:
        on: Lines that switch a port's power on.
        off: Lines that switch it off.
        get: Lines whose output tells of the port; empty where nothing can be read.
        row: Finds the port's line in it; empty to look at everything.
        reads_on: Found in the row when the port delivers power.
        reads_off: Found in the row when it does not.
        watts: Its first group is the power drawn.
        prompt: What the switch ends every answer with.
        refused: Found in an answer that is a refusal.
        port_name: How a bare number becomes a port's name.
    """

    on: tuple[Step, ...]
    off: tuple[Step, ...]
    get: tuple[Step, ...] = ()
    row: str = ""
    reads_on: str = ""
    reads_off: str = ""
    watts: str = ""
    prompt: str = PROMPT
    refused: str = _REFUSED
    port_name: str = "{}"


def _steps(*lines: str) -> tuple[Step, ...]:
    return tuple(Step(line) for line in lines)


# swctrl of UniFi's own shell; "On Bad" is a port that is told to feed and finds nothing to feed.
_UNIFI_GET = _steps("swctrl poe show id {port}")
_UNIFI_ROW = r"(?m)^[ \t]*{port}[ \t].*$"
_UNIFI_ON, _UNIFI_OFF = r"\bOn[ \t]+Good\b", r"\b(?:Off|On)[ \t]+Bad\b"
_UNIFI_WATTS = r"\b(?:Good|Bad)[ \t]+([0-9.]+)"

DIALECTS = {
    "tp-link": Dialect(  # JetStream, Omada, Festa
        on=_steps("enable", "configure", "interface gigabitEthernet {port}", "power inline supply enable"),
        off=_steps("enable", "configure", "interface gigabitEthernet {port}", "power inline supply disable"),
        get=_steps("enable", "show power inline information interface gigabitEthernet {port}"),
        # Interface, Power(w), Current(mA), Voltage(v), PD-Class, Power-Status
        row=r"(?m)^[ \t]*[A-Za-z-]*{port}[ \t].*$",
        reads_on=r"(?i)[ \t]on[ \t\r]*$",
        reads_off=r"(?i)[ \t](?:off|overload|short\b.*|.*fault|nonstandard.*|.*voltage.*)[ \t\r]*$",
        watts=r"^[ \t]*\S+[ \t]+([0-9.]+)",
        port_name="1/0/{}",
    ),
    "unifi": Dialect(
        on=_steps("swctrl poe set auto id {port}"),
        off=_steps("swctrl poe set off id {port}"),
        get=_UNIFI_GET,
        row=_UNIFI_ROW,
        reads_on=_UNIFI_ON,
        reads_off=_UNIFI_OFF,
        watts=_UNIFI_WATTS,
    ),
    "unifi-fastpath": Dialect(  # firmware whose swctrl cannot set: through the switch's own telnet server
        on=_steps("telnet localhost", "enable", "configure", "interface 0/{port}", "poe opmode auto"),
        off=_steps("telnet localhost", "enable", "configure", "interface 0/{port}", "poe opmode shutdown"),
        get=_UNIFI_GET,
        row=_UNIFI_ROW,
        reads_on=_UNIFI_ON,
        reads_off=_UNIFI_OFF,
        watts=_UNIFI_WATTS,
    ),
    "ios": Dialect(
        on=_steps("enable", "configure terminal", "interface {port}", "power inline auto", "end"),
        off=_steps("enable", "configure terminal", "interface {port}", "power inline never", "end"),
        # Interface, Admin, Oper, Power (Watts), Device, Class, Max
        get=_steps("enable", "show power inline {port}"),
        row=r"(?m)^[ \t]*{port}[ \t].*$",
        reads_on=r"^[ \t]*\S+[ \t]+\S+[ \t]+on\b",
        reads_off=r"^[ \t]*\S+[ \t]+\S+[ \t]+(?:off|faulty|power-deny)\b",
        watts=r"^[ \t]*\S+[ \t]+\S+[ \t]+\S+[ \t]+([0-9.]+)",
    ),
}

_DESCRIBED = ("on", "off", "get", "row", "reads_on", "reads_off", "watts", "prompt", "refused")


@dataclass(frozen=True, slots=True)
class SwitchCliConfig:
    """One port of one switch.

    Attributes:
        access: How to get to its command line.
        dialect: What to say there.
        dialect_name: Its name, for messages.
        port: The port's name.
        timeout: Deadline of a call in seconds, login included.
        min_off_seconds: Time without power that surely resets a board behind it.
    """

    access: CliAccess
    dialect: Dialect
    dialect_name: str
    port: str
    timeout: float
    min_off_seconds: float


class SwitchCli:
    """One port; see SwitchCliConfig."""

    def __init__(self, config: SwitchCliConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(
            can_read=bool(config.dialect.get),
            min_off_seconds=config.min_off_seconds,
            watts=bool(config.dialect.watts),
        )

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> SwitchCli:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        name = settings.text(equipment, "dialect")
        if name != "described" and name not in DIALECTS:
            raise DriverConfigError(
                "dialect", f'there is no "{name}"; known: {", ".join(DIALECTS)}, described'
            )
        described = _DESCRIBED if name == "described" else ()
        settings.only(equipment, "dialect", "timeout", "min_off_seconds", *KEYS, *described)
        settings.only(binding, "port")
        dialect = _describe(equipment) if described else DIALECTS[name]
        return cls(
            SwitchCliConfig(
                access=CliAccess.parse(equipment),
                dialect=dialect,
                dialect_name=name,
                port=_port(dialect, binding),
                # Logging in takes old switches seconds; the queue above gives a call ten.
                timeout=settings.seconds(equipment, "timeout", 9.0),
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 2.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Say the lines for on or off; every answer is looked at for a refusal."""
        dialect = self.config.dialect
        await self._say(dialect.on if wants_on(state) else dialect.off)

    async def get(self) -> PowerReading:
        """Read the port's line in the switch's table."""
        dialect = self.config.dialect
        if not dialect.get:
            return PowerReading(PowerState.UNKNOWN, None, "cannot be read")
        output = await self._say(dialect.get)
        row = output
        if dialect.row:
            found = re.search(dialect.row.replace("{port}", re.escape(self.config.port)), output)
            if found is None:
                raise UnknownPort(f"{self}: tells nothing of port {self.config.port}: {shown(output)}")
            row = found[0]
        drawn = re.search(dialect.watts, row) if dialect.watts else None
        try:
            watts = float(drawn[1]) if drawn else None
        except (ValueError, IndexError):
            watts = None
        words = " ".join(row.split())
        if re.search(dialect.reads_on, row):
            return PowerReading(PowerState.ON, watts, shown(words))
        if re.search(dialect.reads_off, row):
            return PowerReading(PowerState.OFF, watts, shown(words))
        return PowerReading(PowerState.UNKNOWN, watts, f"neither on nor off: {shown(words)}")

    async def _say(self, steps: tuple[Step, ...]) -> str:
        config = self.config
        output = ""
        async with (
            deadline(str(self), config.timeout),
            cli_session(config.access, config.dialect.prompt) as session,
        ):
            for step in steps:
                if step.send == "enable" and session.privileged:
                    continue  # some let certain users in so, and refuse what is already done
                line = step.send.replace("{port}", config.port)
                output = (await session.run(line, step.expect)).removeprefix(line)
                if re.search(config.dialect.refused, output):
                    if re.search(_NO_PORT, output):
                        raise UnknownPort(f"{self}: at {line!r}: {shown(output.strip())}")
                    raise EquipmentRefused(f"{self}: at {line!r}: {shown(output.strip())}")
        return output

    def __str__(self) -> str:
        return f"{self.config.dialect_name} switch, {self.config.access}"


def _port(dialect: Dialect, binding: Mapping[str, object]) -> str:
    value = binding.get("port")
    if isinstance(value, int):
        return dialect.port_name.format(settings.whole_number(binding, "port", least=0, most=9999))
    port = settings.text(binding, "port")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9/:._-]*", port):
        raise DriverConfigError("port", f"must be a number or a port's name, not {port!r}")
    return port


def _describe(table: Mapping[str, object]) -> Dialect:
    def pattern(key: str, default: str = "") -> str:
        if key not in table:
            return default
        text = settings.text(table, key)
        try:
            re.compile(text.replace("{port}", "1"))
        except re.error as error:
            raise DriverConfigError(key, f"is no regular expression: {error}") from error
        return text

    dialect = Dialect(
        on=_read_steps(table, "on"),
        off=_read_steps(table, "off"),
        get=_read_steps(table, "get") if "get" in table else (),
        row=pattern("row"),
        reads_on=pattern("reads_on"),
        reads_off=pattern("reads_off"),
        watts=pattern("watts"),
        prompt=pattern("prompt", PROMPT),
        refused=pattern("refused", _REFUSED),
    )
    for key, given in (("reads_on", dialect.reads_on), ("reads_off", dialect.reads_off)):
        if bool(given) != bool(dialect.get):
            raise DriverConfigError(key, "and get go together: what is read must be told from its words")
    return dialect


def _read_steps(table: Mapping[str, object], key: str) -> tuple[Step, ...]:
    lines = table.get(key)
    if not isinstance(lines, list) or not lines:
        raise DriverConfigError(key, "must be a list of lines to send")
    steps = []
    for line in lines:
        step = {"send": line} if isinstance(line, str) else line
        if not isinstance(step, dict) or not set(step) <= {"send", "expect"}:
            raise DriverConfigError(key, f"must hold texts or {{ send = …, expect = … }}, not {line!r}")
        send, expect = step.get("send"), step.get("expect", "")
        if not isinstance(send, str) or not isinstance(expect, str) or not send.isprintable():
            raise DriverConfigError(key, f"must hold one line of text each, not {line!r}")
        try:
            re.compile(expect)
        except re.error as error:
            raise DriverConfigError(key, f"{expect!r} is no regular expression: {error}") from error
        steps.append(Step(send, expect))
    return tuple(steps)
