"""Programs of others that our drivers talk to: OpenStack's sushy-emulator and LAVA's pdudaemon."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import bcrypt

from free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SYSTEM = "da69abcc-dae0-4913-9a7b-d344043097c0"
"""The one system of the emulator, by the id it has in its paths."""

# Its systems change a random 1 to 11 s after they were told to: with this seed the first four take 1 s.
_EMULATOR = (
    "import random, sys; random.seed(3587); from sushy_tools.emulator.main import main; sys.exit(main())"
)
_START_SECONDS = 60.0
_STARTS = 5
"""How often it is tried: somebody may have taken the port first."""


@asynccontextmanager
async def sushy_emulator(folder: Path, user: str, password: str) -> AsyncIterator[str]:
    """Run a Redfish controller with one system, which is off; yields ``host:port``."""
    login = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix=b"2b")).decode()
    (folder / "htpasswd").write_text(f"{user}:{login}\n")
    system = {"uuid": SYSTEM, "name": "node-1", "power_state": "Off", "fake_ipa": False, "nics": []}
    (folder / "sushy.conf").write_text(
        f"SUSHY_EMULATOR_STATE_DIR = {str(folder)!r}\n"
        f"SUSHY_EMULATOR_AUTH_FILE = {str(folder / 'htpasswd')!r}\n"
        f"SUSHY_EMULATOR_FAKE_SYSTEMS = [{system!r}]\n"
    )

    def command(port: int) -> list[str]:
        config = str(folder / "sushy.conf")
        return [
            sys.executable,
            "-c",
            _EMULATOR,
            "--config",
            config,
            "--fake",
            "-i",
            "127.0.0.1",
            "-p",
            str(port),
        ]

    async with _running(command) as port:
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def pdudaemon(folder: Path) -> AsyncIterator[str]:
    """Run a pdudaemon with the PDU ``rack1``, whose outlets are files in ``folder``; yields ``host:port``."""
    outlets = {f"cmd_{state}": f"echo {state} > {folder}/outlet-%s" for state in ("on", "off")}

    def command(port: int) -> list[str]:
        config = {
            "daemon": {"hostname": "127.0.0.1", "port": port, "dbname": "none", "listener": "http"},
            "pdus": {"rack1": {"driver": "localcmdline", **outlets}},
            "aliases": {"nuc": {"hostname": "rack1", "port": "7"}},
        }
        path = folder / "pdudaemon.conf"
        path.write_text(json.dumps(config))
        log = str(folder / "pdudaemon.log")
        return ["/usr/sbin/pdudaemon", "--conf", str(path), "--logfile", log, "--listener", "http"]

    async with _running(command) as port:
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def _running(command: Callable[[int], list[str]]) -> AsyncIterator[int]:
    """Run a server until it listens at a free port, which is yielded, and end it afterwards."""
    quiet = asyncio.subprocess.DEVNULL
    async with asyncio.timeout(_START_SECONDS):
        for _ in range(_STARTS):
            argv = command(port := free_port())
            process = await asyncio.create_subprocess_exec(*argv, stdin=quiet, stdout=quiet, stderr=quiet)
            if await _listens(process, port):
                break
        else:
            raise AssertionError(f"{argv[0]} has ended {_STARTS} times, the last with {process.returncode}")
    try:
        yield port
    finally:
        await _ended(process)


async def _listens(process: asyncio.subprocess.Process, port: int) -> bool:
    """Wait until a server listens; False: it has ended."""
    try:
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return process.returncode is None
    except BaseException:
        await _ended(process)
        raise
    return False


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()
