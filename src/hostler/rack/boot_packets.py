"""The packets of boots that the netboot processes recorded: handed out, and removed when they are old."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import shutil
import time
from typing import TYPE_CHECKING, Final

from hostler.link.port import RequestRefusedError
from hostler.netboot.packet_files import FOLDER, SUFFIX
from hostler.wire.pcapng import whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostler.model.json import Document

log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 3600.0


class BootPackets:
    """What lies in the state folders of all netboot processes, also of those of other days.

    Args:
        state: The folder of these folders.
        keep: Returns for how many seconds packets are kept.
    """

    def __init__(self, state: Path, keep: Callable[[], float]) -> None:
        self._state = state
        self._keep = keep

    async def run(self) -> None:
        """Remove what is old, now and then, until cancelled."""
        while True:
            await asyncio.to_thread(self.sweep, time.time() - self._keep())
            await asyncio.sleep(SWEEP_SECONDS)

    def sweep(self, before: float) -> None:
        """Remove the packets of boots that said nothing since a Unix time; what cannot be removed is told."""
        try:
            folders = list(self._state.glob(f"*/{FOLDER}/*"))
        except OSError as error:
            log.warning("old packets are not removed: %s", error)
            return
        for folder in folders:
            try:
                _remove_old(folder, before)
            except FileNotFoundError:
                continue  # its board was dropped at this moment
            except OSError as error:
                log.warning("old packets are not removed: %s", error)

    async def read(self, board: str, body: Document) -> Document:
        """Return the packets of a board's ``boot`` (id) as ``{"data": base64}`` of a pcapng file.

        Raises:
            RequestRefusedError: There are none.
        """
        data = await asyncio.to_thread(self._read, board, str(body.get("boot")))
        if not data:
            raise RequestRefusedError(
                "no packets of this boot are there: it asked nothing of the boot services, it is older than"
                " what is kept, or the server lacks the right to record packets (CAP_NET_RAW)"
            )
        return {"data": base64.b64encode(data).decode()}

    def _read(self, board: str, boot: str) -> bytes:
        """Files of several processes make one: pcapng allows one section after the other."""
        found = b""
        for folder in sorted(self._state.glob(f"*/{FOLDER}/{board}")):
            path = folder / f"{boot}{SUFFIX}"
            if path.parent == folder and path.is_file():
                try:
                    data = path.read_bytes()
                except FileNotFoundError:
                    continue  # it was old, or made room, at this moment
                found += data[: whole(data)]  # a block may be half written at this moment
        return found

    async def forget(self, board: str) -> None:
        """Remove what is kept of a board."""
        await asyncio.to_thread(self._forget, board)

    def _forget(self, board: str) -> None:
        for folder in self._state.glob(f"*/{FOLDER}/{board}"):
            shutil.rmtree(folder, ignore_errors=True)


def _remove_old(folder: Path, before: float) -> None:
    """Remove the packets of a board's boots that said nothing since a Unix time.

    Raises:
        OSError: The folder cannot be read, or is gone.
    """
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # the recorder makes room too
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
