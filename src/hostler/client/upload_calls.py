"""Sending files so that they go on where they stopped: the client's side of tus 1.0.0 (https://tus.io)."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, cast

from hostler.client.errors import ClientError, RefusedError, UnreachableError, UntrustedError
from hostler.client.transport import part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostler.client.documents import ImportProgress, Upload
    from hostler.client.transport import Transport
    from hostler.client.upload_content import UploadContent

PIECE = 64 * 1024 * 1024
"""Bytes of one request: a proxy that gathers requests hands on whole ones, and may refuse endless ones."""
PATIENCE_SECONDS = 600.0
"""How long an upload is tried again while nothing of it comes through: a server is updated, a switch too."""
_SILENCE_SECONDS = 60.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_TUS = {"Tus-Resumable": "1.0.0"}
_PASSING = (409, 423, 502, 503, 504)
"""After these it can go on: elsewhere than was thought, or once a server is behind the proxy again."""


class UploadCalls:
    """Methods of ``Client``."""

    _http: Transport

    def uploads(self) -> list[Upload]:
        """Return the caller's uploads that were not imported yet."""
        return cast("list[Upload]", self._http.call("GET", "uploads"))

    def remove_upload(self, upload: str) -> None:
        """Have the server forget an upload."""
        with self._http.stream("DELETE", f"uploads/{part(upload)}", headers=_TUS):
            pass

    def send(
        self,
        content: UploadContent,
        purpose: str,
        progress: Callable[[ImportProgress], None] = lambda _: None,
    ) -> str:
        """Send something, from where an earlier attempt stopped, and return the id of the upload.

        Args:
            content: What is sent.
            purpose: What for; only an attempt for the same is taken up.
            progress: Called with how much is there, and when the server cannot be reached meanwhile.

        Raises:
            ClientError: The server refuses it, or nothing came through for ten minutes.
            OSError: A file cannot be read.
        """
        key, offset = self._begun(content, purpose)
        until = time.monotonic() + PATIENCE_SECONDS
        pause = _SHORTEST_PAUSE
        reached = True
        while offset < content.length:
            before = offset
            try:
                if not reached:
                    offset, reached = self._offset(key), True
                offset = self._piece(key, content, offset, progress)
            except (UnreachableError, RefusedError) as error:
                refused = isinstance(error, RefusedError) and error.status not in _PASSING
                if refused or isinstance(error, UntrustedError):
                    raise
                reached = False
                if time.monotonic() > until:
                    raise ClientError(
                        f"{error}; {offset} of {content.length} bytes are there",
                        "do the same again within a day: it goes on where it stopped",
                    ) from error
                progress({"event": "waiting", "read": offset, "of": content.length, "out": 0})
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            if offset > before:
                until, pause = time.monotonic() + PATIENCE_SECONDS, _SHORTEST_PAUSE
        return key

    def _begun(self, content: UploadContent, purpose: str) -> tuple[str, int]:
        """Find an upload of the same, or begin one; returns its id, and how much is there."""
        fingerprint = content.fingerprint(purpose)
        for upload in self.uploads():
            if (upload["fingerprint"], upload["length"]) == (fingerprint, content.length):
                return upload["id"], upload["offset"]
        words = {"filename": content.name, "fingerprint": fingerprint}
        told = ",".join(f"{key} {base64.b64encode(word.encode()).decode()}" for key, word in words.items())
        headers = {**_TUS, "Upload-Length": str(content.length), "Upload-Metadata": told}
        with self._http.stream("POST", "uploads", headers=headers) as response:
            return str(response.headers["Location"]).rpartition("/")[2], 0

    def _offset(self, key: str) -> int:
        with self._http.stream("HEAD", f"uploads/{part(key)}", headers=_TUS) as response:
            return int(response.headers["Upload-Offset"])

    def _piece(
        self, key: str, content: UploadContent, offset: int, progress: Callable[[ImportProgress], None]
    ) -> int:
        count = min(PIECE, content.length - offset)

        def told() -> Iterator[bytes]:
            sent = offset
            for block in content.read(offset, count):
                yield block
                sent += len(block)
                progress({"event": "progress", "read": sent, "of": content.length, "out": 0})

        headers = {
            **_TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(count),
        }  # fmt: skip
        with self._http.stream(
            "PATCH", f"uploads/{part(key)}", headers=headers, content=told(), seconds=_SILENCE_SECONDS
        ) as response:
            return int(response.headers["Upload-Offset"])
