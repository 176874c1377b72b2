"""A lab with its ssh gateway on a real port of the loopback interface, and OpenSSH's own client to ask it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from hostler.api.app import create_app
from hostler.gateway.gateway import Gateway
from hostler.hub import ssh_keys
from hostler.hub.records import HUB
from hostler.hub.ssh_authority import SshAuthority
from simulated_rack import Lab, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOSTLER = str(Path(sys.executable).parent / "hostler")
SECONDS = 40.0
"""Longest any ssh of a test may take; a command is a Python process on a busy machine."""


@dataclass(frozen=True, slots=True)
class Done:
    """What an ssh command came to."""

    status: int
    out: str
    err: str


@dataclass
class SshLab:
    """A lab that is reached by ssh.

    Attributes:
        lab: Hub and rack.
        url: Where the API and the tunnel are.
        folder: Of keys and ``known_hosts``.
        gateway: What serves the ssh connections.
        environment: Of every command that is run.
    """

    lab: Lab
    url: str
    folder: Path
    gateway: Gateway
    environment: dict[str, str] = field(default_factory=dict)

    def key(self, name: str, *options: str) -> Path:
        """Make a key with the real ssh-keygen; returns the private file."""
        path = self.folder / f"{name}.key"
        if not path.exists():
            kind = options or ("-t", "ed25519")
            subprocess.run(["ssh-keygen", "-q", *kind, "-N", "", "-f", path], check=True, timeout=20)
        return path

    async def member(self, name: str, role: str = "member") -> None:
        """Make a principal with a registered key of the same name."""
        await self.lab.hub.create_principal(HUB, name, role)
        text = self.key(name).with_suffix(".key.pub").read_text()
        await self.lab.hub.change(lambda draft: ssh_keys.add(draft, HUB, name, text))

    def argv(self, who: str, *arguments: str, proxy: str | None = None) -> list[str]:
        """Return an OpenSSH command line that trusts the lab's authority and nothing else."""
        proxy = proxy or f"{HOSTLER} ssh-proxy --url {self.url}"
        return [
            "ssh", "-F", "none", "-o", f"ProxyCommand={proxy}", "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self.known_hosts}",
            "-o", "GlobalKnownHostsFile=none", "-o", "IdentitiesOnly=yes",
            "-i", str(self.key(who)), *arguments,
        ]  # fmt: skip

    @property
    def known_hosts(self) -> Path:
        """The file with the one line."""
        path = self.folder / "known_hosts"
        if not path.exists():
            assert self.lab.hub.ssh_authority is not None
            path.write_text(f"{self.lab.hub.ssh_authority.known_hosts_line}\n")
        return path

    async def ssh(self, who: str, *arguments: str, typed: bytes | None = None, **options: Any) -> Done:
        """Run ssh to its end; ``typed`` is its standard input."""
        return await self.run(*self.argv(who, *arguments, **options), typed=typed)

    async def run(self, *argv: str, typed: bytes | None = None) -> Done:
        """Run a command to its end."""
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL if typed is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=self.environment,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(typed), SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Done(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))

    @asynccontextmanager
    async def going(self, who: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Start ssh with pipes; it is ended with the block at the latest."""
        process = await asyncio.create_subprocess_exec(
            *self.argv(who, *arguments), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=self.environment,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@asynccontextmanager
async def ssh_lab(directory: Path, *, login_seconds: float = 30.0, **options: Any) -> AsyncIterator[SshLab]:
    """Serve a lab with ssh; ``anna`` and ``bert`` are members with keys, ``carol``'s key is unknown."""
    directory.mkdir(exist_ok=True)
    async with running(directory, **options) as lab:
        lab.hub.ssh_authority = SshAuthority(directory / "ssh")
        app = create_app(lab.hub)
        gateway = app.state.ssh = Gateway(
            lab.hub, app, directory / "ssh", ("localhost", "127.0.0.1"), login_seconds=login_seconds
        )
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server._serve(sockets=None))
        ssh = asyncio.ensure_future(gateway.run())
        try:
            while not server.started:
                assert not serving.done()
                await asyncio.sleep(0.005)
            port = server.servers[0].sockets[0].getsockname()[1]
            url = f"http://127.0.0.1:{port}"
            environment = {
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                "XDG_CONFIG_HOME": str(directory / "config"),
            }
            served = SshLab(lab, url, directory, gateway, environment)
            for name in ("anna", "bert"):
                await served.member(name)
            served.key("carol")
            yield served
        finally:
            server.should_exit = True
            await serving
            ssh.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ssh
