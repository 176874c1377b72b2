"""The way in of systems that are not the agent: installers and live systems fetch files and say how it went.

They come from the address the board's firmware had, or show the token of its boot in the URL: from an
initramfs or a second interface they may have another address, and few of them can set a header.
"""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from hostler.model.json import foreign_object
from hostler.model.netboot_order import filled
from hostler.model.trace import TraceEvent, printable
from hostler.netboot.agent_door import reported
from hostler.netboot.file_response import send_file
from hostler.netboot.refused import Refused
from hostler.netboot.request_body import limited_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.model.json import Document
    from hostler.model.netboot_order import NetbootOrder
    from hostler.netboot.agent_door import Rack
    from hostler.netboot.table import Address, BootTable, Target

log = logging.getLogger(__name__)

IMAGE, TEXT = "/boot/image/", "/boot/text/"
SIGNALS = {"/boot/done": "system-done", "/boot/fail": "system-fail"}
"""Reports a system can make, by path."""
LONGEST_BODY = 64 << 10
"""Most bytes of a report's body: an installer's summary or the end of its log, not all of it."""


class SystemDoor:
    """Answers ``/boot/image/``, ``/boot/text/``, ``/boot/done`` and ``/boot/fail``.

    Args:
        table: What every board is to do, and the tokens of their boots.
        mac_of: MAC that holds the lease of an address, or None.
        emit: Takes trace events; never blocks.
        rack: Takes reports.
    """

    def __init__(
        self,
        table: BootTable,
        mac_of: Callable[[Address], str | None],
        emit: Callable[[TraceEvent], None],
        rack: Rack,
    ) -> None:
        self._table = table
        self._mac_of = mac_of
        self._emit = emit
        self._rack = rack

    @staticmethod
    def answers(path: str) -> bool:
        """Tell whether a path is one of this door's."""
        return path.startswith((IMAGE, TEXT)) or path in SIGNALS

    async def handle(
        self, request: web.BaseRequest, path: str, client: Address, base: str
    ) -> web.StreamResponse:
        """Answer a request.

        Args:
            request: The request.
            path: Its path, for which ``answers`` is true.
            client: Who asks.
            base: URL by which it reached us, without a slash at the end.

        Raises:
            Refused: It is to be answered with an error.
        """
        target = self._admit(request, client)
        if path in SIGNALS:
            return await self._signal(request, SIGNALS[path], target)
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "use GET or HEAD")
        if target is None or target.netboot is None:
            who = target.board if target else f"unknown machine {client}"
            self._trace("refused", f"{who}: no system is to be brought to it now", target)
            raise Refused(HTTPStatus.FORBIDDEN, "nothing is to be fetched by this machine now")
        if path.startswith(IMAGE):
            return await self._image(request, path.removeprefix(IMAGE), target, target.netboot)
        return self._text(request, path.removeprefix(TEXT), base, target, target.netboot)

    def _admit(self, request: web.BaseRequest, client: Address) -> Target | None:
        """Return the board that asks, by its token if it shows one, else by its address."""
        mac = self._mac_of(client)
        holder = self._table.by_mac(mac) if mac else None
        token = request.query.get("token")
        if token is None:
            return holder
        target = self._table.by_token(token)
        if target is None:
            raise Refused(HTTPStatus.FORBIDDEN, "this token is not that of a present boot")
        if holder is not None and holder.board != target.board:
            self._trace("refused", f"{target.board}: its token was shown by {holder.board}", target)
            raise Refused(HTTPStatus.FORBIDDEN, "this token belongs to another board")
        return target

    async def _image(
        self, request: web.BaseRequest, name: str, target: Target, order: NetbootOrder
    ) -> web.StreamResponse:
        artefact = order.files.get(name)
        path = self._table.artefact(artefact) if artefact else None
        said = printable(name, 100)
        if artefact is None or path is None:
            self._trace("missing", f"{target.board}: {order.image} has no file {said}", target)
            raise Refused(HTTPStatus.NOT_FOUND, "no such file for this machine")
        head = request.method == hdrs.METH_HEAD
        self._trace("head" if head else "get", f"{target.board}: {said}", target, {"file": said})
        try:
            response, transfer = await send_file(request, path, artefact)
        except OSError as error:
            log.warning("%s: %s", path, error.strerror)
            self._trace("missing", f"{target.board}: {said}: {error.strerror}", target)
            raise Refused(HTTPStatus.NOT_FOUND, "the file cannot be read") from error
        if not head:
            rate = transfer.megabytes_per_second
            done: Document = {
                "file": said,
                "bytes": transfer.bytes,
                "seconds": round(transfer.seconds, 3),
                "mb_per_s": round(rate, 1),
            }
            kind, word = ("done", "sent") if transfer.complete else ("aborted", "broken off")
            text = f"{target.board}: {said} {word}, {transfer.bytes / 1e6:.1f} MB at {rate:.1f} MB/s"
            self._trace(kind, text, target, done)
        return response

    def _text(
        self, request: web.BaseRequest, name: str, base: str, target: Target, order: NetbootOrder
    ) -> web.Response:
        text, said = order.texts.get(name), printable(name, 100)
        if text is None:
            self._trace("missing", f"{target.board}: {order.image} has no text {said}", target)
            raise Refused(HTTPStatus.NOT_FOUND, "no such text for this machine")
        body = filled(text, base, target.token or "").encode()
        kind = "head" if request.method == hdrs.METH_HEAD else "get"
        self._trace(kind, f"{target.board}: {said}", target, {"file": said, "bytes": len(body)})
        return web.Response(body=body, content_type="text/plain", charset="utf-8")

    async def _signal(self, request: web.BaseRequest, kind: str, target: Target | None) -> web.Response:
        if request.method not in (hdrs.METH_GET, hdrs.METH_POST):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "use POST, or GET where that is all there is")
        if target is None or target.boot is None or "token" not in request.query:
            raise Refused(HTTPStatus.FORBIDDEN, "show the token of your boot: ?token=...")
        raw = await limited_body(request, LONGEST_BODY, "what goes with it")
        status = await reported(self._rack, kind, target.board, target.boot, _said(raw))
        if status >= HTTPStatus.BAD_REQUEST:
            raise Refused(HTTPStatus(status), "this board's run does not wait for that")
        return web.Response(text="noted\n")

    def _trace(self, kind: str, text: str, target: Target | None, data: Document | None = None) -> None:
        board, boot = (target.board, target.boot) if target else (None, None)
        self._emit(TraceEvent(time.time(), "http", kind, text, board, None, boot, data or {}))


def _said(raw: bytes) -> Document:
    """What a system said: the JSON object it sent, or else its words."""
    if not raw.strip():
        return {}
    try:
        return {"body": foreign_object(raw)}
    except ValueError:
        lines = raw.decode(errors="replace").splitlines()
        return {"body": "\n".join(printable(line) for line in lines)}
