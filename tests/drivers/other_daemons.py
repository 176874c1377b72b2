"""Programs of others that our drivers talk to: OpenStack's sushy-emulator and LAVA's pdudaemon."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import bcrypt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SYSTEM = "da69abcc-dae0-4913-9a7b-d344043097c0"
"""The one system of the emulator, by the id it has in its paths."""

# Its systems change a random 1 to 11 s after they were told to: with this seed the first four take 1 s.
_EMULATOR = (
    "import random, sys; random.seed(3587); from sushy_tools.emulator.main import main; sys.exit(main())"
)
_START_SECONDS = 15.0


@asynccontextmanager
async def sushy_emulator(folder: Path, user: str, password: str) -> AsyncIterator[str]:
    """Run a Redfish controller with one system, which is off; yields ``host:port``."""
    port = _free_port()
    login = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix=b"2b")).decode()
    (folder / "htpasswd").write_text(f"{user}:{login}\n")
    system = {"uuid": SYSTEM, "name": "node-1", "power_state": "Off", "fake_ipa": False, "nics": []}
    (folder / "sushy.conf").write_text(
        f"SUSHY_EMULATOR_STATE_DIR = {str(folder)!r}\n"
        f"SUSHY_EMULATOR_AUTH_FILE = {str(folder / 'htpasswd')!r}\n"
        f"SUSHY_EMULATOR_FAKE_SYSTEMS = [{system!r}]\n"
    )
    arguments = ("--config", str(folder / "sushy.conf"), "--fake", "-i", "127.0.0.1", "-p", str(port))
    async with _running(port, sys.executable, "-c", _EMULATOR, *arguments):
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def pdudaemon(folder: Path) -> AsyncIterator[str]:
    """Run a pdudaemon with the PDU ``rack1``, whose outlets are files in ``folder``; yields ``host:port``."""
    port = _free_port()
    outlets = {f"cmd_{state}": f"echo {state} > {folder}/outlet-%s" for state in ("on", "off")}
    config = {
        "daemon": {"hostname": "127.0.0.1", "port": port, "dbname": "none", "listener": "http"},
        "pdus": {"rack1": {"driver": "localcmdline", **outlets}},
        "aliases": {"nuc": {"hostname": "rack1", "port": "7"}},
    }
    (folder / "pdudaemon.conf").write_text(json.dumps(config))
    arguments = ("--conf", str(folder / "pdudaemon.conf"), "--logfile", str(folder / "pdudaemon.log"))
    async with _running(port, "/usr/sbin/pdudaemon", *arguments, "--listener", "http"):
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def _running(port: int, *argv: str) -> AsyncIterator[None]:
    """Run a server until it listens, and end it afterwards."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*argv, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        async with asyncio.timeout(_START_SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    assert process.returncode is None, f"{argv[0]} has ended with {process.returncode}"
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
