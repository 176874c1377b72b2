"""Where an agent hands in what it captures: chunks, each verified before it has a name, and their index.

They wait in a folder of the image store's ``tmp`` (`hostler.model.capture_spool`), which stays until the run
ends. The rack puts them into the store. Nothing of a capture is remembered here but what is in that folder:
after a restart it goes on.

To look through a large image's index takes long: the agent is answered 202 meanwhile, and asks again with an
empty body.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard
from aiohttp import web

from hostler.model.capture_spool import INDEX_FILE, spool_name
from hostler.model.chunkindex import MAX_CHUNK_SIZE, ChunkIndex, ChunkIndexError
from hostler.model.store_room import kept_free
from hostler.netboot.refused import Refused
from hostler.netboot.request_body import limited_body

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.netboot.table import Target

MOST_ASKED = 1024
"""Chunks one question may be about."""
MOST_NAMED = 4096
"""Chunks named in one answer."""
BODY_SECONDS = 120.0

_FRAME_LIMIT = MAX_CHUNK_SIZE + MAX_CHUNK_SIZE // 128 + 1024  # as agent/extents.py has it
_INDEX_LIMIT = 1 << 30  # an index of 26 million chunks
_INDEX_HEADER, _INDEX_ENTRY = 32, 40  # bytes
_DIGITS = frozenset("0123456789abcdef")
_AT_ONCE = 2  # chunks being verified, indexes being looked through: boot answers need a core too
_ANSWER_SECONDS = 5.0  # an agent waits 15 s


@dataclass(slots=True)
class _Spool:
    """One capture under way.

    Attributes:
        place: Its folder.
        limit: Bytes of the board's disk.
        chunk_size: The grid it is to be cut on; None: the step tells none.
        used: Bytes that the frames of its chunks have.
        turn: Held while an index is read: one body at a time.
        asked: What came of the last index, or is to come: some of the chunks it lacks.
    """

    place: Path
    limit: int
    chunk_size: int | None
    used: int
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: Future[list[str]] | None = None

    @property
    def room(self) -> int:
        """Bytes its frames may have: those of a disk full of noise are a little larger than the disk."""
        return self.limit + self.limit // 64 + (1 << 20)


class CaptureDoor:
    """Answers what agents ask below ``/agent/capture/``.

    Args:
        store: Root of the image store.
        answer_seconds: Longest an agent is kept waiting for what came of its index.
    """

    def __init__(self, store: Path, answer_seconds: float = _ANSWER_SECONDS) -> None:
        self._store = store
        self._answer_seconds = answer_seconds
        self._spools: dict[str, _Spool] = {}
        self._opening: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._verifying = asyncio.Semaphore(_AT_ONCE)
        self._looking = ThreadPoolExecutor(_AT_ONCE, "capture-index")

    async def handle(self, request: web.BaseRequest, path: str, target: Target) -> web.Response:
        """Answer a POST for a path below ``/agent/capture/``.

        Raises:
            Refused: The board captures nothing, or its words are not taken; the text says why.
        """
        params = target.step.get("params") if target.step else None
        if not isinstance(params, dict) or (target.step or {}).get("kind") != "capture":
            raise Refused(HTTPStatus.CONFLICT, "this board captures nothing at present")
        name, _, rest = path.partition("/")
        if name == "lacking" and not rest:
            return await self._lacking(request, await self._spool(target))
        if name == "chunk" and _is_digest(rest):
            return await self._chunk(request, rest, await self._spool(target))
        if name == "index" and not rest:
            return await self._index(request, await self._spool(target))
        raise Refused(HTTPStatus.NOT_FOUND, "no such thing for an agent")

    def close(self) -> None:
        """Begin nothing any more."""
        self._looking.shutdown(wait=False, cancel_futures=True)

    async def _lacking(self, request: web.BaseRequest, spool: _Spool) -> web.Response:
        body = await limited_body(request, MOST_ASKED * 65, "a list of chunks", BODY_SECONDS)
        digests = body.decode("ascii", "replace").split()
        if not all(map(_is_digest, digests)):
            raise Refused(HTTPStatus.BAD_REQUEST, "a chunk is named by its SHA-256, one on a line")
        absent = await asyncio.to_thread(self._absent, digests, spool)
        return web.json_response({"lacking": absent})

    async def _chunk(self, request: web.BaseRequest, digest: str, spool: _Spool) -> web.Response:
        frame = await limited_body(request, _FRAME_LIMIT, "a chunk", BODY_SECONDS)
        async with self._verifying:
            await asyncio.to_thread(self._keep, spool, digest, frame)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _index(self, request: web.BaseRequest, spool: _Spool) -> web.Response:
        if spool.chunk_size is None:
            raise Refused(HTTPStatus.CONFLICT, "the step tells no chunk size")
        most = _INDEX_HEADER + _INDEX_ENTRY * (spool.limit // spool.chunk_size + 1)
        if request.content_length != 0:
            async with spool.turn:
                if spool.asked is not None and not spool.asked.done():
                    why = "another index of this board is being looked through"
                    raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, why)
                what = f"the index of an image no larger than the board's disk ({spool.limit} bytes)"
                body = await limited_body(request, min(most, _INDEX_LIMIT), what, BODY_SECONDS)
                spool.asked = self._looking.submit(self._keep_index, spool, body)
        asked = spool.asked
        if asked is None:
            raise Refused(HTTPStatus.CONFLICT, "no index was handed in, or the server was restarted: again")
        waiting = asyncio.wrap_future(asked)
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # it is told below
        await asyncio.wait({waiting}, timeout=self._answer_seconds)
        if not asked.done():
            return web.Response(status=HTTPStatus.ACCEPTED)
        if asked.exception() is not None and spool.asked is asked:
            spool.asked = None  # whoever asks again is to hand it in again
        return web.json_response({"lacking": asked.result()})

    def _keep(self, spool: _Spool, digest: str, frame: bytes) -> None:
        """Verify a chunk and give it its name."""
        final = spool.place / digest
        if final.exists():
            return
        try:
            length = zstandard.frame_content_size(frame)
            if not 0 < length <= MAX_CHUNK_SIZE:
                raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "the frame tells no such length")
            # What follows the frame has no part in the hash, and would go into other people's exports.
            plain = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"the chunk arrived damaged: {error}") from None
        if hashlib.sha256(plain).hexdigest() != digest:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "the chunk arrived damaged: its hash is another")
        if spool.used + len(frame) > spool.room:
            why = f"more than the board's disk can hold: {spool.limit} bytes"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
        self._write(spool, final, frame)
        spool.used += len(frame)

    def _keep_index(self, spool: _Spool, body: bytes) -> list[str]:
        """Keep the index; returns some of its chunks that are neither in the store nor in the spool."""
        try:
            index = ChunkIndex.decode(body)
        except ChunkIndexError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
        if index.size > spool.limit:
            why = f"an image of {index.size} bytes is larger than the board's disk: {spool.limit}"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
        if index.chunk_size != spool.chunk_size:
            why = f"the image is cut into chunks of {index.chunk_size} bytes, not of {spool.chunk_size}"
            raise Refused(HTTPStatus.BAD_REQUEST, why)
        absent = self._some_absent(index.distinct(), spool)
        self._write(spool, spool.place / INDEX_FILE, body)
        return absent

    def _write(self, spool: _Spool, final: Path, content: bytes) -> None:
        """Write a file whole; the rack flushes all of them at once when it takes them."""
        disk = shutil.disk_usage(self._store)
        if disk.free - len(content) < kept_free(disk.total):
            raise _full(disk.free)
        partial = spool.place / f".{final.name[:16]}.{secrets.token_hex(4)}"
        try:
            partial.write_bytes(content)
            partial.rename(final)
        except FileNotFoundError:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the capture's folder has gone; again") from None
        except OSError as error:
            partial.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _full(shutil.disk_usage(self._store).free) from None
            raise

    def _absent(self, digests: Iterable[str], spool: _Spool) -> list[str]:
        return [
            digest
            for digest in dict.fromkeys(digests)
            if not (self._store / "chunks" / digest[:2] / digest).exists()
            and not (spool.place / digest).exists()
        ]

    def _some_absent(self, digests: Iterable[str], spool: _Spool) -> list[str]:
        """Return at most MOST_NAMED of those that are not there; of a million, each folder is read once."""
        absent: list[str] = []
        left = sorted(set(digests) - _names(spool.place))
        for prefix, group in groupby(left, key=lambda digest: digest[:2]):
            stored = _names(self._store / "chunks" / prefix)
            absent.extend(digest for digest in group if digest not in stored)
            if len(absent) >= MOST_NAMED:
                break
        return absent[:MOST_NAMED]

    async def _spool(self, target: Target) -> _Spool:
        """Return the spool of a board's present step, made."""
        step = target.step or {}
        params = step.get("params")
        limit, chunk_size = (
            (params.get("limit"), params.get("chunk_size")) if isinstance(params, dict) else (None, None)
        )
        if not isinstance(limit, int):
            raise Refused(HTTPStatus.CONFLICT, "the step tells no limit")
        place = self._store / "tmp" / spool_name(str(step.get("run")), int(str(step.get("step"))))
        async with self._opening[target.board]:
            known = self._spools.get(target.board)
            if known is not None and known.place == place and place.is_dir():
                return known
            used = await asyncio.to_thread(_opened, place)
            grid = chunk_size if isinstance(chunk_size, int) and chunk_size > 0 else None
            spool = self._spools[target.board] = _Spool(place, limit, grid, used)
            return spool


def _opened(place: Path) -> int:
    """Make a spool's folder unless it is there; returns the bytes in it."""
    place.mkdir(parents=True, exist_ok=True)
    with os.scandir(place) as entries:
        return sum(entry.stat().st_size for entry in entries)


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208 - names alone: of a large store there are many
    except FileNotFoundError:
        return set()


def _full(free: int) -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"no room left in the server's image store ({free} bytes free): remove images, or give it more",
    )


def _is_digest(text: str) -> bool:
    return len(text) == 64 and _DIGITS.issuperset(text)
