"""A small TLS server that shows what it is told to show, and notes what it is sent."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostler.api import authority as ca

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = b'{"ok":true,"version":"1"}'


class Vouching:
    """An authority for the tests' names, and what it issues."""

    def __init__(self, *names: str, at: dt.datetime | None = None) -> None:
        self._now = at or dt.datetime.now(dt.UTC)
        self._names = names or ("localhost", "127.0.0.1")
        self._identity = ca.make_authority("test", self._names, self._now)

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return ca.certificate_pem(self._identity.certificate).decode()

    @property
    def fingerprint(self) -> str:
        """The authority's fingerprint."""
        return ca.fingerprint(self._identity.certificate)

    def server(self) -> str:
        """Return a new server's key and certificate."""
        return ca.issue(self._identity, self._names, self._now).to_pem().decode()


@dataclass
class Peer:
    """A server that runs.

    Attributes:
        url: Its address, by a name of the certificate.
        heard: All that arrived through TLS.
    """

    url: str
    heard: list[bytes] = field(default_factory=list)


@contextmanager
def showing(folder: Path, *chain: str) -> Iterator[Peer]:
    """Serve with these certificates, the server's own and its key first; every request gets one answer."""
    file = folder / "chain.pem"
    file.write_text("".join(chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    listener = socket.create_server(("127.0.0.1", 0))
    peer = Peer(f"https://localhost:{listener.getsockname()[1]}")
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            plain, _ = listener.accept()
            with suppress(OSError), plain:
                plain.settimeout(5)
                with context.wrap_socket(plain, server_side=True) as connection:
                    while data := connection.recv(4096):
                        peer.heard.append(data)
                        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(HELLO)}\r\n\r\n".encode()
                        connection.sendall(head + HELLO)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield peer
    finally:
        stopping.set()
        with suppress(OSError), socket.create_connection(listener.getsockname(), timeout=5):
            pass
        thread.join(10)
        listener.close()
