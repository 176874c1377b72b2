"""The web pages: files built from ``web/``, given to anybody; who is logged in is the business of the API.

They are read once and answered from memory. Nothing but what is in that folder is ever given out.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import Response

import hostler.pages

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

BUILT = Path(hostler.pages.__file__).parent / "built"
"""Where ``scripts/pages`` puts them."""

PAGES = frozenset({"", "login", "boards", "claims", "images", "switches", "check", "events", "admin"})
"""First words of the paths that are pages; the script in the page shows which."""

SECURITY = {
    # Everything from this server and nothing inline: what a board or a person has named cannot run.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_FOR_EVER = "public, max-age=31536000, immutable"  # its name changes with its content
_ASK_AGAIN = "no-cache"
_SMALL = 500  # bytes; below that compressing wins nothing
_NOT_BUILT = b"""<!doctype html>
<html lang="en"><title>Hostler</title>
<h1>Hostler serves this lab</h1>
<p>Its pages are not here: they are built when Hostler is set up, and that did not work or was not done.
Run <code>scripts/pages</code> in its source; it says what is wrong.</p>
<p>Everything else works: the command <code>hostler</code>, and the API at <code>/api/v1</code>.</p>
</html>
"""


@dataclass(frozen=True)
class _File:
    body: bytes
    media_type: str
    caching: str

    @cached_property
    def tag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'

    @cached_property
    def packed(self) -> bytes | None:
        if len(self.body) < _SMALL or not self.media_type.startswith(("text/", "image/svg")):
            return None
        return gzip.compress(self.body, 9, mtime=0)


class Pages:
    """ASGI middleware: answers for the pages, and leaves everything else to the application.

    Args:
        app: The application.
        folder: The built files.
    """

    def __init__(self, app: ASGIApp, folder: Path = BUILT) -> None:
        self._app = app
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix("/")
        if path.partition("/")[0] in PAGES:
            found = self._files.get("index.html")
        elif path.startswith("assets/") or path in self._files:
            found = self._files.get(path)
        else:
            await self._app(scope, receive, send)
            return
        await _answer(found, Headers(scope=scope))(scope, receive, send)

    @cached_property
    def _files(self) -> dict[str, _File]:
        found = {
            str(path.relative_to(self._folder)): _read(path, self._folder)
            for path in self._folder.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }
        if "index.html" not in found:
            return {"index.html": _File(_NOT_BUILT, "text/html", _ASK_AGAIN)}
        return found


def _read(path: Path, folder: Path) -> _File:
    hashed = path.relative_to(folder).parts[0] == "assets"
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File(path.read_bytes(), kind, _FOR_EVER if hashed else _ASK_AGAIN)


def _answer(file: _File | None, asked: Headers) -> Response:
    if file is None:
        return Response("there is no such file; load the page again\n", 404, SECURITY, "text/plain")
    headers = {**SECURITY, "Cache-Control": file.caching, "ETag": file.tag, "Vary": "Accept-Encoding"}
    if file.tag in asked.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if file.packed is not None and "gzip" in asked.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(file.packed, headers=headers, media_type=file.media_type)
    return Response(file.body, headers=headers, media_type=file.media_type)
