"""A link to a server of this machine that counts what is sent over it, holds it up, and is cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class SlowLink:
    """Carries connections on a port of its own to a port of the server.

    Attributes:
        port: Where it takes connections.
        carried: Bytes carried to the server since ``hold_after``.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._most: int | None = None
        self.carried = 0
        self._change = threading.Condition()
        self._open: set[socket.socket] = set()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()
        self.hold_after(None)
        self.cut()

    def hold_after(self, most: int | None) -> None:
        """Begin to count, and carry no more than so many bytes to the server; None: all."""
        with self._change:
            self._most, self.carried = most, 0
            self._change.notify_all()

    def cut(self) -> None:
        """End every connection there is."""
        with self._change:
            ends, self._open = self._open, set()
            self._change.notify_all()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._door.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                with self._change:
                    self._open |= {near, far}
                for one, other, counted in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._carry, args=(one, other, counted), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if counted and not self._let_through(len(data), source):
                    break
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _let_through(self, count: int, source: socket.socket) -> bool:
        """Wait until there is room for more; returns whether the connection is still there."""
        with self._change:
            self._change.wait_for(
                lambda: source not in self._open or self._most is None or self.carried + count <= self._most
            )
            self.carried += count
            return source in self._open
