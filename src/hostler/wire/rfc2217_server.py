"""A serial line over telnet with its settings and modem lines, sans I/O (RFC 2217); the server's end.

Feed ``receive`` whatever the connection delivers: it returns what is for the line. Carry out what ``asked``
yields and tell what came of it with ``line_is`` and ``switch_is``: the client takes the answer for true.
Write what the line says through ``send``; send whatever ``bytes_to_send`` hands back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostler.wire.rfc2217 import (
    BREAK_OFF,
    BREAK_ON,
    DTR_OFF,
    DTR_ON,
    FLOW,
    FLOWCONTROL_RESUME,
    FLOWCONTROL_SUSPEND,
    PARITY,
    RTS_OFF,
    RTS_ON,
    SERVER,
    SET_BAUDRATE,
    SET_CONTROL,
    SET_DATASIZE,
    SET_LINESTATE_MASK,
    SET_MODEMSTATE_MASK,
    SET_PARITY,
    SET_STOPSIZE,
    SIGNATURE,
    STOP_BITS,
)
from hostler.wire.telnet import (
    BINARY,
    BREAK,
    COM_PORT,
    ECHO,
    SUPPRESS_GO_AHEAD,
    Command,
    Subnegotiation,
    Telnet,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PURGE_DATA: Final = 12
MOST_ASKED: Final = 256
"""A client that asks for ever without hearing answers must not fill memory; the oldest go first."""

_SETTINGS: Final = {
    SET_BAUDRATE: "baud", SET_DATASIZE: "data_bits", SET_PARITY: "parity", SET_STOPSIZE: "stop_bits",
}  # fmt: skip
_COMMANDS: Final = {name: command for command, name in _SETTINGS.items()} | {"flow": SET_CONTROL}
_WORDS: Final[dict[str, dict[int | str, int]]] = {
    "parity": {word: number for word, number in PARITY.items()},  # noqa: C416 - widens the type of its keys
    "stop_bits": {count: number for count, number in STOP_BITS.items()},  # noqa: C416
    "flow": {word: number for word, number in FLOW.items()},  # noqa: C416
}
_SWITCHES: Final = {
    BREAK_ON: ("break", True), BREAK_OFF: ("break", False), DTR_ON: ("dtr", True), DTR_OFF: ("dtr", False),
    RTS_ON: ("rts", True), RTS_OFF: ("rts", False),
}  # fmt: skip
_ON_OFF: Final = {"break": (BREAK_ON, BREAK_OFF), "dtr": (DTR_ON, DTR_OFF), "rts": (RTS_ON, RTS_OFF)}
_QUERIES: Final = {4: "break", 7: "dtr", 10: "rts"}
_INBOUND_FLOW: Final = range(13, 20)
_NO_INBOUND_FLOW: Final = 14


@dataclass(frozen=True, slots=True)
class LineAsked:
    """The client wants the line to be so.

    Attributes:
        name: A name of ``rfc2217.LineSettings``.
        value: As there; None: it asks how the line is.
    """

    name: str
    value: int | str | None


@dataclass(frozen=True, slots=True)
class SwitchAsked:
    """The client wants ``break``, ``dtr`` or ``rts`` on or off."""

    name: str
    on: bool


class ComPortServer:
    """The server's end of one connection.

    Attributes:
        suspended: The client wants to be sent nothing for now.
        com_port: The client speaks RFC 2217.
    """

    def __init__(self, signature: str) -> None:
        self._signature = signature.encode("ascii", "replace")
        ours = (BINARY, SUPPRESS_GO_AHEAD, ECHO, COM_PORT)
        self._telnet = Telnet(ours=ours, theirs=(BINARY, SUPPRESS_GO_AHEAD, COM_PORT))
        self._asked: deque[LineAsked | SwitchAsked] = deque(maxlen=MOST_ASKED)
        # Whoever connects a terminal switches its lines on; BREAK is off.
        self._switches = {"break": False, "dtr": True, "rts": True}
        self.suspended = False
        self.com_port = False
        for option in (BINARY, SUPPRESS_GO_AHEAD, ECHO):
            self._telnet.offer(option)
        for option in (BINARY, SUPPRESS_GO_AHEAD, COM_PORT):
            self._telnet.ask(option)

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the connection; return those that are for the line."""
        typed = self._telnet.receive(data)
        for event in self._telnet.events():
            match event:
                case Subnegotiation(option=44, data=words) if words:
                    self.com_port = True
                    self._heard(words[0], words[1:])
                case Command(code=code) if code == BREAK:  # plain telnet's
                    self._asked.append(SwitchAsked("break", on=True))
        return typed

    def send(self, data: bytes) -> None:
        """Write what the line said."""
        self._telnet.send(data)

    def bytes_to_send(self) -> bytes:
        """Return what must go to the client now, and forget it."""
        return self._telnet.bytes_to_send()

    def asked(self) -> Iterator[LineAsked | SwitchAsked]:
        """Yield what is to be done, in the order asked; each needs an answer."""
        while self._asked:
            yield self._asked.popleft()

    def line_is(self, name: str, value: int | str | None) -> None:
        """Tell how the line is; None: nobody knows, which the protocol's zero says."""
        number = _WORDS[name].get(value or 0, 0) if name in _WORDS else value
        self._answer(_COMMANDS[name], number if isinstance(number, int) else 0)

    def switch_is(self, name: str, *, on: bool) -> None:
        """Tell whether ``break``, ``dtr`` or ``rts`` is on."""
        self._switches[name] = on
        self._answer(SET_CONTROL, _ON_OFF[name][not on])

    def _heard(self, command: int, words: bytes) -> None:
        value = int.from_bytes(words[:4] if command == SET_BAUDRATE else words[:1])
        if command == SIGNATURE:
            if not words:  # with words it is the client's own
                self._telnet.subnegotiate(COM_PORT, bytes((SERVER + SIGNATURE,)) + self._signature)
        elif command in _SETTINGS:
            self._setting(_SETTINGS[command], value)
        elif command == SET_CONTROL:
            self._control(value)
        elif command in (FLOWCONTROL_SUSPEND, FLOWCONTROL_RESUME):
            self.suspended = command == FLOWCONTROL_SUSPEND
        elif command in (SET_LINESTATE_MASK, SET_MODEMSTATE_MASK):
            self._answer(command, 0)  # of neither we tell anything
        elif command == PURGE_DATA:
            self._answer(command, value)  # nothing is held here that could be thrown away

    def _setting(self, name: str, value: int) -> None:
        names = {number: word for word, number in _WORDS.get(name, {}).items()}
        wanted = names.get(value) if names else value
        self._asked.append(LineAsked(name, wanted if value and isinstance(wanted, (int, str)) else None))

    def _control(self, value: int) -> None:
        if value in _SWITCHES:
            name, on = _SWITCHES[value]
            self._asked.append(SwitchAsked(name, on))
        elif value in _QUERIES:
            self.switch_is(_QUERIES[value], on=self._switches[_QUERIES[value]])
        elif value in _INBOUND_FLOW:
            self._answer(SET_CONTROL, _NO_INBOUND_FLOW)
        else:
            self._setting("flow", value)

    def _answer(self, command: int, value: int) -> None:
        size = 4 if command == SET_BAUDRATE else 1
        self._telnet.subnegotiate(COM_PORT, bytes((SERVER + command,)) + (value % 256**size).to_bytes(size))
