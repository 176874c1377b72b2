"""Where an agent hands in what it captures: chunks, each verified before it has a name, and their index.

They wait in a folder of the image store's ``tmp`` (`hostler.model.capture_spool`), which this process keeps
locked while the capture goes on; so nobody sweeps it. The rack puts them into the store. Nothing of a capture
is remembered here but what is in that folder: after a restart it goes on, or begins anew.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from dataclasses import dataclass
from http import HTTPStatus
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
_DIGITS = frozenset("0123456789abcdef")
_AT_ONCE = 2  # chunks being verified: boot answers need a core too


@dataclass(slots=True)
class _Spool:
    """One capture under way.

    Attributes:
        place: Its folder.
        lock: Descriptor of that folder, locked.
        limit: Bytes its chunks may have.
        used: Bytes they have.
    """

    place: Path
    lock: int
    limit: int
    used: int


class CaptureDoor:
    """Answers what agents ask below ``/agent/capture/``.

    Args:
        store: Root of the image store.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._spools: dict[str, _Spool] = {}
        self._verifying = asyncio.Semaphore(_AT_ONCE)

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
            return await self._lacking(request, self._spool(target))
        if name == "chunk" and _is_digest(rest):
            return await self._chunk(request, rest, self._spool(target))
        if name == "index" and not rest:
            return await self._index(request, self._spool(target))
        raise Refused(HTTPStatus.NOT_FOUND, "no such thing for an agent")

    def close(self) -> None:
        """Let go of every spool; what is in them may be swept from now on."""
        for board in list(self._spools):
            self._let_go(board)

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
        body = await limited_body(request, _INDEX_LIMIT, "an index", BODY_SECONDS)
        absent = await asyncio.to_thread(self._keep_index, spool, body)
        return web.json_response({"lacking": absent[:MOST_NAMED]})

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
        if spool.used + len(frame) > spool.limit:
            why = f"more than the board's disk can hold: {spool.limit} bytes"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
        self._write(spool, final, frame)
        spool.used += len(frame)

    def _keep_index(self, spool: _Spool, body: bytes) -> list[str]:
        """Keep the index; returns which of its chunks are neither in the store nor in the spool."""
        try:
            index = ChunkIndex.decode(body)
        except ChunkIndexError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
        if index.size > spool.limit:
            why = f"an image of {index.size} bytes is larger than the board's disk: {spool.limit}"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
        absent = self._absent(index.distinct(), spool)
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

    def _spool(self, target: Target) -> _Spool:
        """Return the spool of a board's present step, made and locked."""
        step = target.step or {}
        params = step.get("params")
        limit = params.get("limit") if isinstance(params, dict) else None
        if not isinstance(limit, int):
            raise Refused(HTTPStatus.CONFLICT, "the step tells no limit")
        place = self._store / "tmp" / spool_name(str(step.get("run")), int(str(step.get("step"))))
        known = self._spools.get(target.board)
        if known is not None and known.place == place and place.is_dir():
            return known
        self._let_go(target.board)
        place.mkdir(parents=True, exist_ok=True)
        lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_SH)
        used = sum(entry.stat().st_size for entry in os.scandir(place))
        spool = self._spools[target.board] = _Spool(place, lock, limit, used)
        return spool

    def _let_go(self, board: str) -> None:
        spool = self._spools.pop(board, None)
        if spool is not None:
            os.close(spool.lock)


def _full(free: int) -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"no room left in the server's image store ({free} bytes free): remove images, or give it more",
    )


def _is_digest(text: str) -> bool:
    return len(text) == 64 and _DIGITS.issuperset(text)
