"""Several byte streams on one connection that carries messages, such as a WebSocket.

Every message is binary; its first byte is the channel. Channel 0 carries one JSON object: a command of either
side, or the answer to one. Every other channel carries the bytes of one stream.

==========================================================  =============================================
client to server                                            answered
==========================================================  =============================================
``{"cmd": "open", "target": "ssh"}``                        ``{"resp": "open", "channel": 1}`` in the order
                                                            of the asking, or ``{"resp": "open", "error": …}``
either side: ``{"cmd": "eof", "channel": 1}``               nothing more will come from this side
either side: ``{"cmd": "close", "channel": 1}``             the stream is over both ways; may carry ``reason``
either side: ``{"cmd": "window", "channel": 1, "bytes": n}``  so many more bytes may be sent
==========================================================  =============================================

A side may send ``WINDOW`` bytes on a channel before the other has given it more, so that a stream nobody
reads costs so much memory and never keeps the others waiting (as in RFC 4254 section 5.2). Both ends feed it
messages and send what it returns; it does no I/O.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import Any

WINDOW = 256 * 1024
"""Bytes on their way on one channel: a tenth of a second at 20 MB/s and 10 ms, the best a long line does."""

LARGEST = 32 * 1024
"""Bytes of a stream in one message: small enough that channels take turns."""

MOST_CHANNELS = 16
"""Streams at once on one connection."""

_COMMAND_LIMIT = 4096
_LAST_CHANNEL = 255


class TunnelError(ValueError):
    """The other side does not keep to the protocol; close the connection."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The client wants a stream to ``target``: answer with ``accept`` or ``refuse``."""

    target: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The server has opened the stream that was asked for first of those not yet answered."""

    channel: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The server did not open the stream that was asked for; ``text`` says why."""

    text: str


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; tell ``consumed`` when they are out of the way."""

    channel: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The other side sends nothing more on this stream."""

    channel: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The stream is over; ``reason`` for people, or empty."""

    channel: int
    reason: str


@dataclass(frozen=True, slots=True)
class Credit:
    """More may be sent on this stream."""

    channel: int


Event = Asked | Opened | Refused | Data | Ended | Closed | Credit


@dataclass(slots=True)
class _Channel:
    credit: int = WINDOW
    unread: int = 0
    """Bytes received that nobody has consumed, and bytes consumed that were not given back yet."""
    owed: int = 0
    ended_here: bool = False
    ended_there: bool = False


class Tunnel:
    """One end of a connection with many streams."""

    def __init__(self) -> None:
        self._channels: dict[int, _Channel] = {}
        self._closing: set[int] = set()
        self._asked: deque[str] = deque()
        self._unanswered = 0

    @property
    def channels(self) -> int:
        """How many streams are open or asked for."""
        return len(self._channels) + self._unanswered

    # What this side does; each returns the message to send.

    def open(self, target: str) -> bytes:
        """Ask for a stream (client)."""
        self._asked.append(target)
        return _command(cmd="open", target=target)

    def accept(self) -> tuple[int, bytes]:
        """Open the stream that was asked for (server); returns its channel and the message."""
        self._unanswered -= 1
        # A number is used again only when the other side has closed it too.
        free = (n for n in range(1, _LAST_CHANNEL + 1) if n not in self._channels and n not in self._closing)
        channel = next(free)
        self._channels[channel] = _Channel()
        return channel, _command(resp="open", channel=channel)

    def refuse(self, text: str) -> bytes:
        """Do not open the stream that was asked for (server)."""
        self._unanswered -= 1
        return _command(resp="open", error=text)

    def credit(self, channel: int) -> int:
        """Return how many bytes may be sent now; 0 for a stream that is over."""
        held = self._channels.get(channel)
        return held.credit if held is not None and not held.ended_here else 0

    def data(self, channel: int, data: bytes) -> bytes:
        """Send bytes: at most ``credit`` and ``LARGEST``."""
        held = self._channels[channel]
        if len(data) > min(held.credit, LARGEST) or held.ended_here:
            raise ValueError(f"{len(data)} bytes are more than may be sent on channel {channel} now")
        held.credit -= len(data)
        return bytes((channel,)) + data

    def end(self, channel: int) -> bytes | None:
        """Say that nothing more will be sent; None when that was said."""
        held = self._channels.get(channel)
        if held is None or held.ended_here:
            return None
        held.ended_here = True
        return _command(cmd="eof", channel=channel)

    def consumed(self, channel: int, count: int) -> bytes | None:
        """Tell that received bytes are out of the way; returns what gives the sender room, or None."""
        held = self._channels.get(channel)
        if held is None:
            return None
        held.owed += count
        if held.owed < WINDOW // 2:
            return None
        given, held.owed = held.owed, 0
        held.unread -= given
        return _command(cmd="window", channel=channel, bytes=given)

    def close(self, channel: int, reason: str = "") -> bytes | None:
        """End a stream both ways; None when it is over already."""
        if self._channels.pop(channel, None) is None:
            return None
        self._closing.add(channel)
        return _command(cmd="close", channel=channel, **({"reason": reason} if reason else {}))

    # What the other side does.

    def receive(self, message: bytes) -> tuple[list[Event], list[bytes]]:
        """Take a message; returns what happened, and messages to send at once.

        Raises:
            TunnelError: the other side breaks the protocol.
        """
        if not message:
            raise TunnelError("an empty message has no channel")
        channel, payload = message[0], message[1:]
        if channel != 0:
            return self._receive_data(channel, payload), []
        if len(payload) > _COMMAND_LIMIT:
            raise TunnelError(f"a command has at most {_COMMAND_LIMIT} bytes")
        try:
            command = json.loads(payload)
        except ValueError:
            command = None
        if not isinstance(command, dict):
            raise TunnelError("channel 0 carries JSON objects")
        if "resp" in command:
            return self._answered(command), []
        return self._commanded(command)

    def _receive_data(self, channel: int, payload: bytes) -> list[Event]:
        held = self._channels.get(channel)
        if held is None:
            if channel in self._closing:
                return []  # sent before our close arrived there
            raise TunnelError(f"channel {channel} is not open")
        if held.ended_there:
            raise TunnelError(f"channel {channel} had ended")
        held.unread += len(payload)
        if held.unread > WINDOW:
            raise TunnelError(f"channel {channel} sends more than {WINDOW} bytes ahead")
        return [Data(channel, payload)] if payload else []

    def _answered(self, answer: dict[str, Any]) -> list[Event]:
        if answer["resp"] != "open" or not self._asked:
            return []  # a newer server's word
        self._asked.popleft()
        channel = answer.get("channel")
        if not isinstance(channel, int) or not 0 < channel <= _LAST_CHANNEL:
            return [Refused(str(answer.get("error") or "the server gave no reason"))]
        self._channels[channel] = _Channel()
        return [Opened(channel)]

    def _commanded(self, command: dict[str, Any]) -> tuple[list[Event], list[bytes]]:
        name, channel = command.get("cmd"), command.get("channel")
        if name == "open":
            if self.channels >= MOST_CHANNELS:
                return [], [_command(resp="open", error=f"at most {MOST_CHANNELS} streams at once")]
            self._unanswered += 1
            return [Asked(str(command.get("target")))], []
        if name not in ("eof", "close", "window"):
            return [], [_command(resp=str(name)[:32], error="the commands are open, eof, close and window")]
        if not isinstance(channel, int):
            raise TunnelError(f'"{name}" names no channel')
        held = self._channels.get(channel)
        if held is None:
            if channel not in self._closing:
                raise TunnelError(f"channel {channel} is not open")
            if name == "close":
                self._closing.discard(channel)
            return [], []
        if name == "eof":
            held.ended_there = True
            return [Ended(channel)], []
        if name == "close":
            del self._channels[channel]
            return [Closed(channel, str(command.get("reason", "")))], [_command(cmd="close", channel=channel)]
        count = command.get("bytes")
        if not isinstance(count, int) or count <= 0 or held.credit + count > WINDOW:
            raise TunnelError(f"channel {channel} cannot have {count} more bytes on their way")
        held.credit += count
        return [Credit(channel)], []


def _command(**words: object) -> bytes:
    return b"\0" + json.dumps(words).encode()
