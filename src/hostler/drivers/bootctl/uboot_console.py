"""Boards whose U-Boot boots their disk first: its prompt is caught over the serial console after power-on.

Equipment: nothing. Binding, all optional: ``commands`` (what U-Boot is told, in order; the last one boots),
``prompt`` (a regular expression of what it says when it waits for a command), ``autoboot`` (of what it says
before it boots by itself), ``stop`` (keys that stop that), ``password`` (a reference, for an autoboot that
is stopped by a word: it is typed once, with Enter, when ``autoboot`` is seen), ``started`` (of what a system
that starts says), ``seconds`` (120: the longest time from power-on to the start of the agent's kernel).

Keys are sent from the board's first word on, so that one waits when U-Boot looks, also with a boot delay of
0; not before, because a port may keep what is sent to a board without power. Commands are paced by their
echo: the next character is typed when the last one has come back, so that none is lost in a receive buffer
of 16 bytes. A line whose echo is wrong is taken back and typed again, and Enter is sent only to a right one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.bootctl.prompt import Prompt, PromptPatterns
from hostler.drivers.errors import DriverConfigError, EquipmentRefused
from hostler.drivers.secrets import SecretReference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.drivers.bootctl.protocol import BoardLine

COMMANDS = ("setenv autoload no", "dhcp", "pxe get", "pxe boot")
"""The way of U-Boot's distro boot: an address, the file for this board, and what it names."""

# U-Boot's own, and those boards are shipped with (`U-Boot> `, `STM32MP> `, `Hit any key to stop autoboot: `).
_PROMPT = r"(?:^|[\r\n])(?:=>|[\w.-]{1,32}[>#]) $"
_AUTOBOOT = r"(?i)to stop autoboot|autoboot in \d|stop with|to abort autoboot"
_STARTED = r"Starting kernel|EFI stub: |Booting Linux on|Linux version \d"
_SECONDS = 120.0
_LONGEST_COMMAND = 500  # CONFIG_SYS_CBSIZE is 512 on most boards, 256 on some


@dataclass(frozen=True, slots=True)
class UbootConsoleConfig:
    """How one board's U-Boot is spoken to.

    Attributes:
        commands: What it is told, in order; the last one boots.
        patterns: What it says.
        stop: Keys that stop its autoboot.
        password: Where the word is that stops it, or None: any key does.
        seconds: Longest time from power-on until the last command has started a kernel.
    """

    commands: tuple[str, ...]
    patterns: PromptPatterns
    stop: bytes
    password: SecretReference | None
    seconds: float


class UbootConsole:
    """A takeover through U-Boot's prompt; see UbootConsoleConfig."""

    def __init__(self, config: UbootConsoleConfig) -> None:
        self.config = config
        self.seconds = config.seconds

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> UbootConsole:
        """Make the driver from the table described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment)
        settings.only(binding, "commands", "prompt", "autoboot", "stop", "password", "started", "seconds")
        password = None
        if "password" in binding:
            password = SecretReference.parse("password", binding["password"])
        if password is not None and "stop" in binding:
            raise DriverConfigError("stop", "has no use beside password, which is typed instead")
        stop = settings.text(binding, "stop") if "stop" in binding else "\x03"
        return cls(
            UbootConsoleConfig(
                commands=_commands(binding),
                patterns=PromptPatterns(
                    prompt=_pattern(binding, "prompt", _PROMPT),
                    autoboot=_pattern(binding, "autoboot", _AUTOBOOT),
                    started=_pattern(binding, "started", _STARTED),
                ),
                stop=_latin(stop, "stop"),
                password=password,
                seconds=settings.seconds(binding, "seconds", _SECONDS),
            )
        )

    async def take_over(self, line: BoardLine) -> str:
        """Catch the prompt and boot from the network; see the head of this file."""
        config = self.config
        with Prompt(line, config.patterns) as prompt:
            if config.password is not None:
                word = _latin(config.password.reveal(), "password")
                await prompt.catch_by_word(word + b"\r")
            else:
                await prompt.catch(config.stop)
            for command in config.commands[:-1]:
                status = await prompt.run(command)
                if status:
                    raise EquipmentRefused(f"U-Boot: `{command}` failed with {status}: {prompt.said()}")
            await prompt.start(config.commands[-1])
        return f"stopped U-Boot and had it run {', '.join(config.commands)}"


def _commands(table: Mapping[str, object]) -> tuple[str, ...]:
    value = table.get("commands", list(COMMANDS))
    if not isinstance(value, list) or not value:
        raise DriverConfigError("commands", f'must be a list like ["dhcp", "pxe boot"], not {value!r}')
    for command in value:
        if not isinstance(command, str) or not command.isascii() or not command.isprintable() or not command:
            raise DriverConfigError("commands", f"has one that is no printable ASCII text: {command!r}")
        if len(command) > _LONGEST_COMMAND:
            raise DriverConfigError("commands", f"has one longer than {_LONGEST_COMMAND} characters")
    return tuple(value)


def _pattern(table: Mapping[str, object], key: str, default: str) -> re.Pattern[str]:
    text = settings.text(table, key) if key in table else default
    try:
        return re.compile(text)
    except re.error as error:
        raise DriverConfigError(key, f"is no regular expression: {error}") from error


def _latin(text: str, key: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise DriverConfigError(key, "has a character that no serial line carries as one byte") from error
