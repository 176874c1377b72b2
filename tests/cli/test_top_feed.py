"""What `hostler top` is told, from a server whose connections the test breaks one by one."""

from __future__ import annotations

import http.server
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hostler.cli.top_feed import Feed
from hostler.client.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMES = 500


class Server(http.server.ThreadingHTTPServer):
    """Refuses the first connections named in ``refused``; ends those that told much after they told it."""

    daemon_threads = True

    def __init__(self, refused: str) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.refused = refused
        self.asked: list[str] = []
        self.proceed = threading.Event()  # of who was refused
        self.ended = threading.Event()


class Answer(http.server.BaseHTTPRequestHandler):
    """Streams as the real server does."""

    server: Server

    def do_GET(self) -> None:
        what = self.path.split("?")[0].rsplit("/", 1)[1]
        self.server.asked.append(what)
        first = self.server.asked.count(what) == 1
        if first and what == self.server.refused:
            self.send_error(503)
            return
        if what == self.server.refused:
            self.server.proceed.wait()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.flush()
        if first and not self.server.refused:
            self._boards() if what == "boards" else self._events()
            return
        self.server.ended.wait()

    def _boards(self) -> None:
        self._tell("board", {"name": "pc-1", "number": 0})
        self._tell("board", {"name": "pc-2", "number": 0})
        self._tell("complete", {})
        for number in range(TIMES):
            self._tell("board", {"name": "pc-1", "number": number})
            self._tell("said", {"name": "pc-1", "line": str(number)})
        self._tell("gone", {"name": "pc-2"})

    def _events(self) -> None:
        for number in range(TIMES):
            self._tell("event", {"board": "pc-1", "kind": "run", "text": str(number)})

    def _tell(self, event: str, document: object) -> None:
        self.wfile.write(f"event: {event}\ndata: {json.dumps(document)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def followed(refused: str = "") -> Iterator[tuple[Server, Feed]]:
    """Run the server and a feed of it."""
    server = Server(refused)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    feed = Feed(Settings(f"http://127.0.0.1:{server.server_port}", "token"))
    feed.start()
    try:
        yield server, feed
    finally:
        feed.stop()
        server.proceed.set()
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def until(wanted: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_events_alone_are_away_and_come_back() -> None:
    """A connection that broke says so only until it is there again, while the other one goes on."""
    with followed(refused="events") as (server, feed):
        until(lambda: "503" in feed.take().away and "boards" in server.asked)
        server.proceed.set()
        until(lambda: not feed.take().away)
        assert server.asked.count("boards") == 1


def test_what_nobody_takes_does_not_grow() -> None:
    """Of many news of a board only the last is kept, in an order that loses no board."""
    with followed() as (server, feed):
        until(lambda: server.asked.count("boards") == 2 and server.asked.count("events") == 2)
        told = feed.take()
        assert told.anew
        assert [(one.kind, one.name, one.line, one.board and one.board["number"]) for one in told.news] == [  # type: ignore[typeddict-item]
            ("board", "pc-1", "", TIMES - 1),
            ("gone", "pc-2", "", None),
            ("complete", "", "", None),
            ("said", "pc-1", str(TIMES - 1), None),
        ]
        assert [(event["board"], event["text"]) for event in told.events] == [("pc-1", str(TIMES - 1))]
        assert feed.take().news == []
