"""ssh to a real ``hostler serve``: through https, on a port of its own, and over restarts."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from running_server import RunningServer, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTLER = str(Path(sys.executable).parent / "hostler")

LAB = """[lab]
name = "bench"

[networks.boot]
interface = "lo"
address = "127.77.0.1/24"
dhcp = "none"

[classes.pc]
platform = "x86-bios"

[boards.pc-1]
class = "pc"
mac = "52:54:00:00:00:01"
power = { driver = "fake" }
console = { driver = "fake" }
"""


def run_ssh(
    folder: Path, proxy: str, *arguments: str, typed: str = "", ca: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run OpenSSH's client with the key of ``folder``, trusting the one line there."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    if ca is not None:
        environment["HOSTLER_CA"] = str(ca)
    return subprocess.run(
        [
            "ssh", "-F", "none", "-o", f"ProxyCommand={proxy}", "-o", "BatchMode=yes",
            "-i", str(folder / "key"),
            "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={folder}/known_hosts", *arguments,
        ],
        input=typed, capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[RunningServer]:
    (folder / "lab.toml").write_text(LAB)
    with running_server(
        folder / "state",
        "--config",
        str(folder / "lab.toml"),
        "--tls",
        "auto",
        "--name",
        "localhost",
        *arguments,
    ) as server:
        yield server


def register(server: RunningServer, folder: Path) -> None:
    """Give the admin a key, and write the line that trusts the lab, which needs no token."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True, timeout=20
    )
    with httpx2.Client(
        base_url=f"{server.url}/api/v1", verify=ssl.create_default_context(cafile=server.ca), trust_env=False
    ) as http:
        line = http.get("/ssh/ca").json()["known_hosts"]
        headers = {"Authorization": f"Bearer {server.token}"}
        made = http.post("/keys", headers=headers, json={"key": (folder / "key.pub").read_text()})
        assert made.status_code == 201, made.text
    (folder / "known_hosts").write_text(f"{line}\n")


def test_through_https_and_over_a_kill(tmp_path: Path) -> None:
    """The TLS port carries ssh; after kill -9 the lab is still the one that known_hosts knows."""
    proxy = f"{HOSTLER} ssh-proxy --url {{}}"
    with serving(tmp_path) as server:
        register(server, tmp_path)
        through = proxy.format(server.url)
        claimed = run_ssh(tmp_path, through, "lab@bench", "claim", "pc", ca=server.ca)
        assert claimed.returncode == 0, claimed.stderr
        echoed = run_ssh(tmp_path, through, "pc-1@bench", typed="hello\n", ca=server.ca)
        assert (echoed.returncode, echoed.stdout) == (0, "hello\n"), echoed.stderr
        stranger = run_ssh(tmp_path, through, "lab@bench", "boards")
        assert stranger.returncode == 255
        assert "nobody this machine knows vouches" in stranger.stderr
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
        assert run_ssh(tmp_path, through, "lab@bench", "boards", ca=server.ca).returncode == 255
    with serving(tmp_path) as server:
        again = run_ssh(tmp_path, proxy.format(server.url), "lab@bench", "show", "pc-1", ca=server.ca)
        assert again.returncode == 0, again.stderr
        assert '"lifecycle":"claimed"' in again.stdout
    for private in ("ca", "host"):
        assert (tmp_path / "state" / "ssh" / private).stat().st_mode & 0o777 == 0o600


def test_a_port_of_its_own(tmp_path: Path) -> None:
    """``--ssh-listen`` serves the same on a plain TCP port; one that is taken is told before all else."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [HOSTLER, "serve", "--state", tmp_path / "none", "--listen", "127.0.0.1:0", "--ssh-listen",
             f"127.0.0.1:{port}"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
        assert not (tmp_path / "none").exists()
    with serving(tmp_path, "--ssh-listen", f"127.0.0.1:{port}") as server:
        register(server, tmp_path)
        done = run_ssh(tmp_path, "none", "-p", str(port), "lab@localhost", "whoami")
        assert done.returncode == 0, done.stderr
