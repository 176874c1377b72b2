"""A board in fastboot mode, as the real ``fastboot`` reaches one: over TCP, in the words of its protocol."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_HELLO = b"FB01"
_WORDS = 64
"""A command has no more bytes than this."""


@dataclass
class FastbootDevice:
    """What was said to it.

    Attributes:
        port: Where it listens on 127.0.0.1.
        commands: What it was told, in order, without questions for variables.
        booted: The image it was told to boot, or None.
        refuses: Why it refuses to boot, or empty.
    """

    port: int = 0
    commands: list[str] = field(default_factory=list)
    booted: bytes | None = None
    refuses: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client until it goes."""
        writer.write(_HELLO)
        image = b""
        try:
            await reader.readexactly(len(_HELLO))
            while True:
                message = await _message(reader)
                if len(message) > _WORDS:
                    return
                command = message.decode()
                if command.startswith("getvar:"):
                    _say(writer, f"OKAY{'0x4000000' if command == 'getvar:max-download-size' else ''}")
                    continue
                self.commands.append(command.partition(":")[0])
                if command.startswith("download:"):
                    size = int(command.partition(":")[2], 16)
                    _say(writer, f"DATA{size:08x}")
                    image = b""
                    while len(image) < size:
                        image += await _message(reader)
                    _say(writer, "OKAY")
                elif command == "boot" and not self.refuses:
                    self.booted = image
                    _say(writer, "OKAY")
                else:
                    _say(writer, f"FAIL{self.refuses or 'unknown command'}")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(8), "big"))


def _say(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(len(text).to_bytes(8, "big") + text.encode())


@asynccontextmanager
async def fastboot_device(refuses: str = "") -> AsyncIterator[FastbootDevice]:
    """Have a board in fastboot mode."""
    device = FastbootDevice(refuses=refuses)
    server = await asyncio.start_server(device.serve, "127.0.0.1", 0)
    async with server:
        device.port = server.sockets[0].getsockname()[1]
        yield device
