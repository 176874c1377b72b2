r"""Relay cards on a serial line, mostly a USB one (CDC-ACM, CH340, …), by a table of what they are told.

Equipment: ``path = "/dev/serial/by-path/…"``, ``model`` (a row of MODELS, or ``described``), optional
``baud`` (9600), ``timeout``, ``min_off_seconds``. Binding: ``relay``, the number the card counts by;
optional ``inverted`` where an energised relay cuts the power.

``model = "described"`` describes any other in the equipment's table, in hexadecimal bytes. ``{relay}`` is
the relay's number, ``{digit}`` the same as a character, ``{sum}`` the sum of the bytes before it::

    on = "ff {relay} 01"
    off = "ff {relay} 00"
    query = "ff {relay} 03"             # without it nothing can be read back
    reads_on = '\xff.\x01'              # a regular expression over the answer
    reads_off = '\xff.\x00'
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import termios
import threading
import time
import tty
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.power.answers import shown
from hostler.drivers.power.calls import deadline, wants_on
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST_ANSWER: Final = 4096
_BAUDS: Final = {rate: getattr(termios, f"B{rate}") for rate in (9600, 19200, 38400, 57600, 115200)}


def _ascii(text: str) -> str:
    return text.encode().hex(" ")


@dataclass(frozen=True, slots=True)
class Model:
    """What differs between cards.

    Attributes:
        on: Bytes that energise a relay, in hexadecimal, with the placeholders of this file's head.
        off: Bytes that release it.
        query: Bytes that ask for its state; empty where the card cannot tell.
        reads_on: Found in the answer when the relay is energised; ``{relay}`` is its number.
        reads_off: Found in the answer when it is not.
        first: The lowest relay's number.
    """

    on: str
    off: str
    query: str = ""
    reads_on: str = ""
    reads_off: str = ""
    first: int = 1


MODELS = {
    # LC Technology, Noyito and other cards with a CH340: they never answer.
    "lctech": Model(on="a0 {relay} 01 {sum}", off="a0 {relay} 00 {sum}"),
    # The same with firmware that answers one byte FF with a line for each relay.
    "lcus": Model(
        on="a0 {relay} 01 {sum}",
        off="a0 {relay} 00 {sum}",
        query="ff",
        reads_on=r"CH{relay} ?: ?ON",
        reads_off=r"CH{relay} ?: ?OFF",
    ),
    # Numato: a command line with an echo and the prompt ">".
    "numato": Model(
        on=_ascii("relay on ") + " {digit} 0d",
        off=_ascii("relay off ") + " {digit} 0d",
        query=_ascii("relay read ") + " {digit} 0d",
        reads_on=r"\bon\s",
        reads_off=r"\boff\s",
        first=0,
    ),
}

_DESCRIBED = ("on", "off", "query", "reads_on", "reads_off")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # Numato counts beyond nine so

_LINES: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""One talk at a time on a line: answers carry no name."""


@dataclass(frozen=True, slots=True)
class SerialRelayConfig:
    """One relay of one card.

    Attributes:
        path: The line's device.
        baud: Its speed; of no matter with CDC-ACM.
        model: What the card is told.
        model_name: Its name, for messages.
        relay: The relay's number.
        inverted: An energised relay cuts the power.
        timeout: Deadline of a call in seconds.
        min_off_seconds: Time without power that surely resets a board behind it.
    """

    path: str
    baud: int
    model: Model
    model_name: str
    relay: int
    inverted: bool
    timeout: float
    min_off_seconds: float


class SerialRelay:
    """One relay; see SerialRelayConfig."""

    def __init__(self, config: SerialRelayConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(
            can_read=bool(config.model.query), min_off_seconds=config.min_off_seconds
        )

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> SerialRelay:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        name = settings.text(equipment, "model")
        if name != "described" and name not in MODELS:
            raise DriverConfigError("model", f'there is no "{name}"; known: {", ".join(MODELS)}, described')
        described = _DESCRIBED if name == "described" else ()
        settings.only(equipment, "path", "model", "baud", "timeout", "min_off_seconds", *described)
        settings.only(binding, "relay", "inverted")
        inverted = binding.get("inverted", False)
        if not isinstance(inverted, bool):
            raise DriverConfigError("inverted", f"must be true or false, not {inverted!r}")
        baud = settings.whole_number(equipment, "baud", least=9600, most=115200, default=9600)
        if baud not in _BAUDS:
            raise DriverConfigError("baud", f"must be one of {', '.join(map(str, _BAUDS))}, not {baud}")
        model = _described(equipment) if described else MODELS[name]
        return cls(
            SerialRelayConfig(
                path=settings.text(equipment, "path"),
                baud=baud,
                model=model,
                model_name=name,
                relay=settings.whole_number(binding, "relay", least=model.first, most=len(_DIGITS) - 1),
                inverted=inverted,
                timeout=settings.seconds(equipment, "timeout", 2.0),
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 5.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Tell the card; none of them says whether it did."""
        model = self.config.model
        energise = wants_on(state) is not self.config.inverted
        await self._talk(model.on if energise else model.off, None)

    async def get(self) -> PowerReading:
        """Ask the card, where it can tell."""
        model, config = self.config.model, self.config
        if not model.query:
            return PowerReading(PowerState.UNKNOWN, None, "this card cannot tell")
        number = str(config.relay)
        on = re.compile(model.reads_on.replace("{relay}", number), re.DOTALL)
        off = re.compile(model.reads_off.replace("{relay}", number), re.DOTALL)
        answer = await self._talk(model.query, re.compile(f"(?:{on.pattern})|(?:{off.pattern})", re.DOTALL))
        what = f"relay {number}: {shown(answer.strip())}"
        if bool(on.search(answer)) == bool(off.search(answer)):
            return PowerReading(PowerState.UNKNOWN, None, what if answer else "no answer")
        energised = on.search(answer) is not None
        return PowerReading(PowerState.ON if energised is not config.inverted else PowerState.OFF, None, what)

    async def _talk(self, template: str, until: re.Pattern[str] | None) -> str:
        config = self.config
        try:
            async with deadline(str(self), config.timeout + 0.5):
                return await asyncio.to_thread(
                    _exchange, config.path, config.baud, _bytes(template, config.relay), until, config.timeout
                )
        except PermissionError as error:
            raise EquipmentRefused(f"{self}: no access; give this user the group of {config.path}") from error
        except (OSError, termios.error) as error:
            raise EquipmentUnreachable(f"{self}: {error}") from error

    def __str__(self) -> str:
        return f"{self.config.model_name} relay card {self.config.path}"


def _exchange(path: str, baud: int, data: bytes, until: re.Pattern[str] | None, seconds: float) -> str:
    """Send bytes; return what comes until the pattern is found or the time is over. Blocks."""
    end = time.monotonic() + seconds
    if not _LINES[path].acquire(timeout=seconds):
        raise OSError(f"the line is busy for {seconds:g} s")
    try:
        line = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _set_raw(line, baud)
            os.write(line, data)
            answer = b""
            while until is not None and not until.search(answer.decode("latin-1")):
                remaining = end - time.monotonic()
                if remaining <= 0 or len(answer) > _LARGEST_ANSWER:
                    break
                if select.select([line], [], [], remaining)[0]:
                    piece = os.read(line, 1024)
                    if not piece:
                        raise OSError("the line is gone")
                    answer += piece
            if until is None:
                termios.tcdrain(line)
            return answer.decode("latin-1")
        finally:
            os.close(line)
    finally:
        _LINES[path].release()


def _set_raw(line: int, baud: int) -> None:
    tty.setraw(line)
    attributes = termios.tcgetattr(line)
    attributes[2] |= termios.CLOCAL | termios.CREAD
    # Without HUPCL closing drops no DTR: cards with a microcontroller would start anew.
    attributes[2] &= ~(termios.HUPCL | termios.CRTSCTS)
    attributes[4] = attributes[5] = _BAUDS[baud]
    termios.tcsetattr(line, termios.TCSANOW, attributes)
    termios.tcflush(line, termios.TCIFLUSH)


def _bytes(template: str, relay: int) -> bytes:
    data = bytearray()
    for token in template.split():
        match token:
            case "{relay}":
                data.append(relay)
            case "{digit}":
                data += _DIGITS[relay].encode()
            case "{sum}":
                data.append(sum(data) & 0xFF)
            case _:
                data += bytes.fromhex(token)
    return bytes(data)


def _described(table: Mapping[str, object]) -> Model:
    said = {
        key: settings.text(table, key) for key in ("on", "off", "query") if key != "query" or key in table
    }
    for key, template in said.items():
        try:
            _bytes(template, 1)
        except ValueError as error:
            raise DriverConfigError(key, f'must be bytes like "ff {{relay}} 01", not {template!r}') from error
    patterns = {}
    for key in ("reads_on", "reads_off"):
        if (key in table) != ("query" in said):
            raise DriverConfigError(key, "and query go together: what is read must be told from its answer")
        patterns[key] = settings.text(table, key) if key in table else ""
        try:
            re.compile(patterns[key].replace("{relay}", "1"))
        except re.error as error:
            raise DriverConfigError(key, f"is no regular expression: {error}") from error
    return Model(**said, **patterns, first=0)
