"""Keeps a board whose U-Boot never tells its network card of new buffers from going deaf.

U-Boot's virtio-net driver (2023.01, ``virtio_net_free_pkt``) puts a buffer that it has read back into the
receive ring and does not notify the device of it; it notifies once, with its first 32 buffers. A QEMU that
finds this ring empty stops reading the tap until it is notified (Virtio 1.1, section 2.6.13), so never. The
ring runs empty when 32 packets come while U-Boot does not look: in a burst, when its processor is kept
waiting and the server repeats a window, or at once after a reset when more than 32 wait on the tap. Then
no reset helps, only a power cut.

QEMU looks at the ring again when it is told that a card's link is up, and the guest sees nothing of it when
the link was up before. No option of QEMU's does this, and its e1000, whose driver does notify, is four times
as slow here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_log = logging.getLogger(__name__)

_INTERVAL = (
    0.05  # seconds; each kick brings 32 packets, so a tap with its full 1000 is read within two seconds
)
_ANSWER_BYTES = 1 << 20  # more than QEMU ever says in one line


async def keep_receiving(monitor: socket.socket, card: str) -> None:
    """Tell QEMU again and again that a network card's link is up, until QEMU has gone.

    Args:
        monitor: Connected to a monitor of QEMU's that speaks QMP; closed at the end.
        card: The ``id`` of the card's ``-netdev``.
    """
    kick = json.dumps({"execute": "set_link", "arguments": {"name": card, "up": True}}).encode() + b"\n"
    reader, writer = await asyncio.open_connection(sock=monitor, limit=_ANSWER_BYTES)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(b'{"execute": "qmp_capabilities"}\n')
            while True:
                writer.write(kick)
                await writer.drain()
                answer: dict[str, object] = {}
                while "return" not in answer:  # its greeting and its events come between
                    line = await reader.readline()
                    if not line.endswith(b"\n"):
                        return  # QEMU has ended
                    answer = json.loads(line)
                    if "error" in answer:
                        _log.error("QEMU does not kick %s: %s", card, answer["error"])
                        return
                await asyncio.sleep(_INTERVAL)
    finally:
        writer.close()
