"""The board at the far end of a serial line."""

from __future__ import annotations

import os
import pty
import select
import threading
import tty


class SerialBoard:
    """The board at the far end of pc-1's serial line: it says in capitals what is typed."""

    def __init__(self) -> None:
        self.end, self.line = pty.openpty()
        tty.setraw(self.line)
        self.path = os.ttyname(self.line)
        self.heard = bytearray()
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._echo)
        self._thread.start()

    def _echo(self) -> None:
        while self._stop not in (ready := select.select([self.end, self._stop], [], [])[0]):
            if self.end in ready:
                data = os.read(self.end, 4096)
                self.heard += data
                os.write(self.end, data.upper())

    def say(self, data: bytes) -> None:
        """Print on the console."""
        os.write(self.end, data)

    def close(self) -> None:
        """Pull the cable."""
        os.write(self._stopped, b"x")
        self._thread.join()
        for descriptor in (self.end, self.line, self._stop, self._stopped):
            os.close(descriptor)
