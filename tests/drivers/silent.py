"""A TCP port that takes connections and never says a word."""

from __future__ import annotations

import socket


class SilentPort:
    """Listens without ever answering; ``close`` makes it a port nobody listens on."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        host, port = self._socket.getsockname()
        self.address = f"{host}:{port}"

    def close(self) -> None:
        self._socket.close()
