"""Who has joined a console types on it only as long as they may use the board."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hostler.link.frames import COMMAND, pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.link.port import Stream

_OVER = "you may not type on this console any more; join it again to look on"


class WhileAllowed:
    """A console's stream that ends when somebody writes to it who may not any more; see ``link.port.Stream``.

    What a share allows may change while its user is joined, and the rack knows only what held then.

    Args:
        stream: The console.
        allowed: Tells whether they may type at this moment.
    """

    def __init__(self, stream: Stream, allowed: Callable[[], bool]) -> None:
        self._stream = stream
        self._allowed = allowed
        self._last_words = b""

    async def read(self) -> bytes:
        """Return what comes from the console, at the end why it ends."""
        data = await self._stream.read()
        if not data:
            data, self._last_words = self._last_words, b""
        return data

    async def write(self, data: bytes) -> None:
        """Send to the console, or end the session of who may not; raises LinkError once it is closed."""
        if self._allowed():
            await self._stream.write(data)
        else:
            self._last_words = pack(COMMAND, json.dumps({"event": "ended", "text": _OVER}).encode())
            await self._stream.close()

    async def close(self) -> None:
        """Leave the console."""
        await self._stream.close()
