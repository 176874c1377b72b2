"""The rack as the one that takes a captured image, over HTTP."""

from __future__ import annotations

import json
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from hostler.agent.rack import RefusedError
from hostler.agent.work import StepError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from hostler.agent.rack import Rack

_INDEX = "/agent/capture/index"
_ASK_AGAIN_SECONDS = 1.0
_STORING_SECONDS = 12 * 3600.0
"""Longest the rack may take to store the image: it flushes all of it, and may shrink a file system with tools
that have hours for it. The step's own deadline holds as well."""


class RackTaker:
    """See ``capture.ChunkTaker``. Every method waits for a lost rack as long as it takes."""

    def __init__(self, rack: Rack) -> None:
        self._rack = rack
        self._pause = threading.Event()

    def lacking(self, digests: Sequence[str]) -> Collection[str]:
        """Ask which chunks the rack has not."""
        return self._named("/agent/capture/lacking", "\n".join(digests).encode())

    def take_chunk(self, digest: str, frame: bytes) -> None:
        """Send a chunk; what arrived damaged is sent again."""
        for attempt in (1, 2, 3):
            try:
                self._rack.send(f"/agent/capture/chunk/{digest}", frame)
            except RefusedError as error:
                if error.status != HTTPStatus.UNPROCESSABLE_ENTITY or attempt == 3:
                    raise
            else:
                return

    def take_index(self, encoded: bytes) -> Collection[str]:
        """Send the index; while the rack looks through it, ask it with an empty body."""
        body = encoded
        deadline = time.monotonic() + _STORING_SECONDS
        while time.monotonic() < deadline:
            try:
                status, answer = self._rack.send(_INDEX, body)
            except RefusedError as error:
                if body or error.status != HTTPStatus.CONFLICT:
                    raise
                body = encoded  # it was restarted and knows of none
                continue
            if status != HTTPStatus.ACCEPTED:
                return _names(_INDEX, answer)
            body = b""
            self._pause.wait(_ASK_AGAIN_SECONDS)
        raise StepError(f"the rack did not look through the index within {_STORING_SECONDS:g} s")

    def finish(self, index: str) -> bool:
        """Have the image put into the store, and wait for it."""
        deadline = time.monotonic() + _STORING_SECONDS
        while time.monotonic() < deadline:
            try:
                status, _ = self._rack.send(f"/agent/capture/finish/{index}", b"")
            except RefusedError as error:
                if error.status == HTTPStatus.CONFLICT:
                    return False
                raise
            if status != HTTPStatus.ACCEPTED:
                return True
            self._pause.wait(_ASK_AGAIN_SECONDS)
        raise StepError(f"the rack did not store the image within {_STORING_SECONDS:g} s")

    def _named(self, path: str, body: bytes) -> list[str]:
        _, answer = self._rack.send(path, body)
        return _names(path, answer)


def _names(path: str, answer: bytes) -> list[str]:
    try:
        return cast("list[str]", json.loads(answer)["lacking"])
    except (ValueError, KeyError, TypeError):
        raise StepError(f"the rack's answer to {path} names no chunks") from None
