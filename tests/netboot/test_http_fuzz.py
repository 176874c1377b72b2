"""Anything at all on the HTTP boot port: no error of ours, bounded memory, and the others are served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_http import TOKEN, Bench, listening

from hostler.netboot.http_connections import MOST_OF_ONE

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
# What a request may be answered with, or nothing at all, when it never was one.
_OUR_FAULTS = range(500, 600)
_GOOD = b"GET /boot/ipxe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Faults(logging.Handler):
    """What was logged as an error: aiohttp writes a traceback for each exception it did not expect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


class Served:
    """A listener in a thread of its own."""

    def __init__(self, bench: Bench, faults: Faults) -> None:
        self.bench, self.faults = bench, faults

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.bench.port), 10)

    def ask(self, data: bytes, patience: float = 0.1) -> bytes:
        """Send bytes, wait a little for the answer to begin, close that side, and return all that comes.

        An answer that is too late is not seen; what went wrong meanwhile is logged all the same.
        """
        with self.connect() as connection, contextlib.suppress(OSError):
            connection.sendall(data)
            first = _first(connection, patience)
            connection.shutdown(socket.SHUT_WR)
            return first + _read(connection)
        return b""

    def check(self, answer: bytes) -> None:
        """No answer is our fault."""
        for status in _STATUS.findall(answer):
            assert int(status) not in _OUR_FAULTS, answer[:300]
        assert self.faults.texts == []

    def answers(self) -> bool:
        return b"Hostler: b1: booting the agent" in self.ask(_GOOD, 10)


def _first(connection: socket.socket, patience: float) -> bytes:
    if not patience:
        return b""
    connection.settimeout(patience)
    try:
        return connection.recv(65536)
    except TimeoutError:
        return b""
    finally:
        connection.settimeout(10)


def _read(connection: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            data += piece
    return data


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    ready, stop = threading.Event(), asyncio.Event()
    made: list[Bench] = []
    loop = asyncio.new_event_loop()
    root = tmp_path_factory.mktemp("boot")

    async def serve() -> None:
        async with listening(root) as bench:
            kernel, _ = bench.file("kernel", 5000)
            initrd, _ = bench.file("initrd", 5000)
            bench.step(kernel=kernel, initrd=initrd)
            made.append(bench)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    faults = Faults()
    logging.getLogger().addHandler(faults)
    thread.start()
    assert ready.wait(30)
    try:
        yield Served(made[0], faults)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        logging.getLogger().removeHandler(faults)
        loop.close()


METHODS = st.one_of(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get"]),
    st.text("ABCXYZ-!", min_size=1, max_size=12),
)
SEGMENTS = st.one_of(
    st.sampled_from([
        "boot", "agent", "ipxe", "config.cpio", "file", "image", "text", "done", "fail", "join", "step",
        "hello", "progress", "index", "chunk", "grub", "grub.cfg", "uki.efi", "snponly.efi", "pxelinux",
        "pxelinux.cfg", "..", ".", "", "%2e%2e", "%00", "%ff", "a" * 64, "0" * 64, "etc", "passwd", "~", "*",
    ]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#? "), max_size=20),
)  # fmt: skip
QUERIES = st.one_of(
    st.just(""),
    st.sampled_from(["?failed=kernel", "?failed=%", f"?token={TOKEN}", "?token=", "?mac=x&uuid=y&serial=z"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=20).map(
        lambda text: "?" + text
    ),
)
PATHS = st.builds(
    lambda parts, query: "/" + "/".join(parts) + query, st.lists(SEGMENTS, min_size=1, max_size=5), QUERIES
)
VALUES = st.one_of(
    st.sampled_from([
        f"Bearer {TOKEN}", "Bearer", "Bearer x", "bytes=0-", "bytes=5-2", "bytes=-1", "bytes=0-1,3-4",
        "bytes=0-99999999999999999999", "chunked", "gzip", "-1", "0", "5", "99999999999999999999", "close",
        "keep-alive", "100-continue", "websocket", "application/json", "[::1]", "../x",
    ]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
)  # fmt: skip
NAMES = st.sampled_from([
    "Host", "Authorization", "Range", "If-Range", "If-None-Match", "Transfer-Encoding", "Content-Encoding",
    "Content-Length", "Connection", "Expect", "Upgrade", "Content-Type", "X-Forwarded-For", "Cookie",
])  # fmt: skip
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b"{}", b"[]", b"null", b'{"a": 1e999}', b"[" * 5000, b'{"error": "\xff"}', b'{"a":' * 900]
    ),
)


def request(method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@settings(max_examples=250, deadline=None)
@given(METHODS, PATHS, HEADERS, BODIES)
def test_any_request_is_answered_or_refused(
    served: Served, method: str, path: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    """Whatever is asked for, however: the answer is never an error of the server."""
    served.check(served.ask(request(method, path, headers, body)))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["hello", "progress", "done", "fail", "x"]), HEADERS, BODIES)
def test_any_report_of_an_agent_is_taken_or_refused(
    served: Served, name: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    """With the right token, so that the body is read."""
    own = [("Host", "x"), ("Authorization", f"Bearer {TOKEN}"), ("Content-Length", str(len(body)))]
    served.check(served.ask(request("POST", f"/agent/{name}", [*own, *headers], body)))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_survived(served: Served, data: bytes) -> None:
    """What is no HTTP is refused or cut."""
    served.check(served.ask(data))


def test_a_request_cut_after_any_byte_harms_nobody(served: Served) -> None:
    """The client went away: there is nothing to answer, and the next one is served."""
    posted = request("POST", "/agent/done", [("Host", "x"), ("Authorization", f"Bearer {TOKEN}"),
                                             ("Content-Length", "20")], b'{"result": {}}      ')  # fmt: skip
    before = len(served.bench.reports)
    for whole in (_GOOD, posted):
        for end in range(0, len(whole), 3):
            served.check(served.ask(whole[:end], 0))
    assert len(served.bench.reports) == before
    assert served.answers()


def test_endless_headers_and_bodies_are_refused(served: Served) -> None:
    """No more than a few KiB of a head are kept, and of a body not more than its limit."""
    tracemalloc.start()
    try:
        for data in (
            b"GET /boot/ipxe HTTP/1.1\r\nX: " + b"a" * 2_000_000,
            b"GET /" + b"a" * 2_000_000,
            b"GET /boot/ipxe HTTP/1.1\r\n" + b"X-Y: z\r\n" * 200_000,
            request("POST", "/agent/done", [("Authorization", f"Bearer {TOKEN}"),
                                            ("Transfer-Encoding", "chunked")], b"fffff\r\n" + b"a" * 0xFFFFF),
        ):  # fmt: skip
            answer = served.ask(data, 5)
            served.check(answer)
            assert b" 200 " not in answer[:20]
        size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 8_000_000
    assert peak < 40_000_000
    assert served.answers()


def test_one_that_opens_connections_and_says_nothing_leaves_room(served: Served) -> None:
    """From its limit on they are cut; another address is served meanwhile, and it itself afterwards."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(served.connect()) for _ in range(3 * MOST_OF_ONE)]
        for connection in held:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET /boot/ipxe HTTP/1.1\r\nHost:")
        other = socket.create_connection(
            ("127.0.0.1", served.bench.port), 10, source_address=("127.0.0.9", 0)
        )
        with other:
            other.sendall(_GOOD)
            assert b"200 OK" in _read(other)
        cut = 0
        for connection in held:
            connection.settimeout(0.02)
            try:
                cut += connection.recv(1) == b""
            except TimeoutError:
                pass
            except ConnectionError:
                cut += 1
        assert cut == 2 * MOST_OF_ONE
    served.check(b"")
    assert any(served.answers() for _ in range(100))  # the last of them may not be gone yet
