"""The turns of boards that install over a rack's networks, and the rate at which they are sent chunks."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from hostler.model.admission import Admission
from hostler.netboot.refused import Refused
from hostler.wire.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hostler.model.json import Document
    from hostler.netboot.table import NetworkConfig

AGAIN_SECONDS = 2.0
"""After how long a board that waits is to ask again."""
LATEST_SECONDS = 8.0
"""Longest time a chunk waits to be sent: an agent takes a rack for lost that says nothing for 15 s."""


class InstallTurns:
    """Those of all networks in one namespace.

    Args:
        networks: Some of them have an ``InstallLimit``.
        say: Takes a board's name and a line about it.
        clock: Seconds, only forward.
    """

    def __init__(
        self,
        networks: Iterable[NetworkConfig],
        say: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._say = say
        limits = {one.name: one.installs for one in networks if one.installs is not None}
        self._most = {name: limit.boards for name, limit in limits.items()}
        self._admission = {name: Admission(limit.boards, clock()) for name, limit in limits.items()}
        self._pace = {name: Pace(limit.rate) for name, limit in limits.items() if limit.rate is not None}
        self._told: set[str] = set()

    def ask(self, board: str, network: NetworkConfig | None, waited: float) -> Document:
        """Answer a board that wants to fetch an image by HTTP.

        ``{"place": 0}``: it may. ``{"place": 3, "again": 2.0}``: it is the third in the queue and is to ask
        again in two seconds.

        Args:
            board: Its name.
            network: Where it is.
            waited: Seconds for which it says it has waited.
        """
        admission = self._admission.get(network.name) if network is not None else None
        if network is None or admission is None:
            return {"place": 0}
        place = admission.ask(board, waited, self._clock())
        if not place:
            if board in self._told:
                self._told.discard(board)
                self._say(board, f"fetches its image after it waited {waited:.0f} s for its turn")
            return {"place": 0}
        if board not in self._told:
            self._told.add(board)
            most = self._most[network.name]
            self._say(
                board,
                f"waits for its turn to fetch its image, at place {place}: "
                f"{most} at once may on network {network.name}",
            )
        return {"place": place, "again": AGAIN_SECONDS}

    async def chunk(
        self, board: str, network: NetworkConfig | None, size: int, *, in_turn: bool = True
    ) -> None:
        """Wait until a chunk of this many bytes may be sent to a board.

        Args:
            board: Its name.
            network: Where it is.
            size: Of the chunk.
            in_turn: Whether it is one of those that fetch images at once; no turn is for boards that fetch
                from each other.

        Raises:
            Refused: Too much waits to be sent; the board is to come again.
        """
        if network is None or network.name not in self._admission:
            return
        now = self._clock()
        if in_turn:
            self._admission[network.name].fetches(board, now)
        pace = self._pace.get(network.name)
        if pace is None:
            return
        if pace.behind(now) > LATEST_SECONDS:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too much waits to be sent; come again")
        await asyncio.sleep(pace.delay(size, now))

    def leave(self, board: str) -> None:
        """A board fetches nothing more: it has its image, has failed, or listens to a carousel."""
        self._told.discard(board)
        for admission in self._admission.values():
            admission.leave(board)
