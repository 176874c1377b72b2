"""One ssh session: what its user asked for, and bytes both ways."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import asyncssh

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

BREAK = b"\0BREAK"
"""What ``typed`` yields for a BREAK (``~B`` in OpenSSH); no terminal types that."""

_BLOCK = 32 * 1024


class Session:
    """A session as the gateway's services see it.

    Args:
        process: What asyncssh knows of it.
        over: Done when the connection is to end.

    Attributes:
        command: The command, or None when there is none.
        subsystem: The subsystem asked for (``sftp``), or None.
        terminal: Whether a person sits at a terminal.
        size: Columns and lines of the terminal; None: not known.
        over: Done with the reason when the connection is to end.
    """

    def __init__(self, process: asyncssh.SSHServerProcess[bytes], over: asyncio.Future[str]) -> None:
        self._process = process
        self.command = process.command
        self.subsystem = process.subsystem
        self.terminal = process.get_terminal_type() is not None
        columns, lines, *_ = process.get_terminal_size()
        self.size: tuple[int | None, int | None] = (columns or None, lines or None)
        self.over = over

    async def closed(self) -> None:
        """Wait until the client has closed the session."""
        await self._process.channel.wait_closed()

    async def typed(self) -> AsyncIterator[bytes]:
        """Yield what comes from the client until it says no more; ``BREAK`` for a BREAK."""
        while True:
            try:
                data = await self._process.stdin.read(_BLOCK)
            except asyncssh.BreakReceived:
                yield BREAK
            except asyncssh.SignalReceived as signal:
                if signal.signal in ("INT", "TERM", "HUP"):
                    return
            except asyncssh.TerminalSizeChanged:
                continue  # a serial line has no size
            except (OSError, asyncssh.Error):
                return
            else:
                if not data:
                    return
                yield data

    async def write(self, data: bytes, *, error: bool = False) -> None:
        """Send bytes as they are; waits while the client takes none. Raises OSError once it has gone."""
        stream = self._process.stderr if error else self._process.stdout
        stream.write(data)
        await stream.drain()

    async def print(self, text: str, *, error: bool = False) -> None:
        """Send lines of text, with the line ends the client's terminal needs."""
        await self.write(self.lines(text.encode()), error=error)

    def lines(self, data: bytes) -> bytes:
        """Return text with the line ends the client needs: a terminal in raw mode makes none of its own."""
        return data.replace(b"\n", b"\r\n") if self.terminal else data

    def say(self, text: str) -> None:
        """Tell a person something that is no result; harmless when the client has gone."""
        with contextlib.suppress(OSError, asyncssh.Error):
            self._process.stderr.write(self.lines(f"hostler: {text}\n".encode()))

    def notice(self, text: str) -> None:
        """Tell a person something in the midst of what they see; harmless when the client has gone."""
        if not self.terminal:
            self.say(text)
            return
        # A terminal has one stream: on the other one it would come before or after its time.
        with contextlib.suppress(OSError, asyncssh.Error):
            for line in text.splitlines():
                self._process.stdout.write(f"\r\n[hostler: {line}]".encode())
            self._process.stdout.write(b"\r\n")

    def exit(self, status: int) -> None:
        """End the session; harmless when it has ended."""
        with contextlib.suppress(OSError, asyncssh.Error):
            self._process.exit(status)
