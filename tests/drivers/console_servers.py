"""Real servers in front of serial lines, on free ports of loopback: ser2net, OpenSSH, a simulated BMC."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def end_own(name: str) -> None:
    """End the programs of that name that this process started."""
    children: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        children += (task / "children").read_text().split()
    for pid in {int(child) for child in children}:
        if Path(f"/proc/{pid}/comm").read_text().strip() == name:
            os.kill(pid, signal.SIGKILL)


async def listens(port: int) -> None:
    """Return as soon as something accepts connections on a port of loopback."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.transport.abort()
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def program(*argv: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a server for as long as the block lasts."""
    nothing = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(*argv, stdin=nothing, stdout=nothing, stderr=nothing)
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        await server.wait()


@asynccontextmanager
async def ser2net(
    folder: Path, accepter: str, device: Path
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """Serve a device through ser2net; yields the port and the process."""
    port = free_port()
    (folder / "ser2net.yaml").write_text(
        f"connection: &line\n  accepter: {accepter},tcp,127.0.0.1,{port}\n"
        f"  connector: serialdev,{device},115200n81,local\n  options:\n    kickolduser: true\n"
    )
    argv = ("ser2net", "-n", "-u", "-c", str(folder / "ser2net.yaml"), "-P", str(folder / "ser2net.pid"))
    async with program(*argv) as server:
        await listens(port)
        await asyncio.sleep(0.05)  # it opens the device for that visit, and must let go of it
        yield port, server


@asynccontextmanager
async def sshd(folder: Path) -> AsyncIterator[dict[str, object]]:
    """Serve ssh to whoever runs the tests; yields the equipment's table."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it; a running system has it
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / name], check=True
        )
    (folder / "sshd").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        "PermitRootLogin yes\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n"
        f"SetEnv HOME={folder}\n"  # bash reads the .bashrc of its home, and who knows what that does
    )
    program_path = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program_path is not None, "openssh-server is not installed"
    async with program(program_path, "-D", "-e", "-f", str(folder / "sshd")):
        await listens(port)
        yield {
            "host": f"127.0.0.1:{port}",
            "user": getpass.getuser(),
            "key": f"file:{folder}/user",
            "host_key": (folder / "host.pub").read_text().strip(),
        }


@asynccontextmanager
async def ipmi_sim(folder: Path, board: int) -> AsyncIterator[dict[str, object]]:
    """Simulate a management controller whose serial line is a TCP port; yields the equipment's table."""
    port = free_port(socket.SOCK_DGRAM)
    (folder / "state").mkdir()
    (folder / "password").write_text("secret")
    (folder / "lan.conf").write_text(
        'name "bmc"\nset_working_mc 0x20\n'
        f"startlan 1\n addr 127.0.0.1 {port}\n priv_limit admin\n allowed_auths_admin none md5\n"
        " guid a123456789abcdefa123456789abcdef\nendlan\n"
        f'sol "tcp:127.0.0.1:{board}" 115200\n'
        'user 2 true "lab" "secret" admin 10 none md5\n'
        'user 3 true "guest" "secret" user 10 none md5\n'
    )
    (folder / "commands").write_text(
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\n"
        "mc_enable 0x20\n"
    )
    files = ("-c", str(folder / "lan.conf"), "-f", str(folder / "commands"), "-s", str(folder / "state"))
    async with program("ipmi_sim", *files, "-n"):
        await asyncio.sleep(0.2)
        yield {
            "host": f"127.0.0.1:{port}",
            "user": "lab",
            "password": f"file:{folder}/password",
            "cipher": 3,
        }
