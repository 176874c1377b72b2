"""Telnet, sans I/O (RFC 854, 855, 856, 1143): bytes of the connection go in, bytes of the terminal come out.

For both ends and every use: a switch's command line, a terminal server's line, RFC 2217 on top. Feed
``receive`` whatever the connection delivers, in pieces of any size; send whatever ``bytes_to_send`` hands
back; write through ``send``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IAC: Final = 255
DONT: Final = 254
DO: Final = 253
WONT: Final = 252
WILL: Final = 251
SB: Final = 250
BREAK: Final = 243
SE: Final = 240

BINARY: Final = 0  # RFC 856
ECHO: Final = 1  # RFC 857
SUPPRESS_GO_AHEAD: Final = 3  # RFC 858
TERMINAL_TYPE: Final = 24  # RFC 1091
COM_PORT: Final = 44  # RFC 2217

LARGEST_SUBNEGOTIATION: Final = 4096  # RFC 2217 needs 256; a peer that never ends one must not fill memory
MOST_EVENTS: Final = 256  # the oldest go first: a peer that talks options for ever must not fill memory

_CR, _LF, _NUL = 13, 10, 0


@dataclass(frozen=True, slots=True)
class OptionChanged:
    """Both ends agreed to begin or to end an option.

    Attributes:
        option: Its number.
        ours: True when it is about what this end does, False when about the peer.
        enabled: Whether it holds from now on.
    """

    option: int
    ours: bool
    enabled: bool


@dataclass(frozen=True, slots=True)
class OptionRefused:
    """The peer does not want what ``offer`` or ``ask`` proposed."""

    option: int
    ours: bool


@dataclass(frozen=True, slots=True)
class Subnegotiation:
    """What an option says beyond yes and no (RFC 855); ``data`` is unescaped."""

    option: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """A bare command, such as BREAK."""

    code: int


TelnetEvent = OptionChanged | OptionRefused | Subnegotiation | Command


class _Agreement(Enum):
    """One side of one option. ASKED is what keeps two polite ends from a loop (RFC 1143)."""

    NO = "no"
    YES = "yes"
    ASKED = "asked for it"


class _In(Enum):
    """Where in the stream the parser stands."""

    DATA = "data"
    RETURN = "after a CR"
    COMMAND = "after IAC"
    OPTION = "after IAC and a verb"
    SUB = "in a subnegotiation"
    SUB_COMMAND = "after IAC in a subnegotiation"


class Telnet:
    """One end of one connection.

    Args:
        ours: Options this end agrees to do when the peer asks (answered WILL); all others are refused.
        theirs: Options the peer may do (answered DO); all others are refused.
    """

    def __init__(self, ours: Iterable[int] = (), theirs: Iterable[int] = ()) -> None:
        self._welcome = {True: frozenset(ours), False: frozenset(theirs)}
        self._agreed: dict[tuple[bool, int], _Agreement] = {}
        self._out = bytearray()
        self._events: deque[TelnetEvent] = deque(maxlen=MOST_EVENTS)
        self._state = _In.DATA
        self._verb = 0
        self._sub = bytearray()

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the connection; return those that are for the terminal."""
        if self._state is _In.DATA and IAC not in data and (_CR not in data or self._does(False, BINARY)):
            return data  # a console at full speed goes through here
        terminal = bytearray()
        for byte in data:
            self._take(byte, terminal)
        return bytes(terminal)

    def send(self, data: bytes) -> None:
        """Write to the peer's terminal: IAC is doubled, a bare CR becomes CR NUL unless we are BINARY."""
        escaped = data.replace(b"\xff", b"\xff\xff")
        if not self._does(True, BINARY):
            escaped = escaped.replace(b"\r", b"\r\0").replace(b"\r\0\n", b"\r\n")
        self._out += escaped

    def command(self, code: int) -> None:
        """Send a bare command, such as BREAK."""
        self._out += bytes((IAC, code))

    def subnegotiate(self, option: int, data: bytes) -> None:
        """Say more about an option."""
        self._out += bytes((IAC, SB, option)) + data.replace(b"\xff", b"\xff\xff") + bytes((IAC, SE))

    def offer(self, option: int) -> None:
        """Propose to do an option ourselves (WILL); the answer comes as an event."""
        self._propose(True, option)

    def ask(self, option: int) -> None:
        """Propose that the peer does an option (DO); the answer comes as an event."""
        self._propose(False, option)

    def enabled(self, option: int, *, ours: bool) -> bool:
        """Return whether an option holds, for what we do or for what the peer does."""
        return self._does(ours, option)

    def bytes_to_send(self) -> bytes:
        """Return what must go to the peer now, and forget it."""
        out, self._out = bytes(self._out), bytearray()
        return out

    def events(self) -> Iterator[TelnetEvent]:
        """Yield what happened since the last call."""
        while self._events:
            yield self._events.popleft()

    def _take(self, byte: int, terminal: bytearray) -> None:
        match self._state:
            case _In.DATA | _In.RETURN:
                after_return = self._state is _In.RETURN
                self._state = _In.DATA
                if byte == IAC:
                    self._state = _In.COMMAND
                elif not (after_return and byte == _NUL):
                    terminal.append(byte)
                    if byte == _CR and not self._does(False, BINARY):
                        self._state = _In.RETURN
            case _In.COMMAND:
                self._take_command(byte, terminal)
            case _In.OPTION:
                self._state = _In.DATA
                self._negotiate(self._verb, byte)
            case _In.SUB:
                if byte == IAC:
                    self._state = _In.SUB_COMMAND
                elif len(self._sub) <= LARGEST_SUBNEGOTIATION:
                    self._sub.append(byte)
            case _In.SUB_COMMAND:
                self._take_in_subnegotiation(byte, terminal)

    def _take_command(self, byte: int, terminal: bytearray) -> None:
        self._state = _In.DATA
        if byte == IAC:
            terminal.append(IAC)
        elif byte == SB:
            self._sub.clear()
            self._state = _In.SUB
        elif byte in (WILL, WONT, DO, DONT):
            self._verb = byte
            self._state = _In.OPTION
        elif byte != SE:
            self._events.append(Command(byte))

    def _take_in_subnegotiation(self, byte: int, terminal: bytearray) -> None:
        self._state = _In.SUB
        if byte == IAC:
            if len(self._sub) <= LARGEST_SUBNEGOTIATION:
                self._sub.append(IAC)
            return
        if self._sub and len(self._sub) <= LARGEST_SUBNEGOTIATION:
            self._events.append(Subnegotiation(self._sub[0], bytes(self._sub[1:])))
        self._sub.clear()
        self._state = _In.DATA
        if byte != SE:  # some end a subnegotiation with the next command instead of SE
            self._take_command(byte, terminal)

    def _does(self, ours: bool, option: int) -> bool:
        return self._agreed.get((ours, option)) is _Agreement.YES

    def _propose(self, ours: bool, option: int) -> None:
        if self._agreed.get((ours, option), _Agreement.NO) is _Agreement.NO:
            self._agreed[ours, option] = _Agreement.ASKED
            self._out += bytes((IAC, WILL if ours else DO, option))

    def _negotiate(self, verb: int, option: int) -> None:
        ours, wanted = verb in (DO, DONT), verb in (DO, WILL)
        before = self._agreed.get((ours, option), _Agreement.NO)
        yes, no = (WILL, WONT) if ours else (DO, DONT)
        if wanted and before is _Agreement.NO:
            if option not in self._welcome[ours]:
                self._out += bytes((IAC, no, option))
                return
            self._out += bytes((IAC, yes, option))
        if not wanted and before is _Agreement.YES:
            self._out += bytes((IAC, no, option))
        after = _Agreement.YES if wanted else _Agreement.NO
        self._agreed[ours, option] = after
        if not wanted and before is _Agreement.ASKED:
            self._events.append(OptionRefused(option, ours))
        elif after is not before:
            self._events.append(OptionChanged(option, ours, wanted))
