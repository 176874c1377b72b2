"""A serial line over telnet with its settings and modem lines, sans I/O (RFC 2217); the client's end.

Feed ``receive`` whatever the connection delivers, send whatever ``bytes_to_send`` hands back, write through
``send``. The line is set up when ``ready``; what the server would not do is in ``differences``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from hostler.wire.telnet import (
    BINARY,
    COM_PORT,
    ECHO,
    SUPPRESS_GO_AHEAD,
    OptionChanged,
    OptionRefused,
    Subnegotiation,
    Telnet,
)

_Word = TypeVar("_Word", int, str)

SIGNATURE: Final = 0
SET_BAUDRATE: Final = 1
SET_DATASIZE: Final = 2
SET_PARITY: Final = 3
SET_STOPSIZE: Final = 4
SET_CONTROL: Final = 5
NOTIFY_LINESTATE: Final = 6
NOTIFY_MODEMSTATE: Final = 7
FLOWCONTROL_SUSPEND: Final = 8
FLOWCONTROL_RESUME: Final = 9
SET_LINESTATE_MASK: Final = 10
SET_MODEMSTATE_MASK: Final = 11
SERVER: Final = 100  # what a server says has the client's number and this

QUERY: Final = 0  # of every setting: asks how it is
PARITY: Final = {"none": 1, "odd": 2, "even": 3, "mark": 4, "space": 5}
STOP_BITS: Final = {1: 1, 2: 2}
FLOW: Final = {"none": 1, "xonxoff": 2, "rtscts": 3}

BREAK_ON, BREAK_OFF = 5, 6
DTR_ON, DTR_OFF = 8, 9
RTS_ON, RTS_OFF = 11, 12

_NAMES: Final = {
    (SET_BAUDRATE, 0): "baud",
    (SET_DATASIZE, 0): "data_bits",
    (SET_PARITY, 0): "parity",
    (SET_STOPSIZE, 0): "stop_bits",
    (SET_CONTROL, 1): "flow",
}
_ALL_MODEM_STATES: Final = 255


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How a line is to be; None: as the server has it.

    Attributes:
        baud: Bits a second.
        data_bits: 5 to 8.
        parity: A key of ``PARITY``.
        stop_bits: A key of ``STOP_BITS``.
        flow: A key of ``FLOW``.
    """

    baud: int | None = None
    data_bits: int | None = None
    parity: str | None = None
    stop_bits: int | None = None
    flow: str | None = None

    def commands(self) -> list[tuple[int, int]]:
        """Return the commands that ask for it, each with its value."""
        wanted = (
            (SET_BAUDRATE, self.baud),
            (SET_DATASIZE, self.data_bits),
            (SET_PARITY, None if self.parity is None else PARITY[self.parity]),
            (SET_STOPSIZE, None if self.stop_bits is None else STOP_BITS[self.stop_bits]),
            (SET_CONTROL, None if self.flow is None else FLOW[self.flow]),
        )
        return [(command, value) for command, value in wanted if value is not None]


class ComPort:
    """The client's end of one connection.

    Attributes:
        refused: The server does not speak RFC 2217.
        differences: What the server did otherwise than asked: a name of ``LineSettings`` and its value, as
            numbers of the protocol.
        suspended: The server asked for nothing to be sent for now.
        modem_state: The modem lines as the server told them last (RFC 2217, NOTIFY-MODEMSTATE).
        line_state: The same of the line's errors and BREAK.
        signature: What the server calls itself.
    """

    def __init__(self, settings: LineSettings) -> None:
        self._settings = settings
        options = (BINARY, SUPPRESS_GO_AHEAD, COM_PORT)
        self._telnet = Telnet(ours=options, theirs=(*options, ECHO))
        self._awaited: dict[tuple[int, int], int] | None = None
        self._actual: dict[str, int] = {}
        self.refused = False
        self.differences: dict[str, int] = {}
        self.suspended = False
        self.modem_state: int | None = None
        self.line_state: int | None = None
        self.signature = ""
        for option in options:
            self._telnet.offer(option)
        for option in (BINARY, SUPPRESS_GO_AHEAD):
            self._telnet.ask(option)

    @property
    def ready(self) -> bool:
        """Whether the server has answered all that was asked of the line, masks included."""
        return self._awaited is not None and not self._awaited

    @property
    def usable(self) -> bool:
        """Whether it has answered what matters: there are servers that know no masks."""
        return self._awaited is not None and not self._awaited.keys() & _NAMES.keys()

    @property
    def line(self) -> LineSettings:
        """How the line is, as far as the server has told."""
        return LineSettings(
            self._actual.get("baud"),
            self._actual.get("data_bits"),
            _word(PARITY, self._actual.get("parity")),
            _word(STOP_BITS, self._actual.get("stop_bits")),
            _word(FLOW, self._actual.get("flow")),
        )

    def change(self, settings: LineSettings) -> None:
        """Ask for what is not None, and how all else is; ``usable`` again when it is answered."""
        asked = settings.commands()
        for command, value in asked:
            self._ask(command, value)
        for (command, _), name in _NAMES.items():
            if name not in self._actual and command not in dict(asked):
                self._ask(command, QUERY)

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the connection; return those that the line said."""
        said = self._telnet.receive(data)
        for event in self._telnet.events():
            match event:
                case OptionChanged(option=44, ours=True, enabled=True):
                    self._set_up()
                case OptionChanged(option=44, ours=True) | OptionRefused(option=44, ours=True):
                    self.refused = True
                case Subnegotiation(option=44, data=words) if words:
                    self._told(words[0], words[1:])
        return said

    def send(self, data: bytes) -> None:
        """Write to the line."""
        self._telnet.send(data)

    def bytes_to_send(self) -> bytes:
        """Return what must go to the server now, and forget it."""
        return self._telnet.bytes_to_send()

    def control(self, value: int) -> None:
        """Switch BREAK, DTR or RTS: one of the constants above."""
        self._ask(SET_CONTROL, value)

    def _set_up(self) -> None:
        self._awaited = {}
        for command, value in self._settings.commands():
            self._ask(command, value)
        self._ask(SET_LINESTATE_MASK, 0)
        self._ask(SET_MODEMSTATE_MASK, _ALL_MODEM_STATES)

    def _ask(self, command: int, value: int) -> None:
        if self._awaited is None:
            return  # no RFC 2217 yet, or never
        self._awaited[_topic(command, value)] = value
        size = 4 if command == SET_BAUDRATE else 1
        self._telnet.subnegotiate(COM_PORT, bytes((command,)) + value.to_bytes(size))

    def _told(self, code: int, words: bytes) -> None:
        value = int.from_bytes(words[:4])
        match code - SERVER:
            case 0 if words:
                self.signature = words.decode("latin-1")
            case 0:  # asks who we are
                self._telnet.subnegotiate(COM_PORT, bytes((SIGNATURE,)) + b"hostler")
            # ser2net 4 answers a mask with the state instead of 110 and 111: so either is an answer.
            case 6:
                self.line_state = value
                self._answered((SET_LINESTATE_MASK, 0), value)
            case 7:
                self.modem_state = value
                self._answered((SET_MODEMSTATE_MASK, 0), value)
            case 8:
                self.suspended = True
            case 9:
                self.suspended = False
            case command:
                self._answered(_topic(command, value), value)

    def _answered(self, topic: tuple[int, int], value: int) -> None:
        wanted = (self._awaited or {}).pop(topic, value)
        if topic in _NAMES:
            self._actual[_NAMES[topic]] = value
            if wanted not in (value, QUERY):
                self.differences[_NAMES[topic]] = value
            else:
                self.differences.pop(_NAMES[topic], None)


def _word(numbers: dict[_Word, int], number: int | None) -> _Word | None:
    return next((word for word, known in numbers.items() if known == number), None)


def _topic(command: int, value: int) -> tuple[int, int]:
    """Return what a command is about: SET-CONTROL alone is about flow, BREAK, DTR, RTS or input flow."""
    if command != SET_CONTROL:
        return command, 0
    groups = (range(4), range(4, 7), range(7, 10), range(10, 13))
    return command, next((number for number, group in enumerate(groups, 1) if value in group), 5)
