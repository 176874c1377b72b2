"""A board on a serial adapter that can be pulled and plugged in again: a pty behind a path of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
from typing import TYPE_CHECKING

from hostler.drivers.console.terminal import make_raw

if TYPE_CHECKING:
    from pathlib import Path


class PtyBoard:
    """Echoes what is typed, or says what it is told to.

    Args:
        path: Where the adapter's device appears.
        echo: Whether it echoes; else what is typed is kept in ``typed``.
    """

    def __init__(self, path: Path, *, echo: bool = True) -> None:
        self.path = path
        self.echo = echo
        self.typed = bytearray()
        self.master = -1
        self._slave = -1
        self._waiting = bytearray()

    def plug_in(self) -> None:
        """Let the device appear."""
        self.master, self._slave = (
            pty.openpty()
        )  # the slave is held, or the master would read EIO while closed
        make_raw(self._slave)
        os.set_blocking(self.master, False)
        self.path.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self.master, self._typed)

    def unplug(self) -> None:
        """Let the device vanish: who has it open is hung up on."""
        if self.master < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.master)
        loop.remove_writer(self.master)
        os.close(self.master)
        os.close(self._slave)
        self.path.unlink()
        self.master = -1
        self._waiting.clear()

    def say(self, data: bytes) -> None:
        """Speak; what the line does not take now follows later."""
        self._waiting += data
        self._flush()

    @property
    def all_said(self) -> bool:
        """Whether the line took everything."""
        return not self._waiting

    def _typed(self) -> None:
        with contextlib.suppress(OSError):
            data = os.read(self.master, 65536)
            if self.echo:
                self.say(data)
            else:
                self.typed += data

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                del self._waiting[: os.write(self.master, self._waiting)]
        except BlockingIOError:
            loop.add_writer(self.master, self._flush)
        else:
            loop.remove_writer(self.master)
