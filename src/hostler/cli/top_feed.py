"""What a live wall is told, fetched by threads that connect again for ever."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from hostler.client.client import Client
from hostler.client.errors import ClientError
from hostler.client.wall import SILENCE_SECONDS, BoardNews

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.client.documents import Event
    from hostler.client.settings import Settings

RETRY_SECONDS = 2.0

Told = BoardNews | ClientError | None
"""``None``: all boards are told anew from here; an error: the server is away, and is asked again."""


class Feed:
    """Follows boards and events of a server in threads of its own.

    Attributes:
        boards: What was told of boards.
        events: What happened.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ended = threading.Event()
        self.boards: SimpleQueue[Told] = SimpleQueue()
        self.events: SimpleQueue[Event] = SimpleQueue()

    def start(self) -> None:
        """Begin."""
        for work in (self._follow_boards, self._follow_events):
            # Whoever ends does not wait for a server that is silent.
            threading.Thread(target=self._again, args=(work,), daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _again(self, work: Callable[[Client], None]) -> None:
        while not self._ended.is_set():
            try:
                with Client(self._settings) as client:
                    work(client)
            except ClientError as error:
                self.boards.put(error)
            self._ended.wait(RETRY_SECONDS)

    def _follow_boards(self, client: Client) -> None:
        begun = False
        for news in client.follow_boards():
            if not begun:
                begun = True
                self.boards.put(None)
            self.boards.put(news)
            if self._ended.is_set():
                return
        raise ClientError("the server closed the connection")

    def _follow_events(self, client: Client) -> None:
        for event in client.follow_events(silence=SILENCE_SECONDS):
            self.events.put(event)
            if self._ended.is_set():
                return
