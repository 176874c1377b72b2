"""A board in QEMU whose U-Boot is Debian's, on a serial line that is a Unix socket."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.drivers.console.unix_socket import UnixSocket
from hostler.virtual import uboot_env

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from hostler.drivers.console.protocol import ConsoleStream

UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
"""Of Debian's u-boot-qemu."""


def missing() -> str:
    """Return what is not installed, or nothing."""
    if not shutil.which("qemu-system-aarch64"):
        return "qemu-system-arm"
    return "" if UBOOT.exists() else "u-boot-qemu"


@asynccontextmanager
async def uboot_board(environment: Mapping[str, str] = {}) -> AsyncIterator[ConsoleStream]:
    """Power a board up with its own defaults and these variables; yields its line, opened before power."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        defaults = uboot_env.default_environment(UBOOT.read_bytes())
        with (folder / "environment").open("wb") as file:
            file.write(uboot_env.encode({**defaults, **environment}))
            file.truncate(64 << 20)
        path = folder / "line"
        process = await asyncio.create_subprocess_exec(
            "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-accel", "tcg", "-m", "256",
            "-bios", str(UBOOT), "-drive", f"if=pflash,index=1,format=raw,file={folder / 'environment'}",
            "-nodefaults", "-display", "none", "-nic", "none",
            "-chardev", f"socket,id=line,path={path},server=on,wait=on", "-serial", "chardev:line",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(60):
                while not path.exists():
                    assert process.returncode is None, "QEMU ended"
                    await asyncio.sleep(0.02)
            stream = await UnixSocket.from_config({}, {"path": str(path)}).open()
            yield stream
            await stream.close()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
