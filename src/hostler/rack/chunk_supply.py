"""Chunks for boards that this host does not have yet: asked of the upstream, off the loop."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from hostler.images.store_errors import StoreError
from hostler.images.upstream_errors import NotYetError, NoUpstreamError
from hostler.images.upstream_link import GoneError
from hostler.netboot.fetched import WAIT_SECONDS, Fetched

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.images.upstream import Upstream

log = logging.getLogger(__name__)


class ChunkSupply:
    """Takes what netboot processes ask for.

    Args:
        upstream: Where chunks come from.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    @property
    def cache(self) -> Path:
        """Root of the cache."""
        return self._upstream.paths.root

    async def fetch(self, index: str, chunk: str, board: str) -> Fetched:
        """Have a chunk of an image brought here, or its index; answers within ``WAIT_SECONDS``.

        Args:
            index: Id of the image's index.
            chunk: The chunk's name; empty: the index itself.
            board: Who reads the image.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                ask = (
                    partial(self._upstream.chunk, chunk, index, board)
                    if chunk
                    else partial(self._upstream.index, index)
                )
                # The thread asks only. Shielded: others may wait for the same.
                await asyncio.shield(asyncio.wrap_future(await asyncio.to_thread(ask)))
        except TimeoutError:
            return Fetched(HTTPStatus.SERVICE_UNAVAILABLE, f"waits for {self._upstream.waiting()}")
        except NotYetError as error:
            return Fetched(HTTPStatus.SERVICE_UNAVAILABLE, f"waits: {error}")
        except (NoUpstreamError, GoneError) as error:
            return Fetched(HTTPStatus.NOT_FOUND, str(error))
        except StoreError as error:
            return Fetched(HTTPStatus.FAILED_DEPENDENCY, str(error))
        return Fetched(HTTPStatus.OK)

    async def read(self, index: str, chunk: str, board: str) -> None:
        """Take note that a board has a chunk, for what lies ahead of it."""
        try:
            await asyncio.to_thread(self._upstream.read, chunk, index, board)
        except StoreError as error:
            log.warning("%s", error)
