"""A boot loader's prompt on a serial line: caught, typed at without losing a character, and read."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from hostler.drivers.errors import DriverTimeout, EquipmentRefused

if TYPE_CHECKING:
    from hostler.drivers.bootctl.protocol import BoardLine

INTERRUPT = b"\x03"
"""Ctrl-C: at the prompt it empties the line, before it it is a key like any other."""

_KEY_SECONDS = 0.05
"""Between two keys while the prompt is waited for: U-Boot looks once when its boot delay is 0, but a key
waits in the UART until then. Twenty a second overrun no receive buffer of a loader that reads its input."""

_QUIET_SECONDS = 0.3
"""So long nothing is said before a prompt is believed: more of the keys' echo may be on its way."""

_ECHO_SECONDS = 1.0
"""Longest time for a character to come back, over a network serial server some milliseconds. One that comes
later still harms nothing: the line is wrong then, and typed again."""

_SETTLE_SECONDS = 5.0
_TRIES = 4
_KEPT = 8192
_STATUS = re.compile(r"\nhostler=(\d{1,3})\r?\n")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[78=>]")
"""Cursor and colour sequences, which U-Boot's menus and shells mix into what they say."""


@dataclass(frozen=True, slots=True)
class PromptPatterns:
    """What a boot loader says.

    Attributes:
        prompt: At the end of what it said when it waits for a command.
        autoboot: Before it boots by itself.
        started: Said by a system that has been started.
    """

    prompt: re.Pattern[str]
    autoboot: re.Pattern[str]
    started: re.Pattern[str]


class Prompt:
    """One boot loader on one line; use as a context manager, so that reading ends.

    What waits without a time of its own ends with the takeover's deadline.
    """

    def __init__(self, line: BoardLine, patterns: PromptPatterns) -> None:
        self._line = line
        self._patterns = patterns
        self._text = ""
        self._reading: asyncio.Task[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def catch(self, keys: bytes) -> None:
        """Send keys from the board's first word on until it prompts.

        Raises:
            EquipmentRefused: A system started instead.
            DriverError: The line failed.
        """
        await self._hear(None)
        now = asyncio.get_running_loop().time
        due = now()
        while not self._prompts():
            if now() >= due:
                await self._line.write(keys)
                due = now() + _KEY_SECONDS
            await self._hear(max(0.0, due - now()))
        await self._settle()

    async def catch_by_word(self, word: bytes) -> None:
        """Type a word when the loader says that it is about to boot; raises as ``catch`` does."""
        while not self._prompts():
            await self._hear(None)
            if self._patterns.autoboot.search(self._text):
                self._text = ""
                await self._line.write(word)
        await self._settle()

    async def run(self, command: str) -> int:
        """Run a command to its end; return its status, 0 also from a loader that cannot tell.

        Raises:
            EquipmentRefused: It started a system.
            DriverError: It cannot be typed, or the line failed.
        """
        await self._enter(command)
        await self._until_prompt()
        said = self._text
        await self._enter("echo hostler=$?")
        await self._until_prompt()
        found = _STATUS.search(self._text)
        self._text = said
        return int(found[1]) if found else 0

    async def start(self, command: str) -> None:
        """Run a command that starts a system, and return when one has started.

        Raises:
            EquipmentRefused: The prompt came back instead.
            DriverError: It cannot be typed, or the line failed.
        """
        await self._enter(command)
        while not self._patterns.started.search(self._text):
            if self._waits():
                raise EquipmentRefused(f"U-Boot: `{command}` came back: {self.said()}")
            await self._hear(None)

    def said(self) -> str:
        """Return the last lines of what was said, in one printable line, without the prompt."""
        lines = [line.strip() for line in self._text.splitlines()]
        told = [line for line in lines[1:] if line and not self._patterns.prompt.search(f"\n{line} ")]
        return "; ".join("".join(c for c in line if c.isprintable()) for line in told[-3:])[:300] or "no word"

    async def _enter(self, command: str) -> None:
        """Type a line character by character, each after the echo of the last; end it when it is right."""
        for _ in range(_TRIES):
            self._text = ""
            if await self._type(command):
                self._text = ""
                await self._line.write(b"\r")
                return
            await self._settle()
        raise DriverTimeout(f"U-Boot: `{command}` did not come back as it was typed, {_TRIES} times")

    async def _type(self, command: str) -> bool:
        for count, character in enumerate(command, 1):
            await self._line.write(character.encode("latin-1"))
            try:
                async with asyncio.timeout(_ECHO_SECONDS):
                    while len(self._text) < count:
                        await self._hear(None)
            except TimeoutError:
                return False
            if self._text[:count] != command[:count]:
                return False
        return self._text == command

    async def _settle(self) -> None:
        """Empty the line and wait for a prompt with nothing behind it.

        Raises:
            DriverTimeout: None came.
        """
        for _ in range(_TRIES):
            self._text = ""
            await self._line.write(INTERRUPT)
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_SECONDS):
                    while True:
                        before = self._text
                        await self._hear(_QUIET_SECONDS)
                        if self._text == before and self._prompts():
                            return
        raise DriverTimeout("U-Boot: its prompt came and went")

    async def _until_prompt(self) -> None:
        while not self._prompts():
            await self._hear(None)

    def _waits(self) -> bool:
        return self._patterns.prompt.search(self._text[-200:]) is not None

    def _prompts(self) -> bool:
        """Tell whether it waits for a command; a system that has started may have a prompt that looks so."""
        found = self._patterns.started.search(self._text)
        if found:
            raise EquipmentRefused(f'U-Boot was not stopped: a system started ("{found[0].strip()}")')
        return self._waits()

    async def _hear(self, seconds: float | None) -> None:
        """Take what is said next, or nothing if that takes longer; no byte is lost with the waiting."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._line.read())
        await asyncio.wait({self._reading}, timeout=seconds)
        if not self._reading.done():
            return
        reading, self._reading = self._reading, None
        text = reading.result().decode("latin-1")
        self._text = _ESCAPES.sub("", self._text + text)[-_KEPT:]
