"""Addresses that images are fetched from for members lead nowhere inside."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hostler.images.source import SourceError, open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netns import Lan

PEER, OWN = "10.77.0.11", "10.77.0.1"


@contextmanager
def serving(host: str, asked: list[str]) -> Iterator[int]:
    """Serve ``/image``, and send ``/to/…`` elsewhere; notes what it was asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path.startswith("/to/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/to/"))
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * 4096)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((host, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def read(url: str, *barred: str) -> int:
    with open_source(url, barred) as source:
        return sum(len(block) for block in source.blocks())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0"])
def test_the_server_itself_is_not_asked(host: str) -> None:
    """However loopback is written, nothing there is sent a request; who may go anywhere gets it."""
    asked: list[str] = []
    with serving("127.0.0.1", asked) as port:
        url = f"http://{host}:{port}/image"
        with pytest.raises(SourceError, match="only an admin"):
            read(url)
        assert asked == []
        with open_source(url) as source:
            assert sum(len(block) for block in source.blocks()) == 4096


@pytest.mark.netns
def test_what_counts_is_where_a_connection_leads(lan: Lan) -> None:
    """Another host is asked; neither it, being equipment, nor whatever it redirects to inside is."""
    lan.client.run("ip", "address", "add", f"{PEER}/24", "dev", "cli0")
    lan.client.run("ip", "address", "add", "10.77.0.12/24", "dev", "cli0")
    asked: list[str] = []
    with lan.client.entered():
        there = serving("0.0.0.0", asked)
        port = there.__enter__()
    inner: list[str] = []
    try:
        with lan.server.entered(), serving("0.0.0.0", inner) as own:
            assert read(f"http://{PEER}:{port}/image") == 4096
            assert read(f"http://{PEER}:{port}/to/http://10.77.0.12:{port}/image") == 4096
            for url, barred in (
                (f"http://{PEER}:{port}/image", PEER),
                (f"http://{PEER}:{port}/to/http://10.77.0.12:{port}/image", "10.77.0.12"),
                (f"http://{PEER}:{port}/to/http://{OWN}:{own}/image", "no-such-host.invalid"),
                (f"http://{PEER}:{port}/to/http://127.0.0.1:{own}/image", "10.77.0.99"),
            ):
                with pytest.raises(SourceError, match="only an admin"):
                    read(url, barred)
            with pytest.raises(SourceError, match="ftp"):
                read(f"http://{PEER}:{port}/to/ftp://{PEER}/image")
    finally:
        there.__exit__(None, None, None)
    assert inner == []
    assert [path for path in asked if path == "/image"] == ["/image"] * 2
