"""Where chunks and indexes are that boards ask for: in the store, in the cache of the upstream, or not yet.

What is here is found without asking anybody. For what is not, the rack is asked, and the board waits: a chunk
is no boot answer.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from concurrent import futures
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hostler.netboot.fetched import WAIT_SECONDS
from hostler.netboot.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.netboot.fetched import Fetched
    from hostler.netboot.table import BootTable

TOLD_SECONDS = 30.0
"""How often it is told of a board that it waits."""
_PIPE_SECONDS = 2.0  # for the answer to come through the pipe
_TELL_SECONDS = 0.5  # between two words that somebody waits


class Supply(Protocol):
    """What brings here what is not."""

    async def fetch(self, index: str, chunk: str, board: str) -> Fetched:
        """Bring a chunk of an image, or its index if the chunk is empty; answers in ``WAIT_SECONDS``."""

    def read(self, index: str, chunk: str, board: str) -> None:
        """Take note that a board was given a chunk that came from the upstream. Must not block."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Images that are at home on another server.

    Attributes:
        cache: Root of the cache of their chunks.
        supply: What fetches them.
    """

    cache: Path
    supply: Supply


class ChunkShelf:
    """Finds chunks and indexes, and has them brought.

    Args:
        table: Files registered by their ids.
        store: Root of the chunk store.
        elsewhere: What is not in the store; None: nothing.
        say: Takes a board's name and a line about it.
        clock: Seconds, only forward.
    """

    def __init__(
        self,
        table: BootTable,
        store: Path,
        elsewhere: Elsewhere | None,
        say: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._store = store
        self._elsewhere = elsewhere
        self._say = say
        self._clock = clock
        self._told: dict[str, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def index_path(self, artefact: str) -> Path:
        """Return where an index is, or would be."""
        here = self._table.artefact(artefact) or self._store / "artefacts" / artefact
        if self._elsewhere is None or here.exists():
            return here
        return self._elsewhere.cache / "indexes" / artefact

    async def index(self, board: str, artefact: str) -> Path:
        """Return where an index is, once it is here; raises as ``chunk``."""
        path = self.index_path(artefact)
        if self._elsewhere is not None and not path.exists():
            self._took(board, await self._elsewhere.supply.fetch(artefact, "", board))
        return path

    async def chunk(self, board: str, index: str, digest: str) -> Path:
        """Return where a chunk is, once it is here. One that came from the upstream may go again: ask anew.

        Args:
            board: Who wants it.
            index: The image it is part of.
            digest: Its name.

        Raises:
            Refused: It is not here and will not come, or is still on its way: the board is to ask again.
        """
        path = self._here(digest)
        if self._elsewhere is None:
            return path
        if not path.exists():
            self._took(board, await self._elsewhere.supply.fetch(index, digest, board))
            return self._here(digest)
        if path.is_relative_to(self._elsewhere.cache):
            with suppress(OSError):
                os.utime(path)  # for the cache keeps what was used last
            self._elsewhere.supply.read(index, digest, board)
        return path

    def awaited(self, index: str, digest: str, reader: str, waits: Callable[[], None]) -> Path:
        """As ``chunk``, from a thread; raises OSError.

        Args:
            index: The image it is part of.
            digest: Its name.
            reader: Who wants it.
            waits: Called twice a second as long as it is not here; what it raises ends the wait.
        """
        path = self._here(digest)
        if self._elsewhere is None or (path.exists() and not path.is_relative_to(self._elsewhere.cache)):
            return path
        if self._loop is None:
            raise OSError(errno.EAGAIN, "the loop to ask by is not known")
        asked = asyncio.run_coroutine_threadsafe(self.chunk(reader, index, digest), self._loop)
        until = time.monotonic() + WAIT_SECONDS + _PIPE_SECONDS
        try:
            while not futures.wait([asked], _TELL_SECONDS).done and time.monotonic() < until:
                waits()
            return asked.result(0)
        except (TimeoutError, Refused) as error:
            raise OSError(errno.EAGAIN, f"it is not here yet: {error}") from error
        finally:
            asked.cancel()

    def follow(self) -> None:
        """Take note of the running loop, to which ``awaited`` brings its questions."""
        self._loop = asyncio.get_running_loop()

    @property
    def grows(self) -> bool:
        """Whether what is not here may come, and what is here may go."""
        return self._elsewhere is not None

    def _here(self, digest: str) -> Path:
        path = self._store / "chunks" / digest[:2] / digest
        if self._elsewhere is None or path.exists():
            return path
        return self._elsewhere.cache / "chunks" / digest[:2] / digest

    def _took(self, board: str, fetched: Fetched) -> None:
        """Tell of a board that it waits, or goes on; raises Refused when there is nothing for it yet."""
        now = self._clock()
        if fetched.here:
            if self._told.pop(board, None) is not None:
                self._say(board, "goes on: what it waited for has come")
            return
        if fetched.coming:
            if now - self._told.get(board, -TOLD_SECONDS) >= TOLD_SECONDS:
                self._told[board] = now
                self._say(board, fetched.text)
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{fetched.text}; come again")
        self._told.pop(board, None)
        if fetched.text:
            self._say(board, f"gets no more of its image: {fetched.text}")
        raise Refused(HTTPStatus(fetched.status), fetched.text or "it is not in the store")
