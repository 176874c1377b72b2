"""What is said when a server does not answer as it should."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hostler.client.errors import UnreachableError
from hostler.client.settings import Settings
from hostler.client.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def answering(said: bytes) -> Iterator[str]:
    """A server that says this to one request and hangs up; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(20)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (b"", "if it wants TLS, write https://"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            "it ended in the middle of its answer: look whether `hostler serve` runs",
        ),
    ],
)
def test_a_server_that_hangs_up_is_told_by_when_it_did(said: bytes, advice: str) -> None:
    """Before its answer it may want TLS; in the middle of it, it has ended."""
    with answering(said) as url, pytest.raises(UnreachableError) as told:
        Transport(Settings(url=url, token="")).call("GET", "boards")
    assert advice in str(told.value.advice)
