"""What a live wall is told, fetched by threads that connect again for ever."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from hostler.client.client import Client
from hostler.client.errors import ClientError
from hostler.client.wall import SILENCE_SECONDS, BoardNews

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.client.documents import Event
    from hostler.client.settings import Settings

RETRY_SECONDS = 2.0


class Told(NamedTuple):
    """What was told since it was taken the last time.

    Attributes:
        away: Why the server is not heard now; it is asked again. Empty: it is heard.
        anew: All boards are told anew from here.
        news: Of boards, what was told last of each.
        events: The last of each board.
    """

    away: str
    anew: bool
    news: list[BoardNews]
    events: list[Event]


class Feed:
    """Follows boards and events of a server in threads of its own.

    Only the last news of each board are kept, so that nothing grows while nobody takes them: somebody may sit
    at a board's console for hours.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._away: dict[str, str] = {}  # by what is followed: each has a connection of its own
        self._anew = False
        self._news: dict[tuple[str, str], BoardNews] = {}
        self._events: dict[str, Event] = {}

    def start(self) -> None:
        """Begin."""
        for what, work in (("boards", self._follow_boards), ("events", self._follow_events)):
            # Whoever ends does not wait for a server that is silent.
            threading.Thread(target=self._again, args=(what, work), daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()

    def take(self) -> Told:
        """Return what was told, in an order in which it can be taken over, and keep it no longer."""
        with self._lock:
            away = next(iter(self._away.values()), "")
            told = Told(away, self._anew, [*self._news.values()], [*self._events.values()])
            self._anew = False
            self._news.clear()
            self._events.clear()
            return told

    def _again(self, what: str, work: Callable[[Client], None]) -> None:
        while not self._ended.is_set():
            try:
                with Client(self._settings) as client:
                    work(client)
            except ClientError as error:
                with self._lock:
                    self._away[what] = str(error)
            self._ended.wait(RETRY_SECONDS)

    def _follow_boards(self, client: Client) -> None:
        begun = False
        for news in client.follow_boards():
            with self._lock:
                if not begun:
                    begun = self._anew = True
                    self._away.pop("boards", None)
                    self._news.clear()
                # A board told before "complete" stays before it, with what is told of it later.
                self._news["said" if news.kind == "said" else "board", news.name] = news
            if self._ended.is_set():
                return
        raise ClientError("the server closed the connection")

    def _follow_events(self, client: Client) -> None:
        for event in client.follow_events(begun=self._hears_events, silence=SILENCE_SECONDS):
            with self._lock:
                board = event.get("board") or ""
                self._events.pop(board, None)
                self._events[board] = event
            if self._ended.is_set():
                return

    def _hears_events(self) -> None:
        with self._lock:
            self._away.pop("events", None)
