"""By HTTP, the files that TFTP serves under the same names: what UEFI HTTP boot and boot loaders fetch."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import hdrs

from hostler.model.boot import BootIntent
from hostler.model.first_stages import UKI_FILE
from hostler.model.trace import TraceEvent, printable
from hostler.netboot.file_response import send_virtual
from hostler.netboot.refused import Refused
from hostler.netboot.virtual_file import VirtualFile, VirtualFileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from hostler.model.json import Document
    from hostler.netboot.table import Address, Target

    Open = Callable[[Address, str], VirtualFile | None]

_TYPES = {"efi": "application/efi", "img": "application/vnd.efi-img"}
"""EDK2 takes a file for a program, or for a disk, by this type or by the end of its name."""


class NamedFiles:
    """Answers requests below ``/boot/`` that are for nothing else.

    Args:
        open_file: Returns the file of a name for a client, or None; see `hostler.netboot.boot_files`.
        emit: Takes trace events; never blocks.
    """

    def __init__(self, open_file: Open, emit: Callable[[TraceEvent], None]) -> None:
        self._open = open_file
        self._emit = emit

    async def answer(
        self, request: web.BaseRequest, name: str, client: Address, target: Target | None, mac: str | None
    ) -> web.StreamResponse:
        """Answer a GET or HEAD request for a name.

        Raises:
            Refused: There is no such file for this client.
        """
        who = target.board if target else f"unknown machine {client}"
        shown = printable(name, 100)

        def trace(kind: str, text: str, **data: object) -> None:
            board, boot = (target.board, target.boot) if target else (None, None)
            document: Document = {"file": shown, **data}  # type: ignore[dict-item]
            self._emit(TraceEvent(time.time(), "http", kind, f"{who}: {text}", board, mac, boot, document))

        try:
            file = self._open(client, name)
        except VirtualFileError as error:
            trace("missing", f"{shown}: {error}")
            raise Refused(HTTPStatus.NOT_FOUND, "the file cannot be read") from error
        if file is None:
            if target is not None and target.intent is BootIntent.LOCAL:
                # Firmware takes the error for a boot option that failed, and goes on with the next.
                trace("get", f"{shown} asked for; told: {target.intent}", intent=str(target.intent))
            else:
                trace("missing", f"no {shown}")
            raise Refused(HTTPStatus.NOT_FOUND, "no such file for this machine")
        head = request.method == hdrs.METH_HEAD
        asked = request.headers.get(hdrs.RANGE)
        kind, more = "head" if head else "get", {"range": printable(asked, 64)} if asked else {}
        if name == UKI_FILE and target is not None:
            trace(kind, f"{shown} asked for; told: {target.intent}", intent=str(target.intent), **more)
        else:
            trace(kind, shown, **more)
        with file:
            content_type = _TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")
            response, transfer = await send_virtual(request, file, content_type)
        if not head:
            rate = transfer.megabytes_per_second
            trace(
                "done" if transfer.complete else "aborted",
                f"{shown} {'sent' if transfer.complete else 'broken off'}, "
                f"{transfer.bytes / 1e6:.1f} MB at {rate:.1f} MB/s",
                bytes=transfer.bytes,
                seconds=round(transfer.seconds, 3),
                mb_per_s=round(rate, 1),
            )
        return response
