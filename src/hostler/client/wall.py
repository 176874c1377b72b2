"""Every board of a lab as it is, followed live: one call for who shows them all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.client.documents import Board
    from hostler.client.transport import Transport

SILENCE_SECONDS = 60.0
"""The server says something every 15 s; one that is silent for so long is gone."""


class Said(TypedDict):
    """The last line of a board's console."""

    name: str
    line: str
    at: str | None


class BoardNews(NamedTuple):
    """What is told of boards.

    Attributes:
        kind: ``board`` is as told now; ``gone``; ``complete``: all there are have been told; ``said``: its
            console's last line.
        board: With ``board``.
        name: With ``board``, ``gone`` and ``said``.
        line: With ``said``; empty: there is none for the caller to read.
    """

    kind: Literal["board", "gone", "complete", "said"]
    board: Board | None = None
    name: str = ""
    line: str = ""


class WallCalls:
    """Calls of the client; see ``client.Client``."""

    _http: Transport

    def follow_boards(self) -> Iterator[BoardNews]:
        """Yield every board, then ``complete``, then what changes; ends when the server ends it.

        Raises:
            RefusedError: The server said no.
            UnreachableError: It is away, or went silent.
        """
        import httpx2

        query = {"follow": True, "lines": True}
        headers = {"Accept": "text/event-stream"}
        with self._http.stream(
            "GET", "boards", query=query, headers=headers, seconds=SILENCE_SECONDS
        ) as response:
            for message in httpx2.EventSource(response):
                if message.event == "complete":
                    yield BoardNews("complete")
                elif message.data and message.event == "board":
                    board = cast("Board", json.loads(message.data))
                    yield BoardNews("board", board, board["name"])
                elif message.data and message.event == "gone":
                    yield BoardNews("gone", name=json.loads(message.data)["name"])
                elif message.data and message.event == "said":
                    said = cast("Said", json.loads(message.data))
                    yield BoardNews("said", name=said["name"], line=said["line"])
