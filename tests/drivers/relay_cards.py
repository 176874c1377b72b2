"""Relay cards: one on a pty for each serial model, and the feature reports of an HID one."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class SerialCard:
    """Four relays that are told as ``model`` is; ``mute`` makes it answer nothing."""

    def __init__(self, model: str) -> None:
        self.model = model
        first = 0 if model == "numato" else 1
        self.relays = dict.fromkeys(range(first, first + 4), False)
        self.mute = False
        self._heard = b""

    @contextmanager
    def plugged_in(self) -> Iterator[str]:
        """Yields the path of its line."""
        card, line = os.openpty()
        tty.setraw(line)
        asyncio.get_running_loop().add_reader(card, self._read, card)
        try:
            yield os.ttyname(line)
        finally:
            asyncio.get_running_loop().remove_reader(card)
            os.close(card)
            os.close(line)

    def _read(self, card: int) -> None:
        self._heard += os.read(card, 1024)
        answer = self._numato() if self.model == "numato" else self._lctech()
        if answer and not self.mute:
            # In pieces, as a slow line delivers them.
            os.write(card, answer[:3])
            os.write(card, answer[3:])

    def _lctech(self) -> bytes:
        answer = b""
        while self._heard:
            if self._heard[:1] == b"\xff":
                self._heard = self._heard[1:]
                lines = [f"CH{number}: {'ON ' if on else 'OFF'}\r\n" for number, on in self.relays.items()]
                answer += "".join(lines).encode()
            elif self._heard[:1] == b"\xa0" and len(self._heard) >= 4:
                number, on, check = self._heard[1:4]
                self._heard = self._heard[4:]
                if check == 0xA0 + number + on and number in self.relays:
                    self.relays[number] = bool(on)
            else:
                return answer
        return b"" if self.model == "lctech" else answer

    def _numato(self) -> bytes:
        answer = b""
        while b"\r" in self._heard:
            line, _, self._heard = self._heard.partition(b"\r")
            answer += line + b"\n\r"
            words = re.fullmatch(rb"relay (on|off|read) ([0-3])", line)
            if words and words[1] == b"read":
                answer += (b"on" if self.relays[int(words[2])] else b"off") + b"\n\r"
            elif words:
                self.relays[int(words[2])] = words[1] == b"on"
            answer += b">"
        return answer


class HidCard:
    """Two relays behind feature reports, at /dev/hidraw0."""

    def __init__(self) -> None:
        self.states = 0
        self.serial = b"HW341"

    def send(self, path: str, report: bytes) -> None:
        self._reach(path)
        assert len(report) == 9
        assert report[0] == 0
        command, number = report[1:3]
        if command not in (0xFF, 0xFD) or number not in (1, 2):
            raise OSError(errno.EPIPE, "Broken pipe")
        self.states = self.states | number if command == 0xFF else self.states & ~number

    def get(self, path: str) -> bytes:
        self._reach(path)
        return self.serial.ljust(7, b"\0") + bytes((self.states, 0))

    def _reach(self, path: str) -> None:
        if path != "/dev/hidraw0":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
