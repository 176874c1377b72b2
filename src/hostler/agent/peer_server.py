"""Giving chunks to other boards: ``GET /chunk/NUMBER`` over HTTP/1.1, to who shows a ticket of the rack.

Small enough to see that nothing else can be asked of it: a request has at most a kilobyte and some seconds
in all, there are a few connections at a time, and what is given is in memory. Who has shown no ticket gets
some of the places alone, so that strangers keep no board from being served.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

from hostler.model.peer_ticket import holds

if TYPE_CHECKING:
    from hostler.agent.peer_frames import Frames

MOST_CONNECTIONS = 16
"""More than that are closed as they come; the rack sends no more than a few boards at a time."""
MOST_STRANGERS = 12
"""Connections from addresses that have shown no ticket yet."""
MOST_OF_STRANGER = 4
"""Connections from one such address: a board that comes for the first time has so many workers."""
REQUEST_SECONDS = 5.0
"""How long a whole request may take from whoever has shown no ticket."""
IDLE_SECONDS = 30.0
"""Likewise from others, who write what they got to a slow disk meanwhile."""
SEND_SECONDS = 30.0
"""How long a whole frame may take; who takes it more slowly is better served by the rack."""
LINGER_SECONDS = 5.0
"""How long what is being sent at the end may go on, on all connections together: at 20 Mbit/s chunks take two
seconds, and all their bytes would be sent in vain."""
_LONGEST = 1024
_REQUEST = re.compile(rb"GET /chunk/([0-9]{1,9}) HTTP/1\.1\r\n")
_TICKET = re.compile(rb"\r\nAuthorization: Bearer ([0-9a-f]{64})\r\n")


class PeerServer:
    """Serves frames as long as it is entered.

    Args:
        here: Own address; nothing listens on others.
        frames: What there is to give.
        request_seconds: See ``REQUEST_SECONDS``.

    Attributes:
        key: What tickets are made with; for the rack alone.
        given_bytes: Bytes of the frames that were given.
    """

    def __init__(self, here: str, frames: Frames, request_seconds: float = REQUEST_SECONDS) -> None:
        self.key = secrets.token_hex(32)
        self.given_bytes = 0
        self._here = here
        self._frames = frames
        self._request_seconds = request_seconds
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._connections: dict[threading.Thread, tuple[socket.socket, str]] = {}
        self._known: set[str] = set()  # addresses that have shown a ticket

    def __enter__(self) -> Self:
        """Listen on a port that is free; raises OSError."""
        self._listening = socket.create_server((self._here, 0), backlog=MOST_CONNECTIONS)
        self._listening.settimeout(0.2)
        self._accepting = threading.Thread(target=self._accept, name="peer-server")
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take no more requests, and end."""
        self._ended.set()
        self._accepting.join()
        with self._lock:
            left = dict(self._connections)
        for connection, _host in left.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # what is being sent goes on
        deadline = time.monotonic() + LINGER_SECONDS
        for thread, (connection, _host) in left.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    def _accept(self) -> None:
        with self._listening:
            while not self._ended.is_set():
                try:
                    connection, (host, _) = self._listening.accept()
                except OSError:  # nobody for a while, or somebody who has gone again
                    continue
                with self._lock:
                    room = self._has_room(host)
                    if room:
                        thread = threading.Thread(target=self._serve, args=[connection, host], name="peer")
                        self._connections[thread] = connection, host
                if room:
                    thread.start()
                else:
                    connection.close()

    def _has_room(self, host: str) -> bool:
        strangers = [one for _, one in self._connections.values() if one not in self._known]
        few = len(strangers) < MOST_STRANGERS and strangers.count(host) < MOST_OF_STRANGER
        return len(self._connections) < MOST_CONNECTIONS and (few or host in self._known)

    def _serve(self, connection: socket.socket, host: str) -> None:
        try:
            with contextlib.suppress(OSError), connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not self._ended.is_set() and self._answer(connection, host):
                    pass
        finally:
            with self._lock:
                self._connections.pop(threading.current_thread(), None)

    def _answer(self, connection: socket.socket, host: str) -> bool:
        """Answer one request; return whether there may be another one."""
        deadline = time.monotonic() + (IDLE_SECONDS if host in self._known else self._request_seconds)
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            connection.settimeout(left)
            piece = connection.recv(_LONGEST + 1 - len(request))
            request += piece
            if not piece or len(request) > _LONGEST:
                return False
        wanted, shown = _REQUEST.match(request), _TICKET.search(request)
        if wanted is None:
            return _refuse(connection, "400 Bad Request")
        if shown is None or not holds(shown[1].decode(), self.key, host):
            return _refuse(connection, "403 Forbidden")
        with self._lock:
            self._known.add(host)
        frame = self._frames.get(int(wanted[1]))
        connection.settimeout(SEND_SECONDS)  # of all of it, in sendall
        if frame is None:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return True
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/zstd\r\nContent-Length: {len(frame)}\r\n\r\n"
        connection.sendall(head.encode(), socket.MSG_MORE)
        connection.sendall(frame)
        with self._lock:
            self.given_bytes += len(frame)
        return True


def _refuse(connection: socket.socket, status: str) -> bool:
    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    return False
