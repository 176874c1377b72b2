"""Who may fetch an image over a network now, and who waits for a turn: so many at once, in order of arrival.

It keeps nothing: after a restart those who fetch show themselves by fetching, and those who wait ask again
and tell how long they have waited, which gives them their old places.
"""

from __future__ import annotations

SETTLE_SECONDS = 5.0
"""How long nobody is let in after the start: who fetches already shows itself within that."""
SILENT_SECONDS = 15.0
"""Who neither asks nor fetches for so long is gone: who waits asks every few seconds."""


class Admission:
    """The turns of one network.

    Args:
        most: How many may fetch at once.
        now: Seconds of a clock that only goes forward, as all the times below.
    """

    def __init__(self, most: int, now: float) -> None:
        self._most = most
        self._settled = now + SETTLE_SECONDS
        self._fetching: dict[str, float] = {}  # when each fetched or asked last
        self._waiting: dict[str, tuple[float, float]] = {}  # since when, and when each asked last

    def ask(self, board: str, waited: float, now: float) -> int:
        """Return a board's place in the queue; 0: it may fetch now.

        Args:
            board: Its name.
            waited: Seconds for which it says it has waited.
            now: See the class.
        """
        self._forget(now)
        if board in self._fetching:
            self._fetching[board] = now
            return 0
        since, _ = self._waiting.get(board, (now, now))
        self._waiting[board] = (min(since, now - waited), now)
        order = sorted((since, name) for name, (since, _) in self._waiting.items())
        place = 1 + next(number for number, (_, name) in enumerate(order) if name == board)
        if now < self._settled or place > self._most - len(self._fetching):
            return place
        del self._waiting[board]
        self._fetching[board] = now
        return 0

    def fetches(self, board: str, now: float) -> None:
        """A board fetches: it was let in, perhaps before a restart, or lacks too little to need a turn."""
        self._waiting.pop(board, None)
        self._fetching[board] = now

    def leave(self, board: str) -> None:
        """A board needs no turn any more."""
        self._waiting.pop(board, None)
        self._fetching.pop(board, None)

    def _forget(self, now: float) -> None:
        for board in [board for board, at in self._fetching.items() if at < now - SILENT_SECONDS]:
            del self._fetching[board]
        for board in [board for board, (_, at) in self._waiting.items() if at < now - SILENT_SECONDS]:
            del self._waiting[board]
