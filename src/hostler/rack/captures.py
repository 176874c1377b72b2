"""Captured images on their way from netboot's spool into the store, one task for each."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from hostler.images.captured import MissingChunksError, StoredCapture, drop_spools, store_capture
from hostler.images.store_errors import StoreError, StoreFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hostler.images.store import ImageStore

log = logging.getLogger(__name__)

_TIDY_SECONDS = 60.0
_AT_ONCE = 2
"""Captures being stored: shrinking takes minutes to hours of a core and of the disk."""


class _CalledOffError(Exception):
    """Nobody wants the capture any more."""


@dataclass(slots=True)
class _Storing:
    """One capture being stored: its index, what came of it, and whether its agent was told of a failure.

    ``called_off`` ends the work.
    """

    index: str
    stored: StoredCapture | None = None
    status: HTTPStatus = HTTPStatus.ACCEPTED
    error: str = ""
    told: bool = False
    called_off: threading.Event = field(default_factory=threading.Event)

    def beat(self) -> None:
        """Raise _CalledOffError when nobody wants it any more; for the thread that stores it."""
        if self.called_off.is_set():
            raise _CalledOffError("the run has ended")


class Captures:
    """Stores what agents captured.

    Args:
        store: Where to.
        active: Tells the ids of the runs that have not ended.
    """

    def __init__(self, store: ImageStore, active: Callable[[], Collection[str]]) -> None:
        self._store = store
        self._active = active
        self._tasks: asyncio.TaskGroup | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._storing: dict[tuple[str, int], _Storing] = {}

    def finish(
        self, run: str, step: int, index: str, *, smaller: bool, most_data: int | None = None
    ) -> HTTPStatus:
        """Begin to store a capture, or tell how it stands.

        Args:
            run: The run's id.
            step: Number of its capture step.
            index: Id of the index that was handed in.
            smaller: Shrink it as well.
            most_data: How many bytes that are not holes it may have; None: any number.

        Returns:
            202 while it is being stored, 204 once it is, 409 when something of it must be sent again, 413
            when there is no room for it, or it has more data than it may.
        """
        known = self._storing.get((run, step))
        if known is not None and known.index == index and not known.told:
            # Told once; whoever asks again wants it tried again.
            known.told = known.status in (HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return known.status
        if self._tasks is None:
            return HTTPStatus.SERVICE_UNAVAILABLE
        if known is not None:
            known.called_off.set()  # the agent has read the disk anew
        # Until it succeeds the last reason stays: the run may end before there is another.
        begun = self._storing[run, step] = _Storing(index, error=known.error if known is not None else "")
        self._tasks.create_task(
            self._store_it(run, step, begun, smaller=smaller, most_data=most_data), name=f"capture {run}"
        )
        return begun.status

    def stored(self, run: str, step: int) -> dict[str, Any] | None:
        """Return what a step's capture became in the store; None: it is not there."""
        known = self._storing.get((run, step))
        return known.stored.to_json() if known is not None and known.stored is not None else None

    def trouble(self, run: str, step: int) -> str:
        """Say why a step's capture could not be stored, in words the agent does not have; or nothing."""
        known = self._storing.get((run, step))
        return known.error if known is not None else ""

    async def run(self) -> None:
        """Store what is asked for, and throw away what belongs to no run any more, until cancelled."""
        # Threads of its own: those that everybody shares are for what takes moments.
        self._threads = ThreadPoolExecutor(_AT_ONCE, "captures")
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                while True:
                    await asyncio.sleep(_TIDY_SECONDS)
                    active = self._active()
                    for key in [key for key in self._storing if key[0] not in active]:
                        self._storing.pop(key).called_off.set()
                    await asyncio.to_thread(drop_spools, self._store, active)
        finally:
            self._tasks = None
            for storing in self._storing.values():
                storing.called_off.set()
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _store_it(
        self, run: str, step: int, storing: _Storing, *, smaller: bool, most_data: int | None
    ) -> None:
        work = partial(
            store_capture, self._store, run, step, storing.index, smaller=smaller, most_data=most_data,
            beat=storing.beat,
        )  # fmt: skip
        try:
            storing.stored = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except MissingChunksError as error:
            storing.status, storing.error = HTTPStatus.CONFLICT, str(error)
        except StoreFullError as error:
            storing.status, storing.error = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)
        except _CalledOffError as error:
            storing.status, storing.error = HTTPStatus.CONFLICT, str(error)
        except (StoreError, OSError) as error:
            log.exception("the capture of run %s is not stored", run)
            storing.status, storing.error = HTTPStatus.CONFLICT, str(error)
        except Exception as error:
            # What a board hands in may bring out any fault of ours: it costs this capture, not the lab.
            # It would come again, so the agent is not asked to try.
            log.exception("the capture of run %s cannot be stored", run)
            storing.status = HTTPStatus.UNPROCESSABLE_ENTITY
            storing.error = f"the server failed on what was captured ({type(error).__name__}: {error})"
        else:
            storing.status, storing.error = HTTPStatus.NO_CONTENT, ""
