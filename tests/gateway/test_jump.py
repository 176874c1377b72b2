"""Jumps: OpenSSH's own client to a real sshd on a board's own network, through the tunnel, as its holder."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from netboot_peers import pid_in

from hostler.rack.board_tcp import serve_tcp
from simulated_rack import until
from ssh_lab import HOSTLER, SshLab, ssh_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.link.port import Stream
    from hostler.model.json import Document
    from netns import Lan

BOARD = "10.77.0.11"


def rack_reaches(lab: SshLab, pidfile: Path | None) -> None:
    """Let the simulated rack carry TCP as a real one does: to ``BOARD`` in the namespace of ``pidfile``."""
    rack = lab.lab.rack

    async def stream(kind: str, body: Document, pipe: Stream) -> None:
        if kind == "tcp":
            await serve_tcp(body, BOARD, (), None, pidfile, pipe)
        else:
            await rack._stream(kind, body, pipe)

    lab.lab.link.serve(rack._request, stream)


async def configured(lab: SshLab, who: str) -> Path:
    """Let ``hostler ssh-config --write`` set OpenSSH up; returns the configuration."""
    done = await lab.run(HOSTLER, "ssh-config", "--url", lab.url, "--write")
    assert done.status == 0, done.err
    config = lab.folder / ".ssh" / "config"
    with config.open("a") as file:
        file.write(
            f"Host *\n  IdentityFile {lab.key(who)}\n  IdentitiesOnly yes\n  BatchMode yes\n"
            "  StrictHostKeyChecking yes\n  GlobalKnownHostsFile none\n"
        )
    lab.environment["PATH"] = f"{Path(HOSTLER).parent}:{lab.environment['PATH']}"
    return config


@contextmanager
def sshd(lan: Lan, folder: Path, authorized: str, certificate: str) -> Iterator[None]:
    """Run a real sshd on the board, with a host key that the lab has signed."""
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    Path("/run/sshd").mkdir(exist_ok=True)  # where sshd puts its unprivileged half
    (folder / "authorized").write_text(authorized)
    (folder / "board-cert.pub").write_text(f"{certificate}\n")
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress {BOARD}:22\nHostKey {folder}/board\nHostCertificate {folder}/board-cert.pub\n"
        f"AuthorizedKeysFile {folder}/authorized\nPermitRootLogin yes\nUsePAM no\nStrictModes no\n"
        "PidFile none\n"
    )
    process = lan.client.popen(program, "-D", "-e", "-f", str(config), stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert b"listening" in line, line
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


async def test_only_to_a_board_one_holds(tmp_path: Path):
    """Another's board, a free one, a name of nobody and any other host are refused before a packet leaves."""
    async with ssh_lab(tmp_path) as lab:
        rack_reaches(lab, None)
        await lab.lab.hub.claim(lab.lab.hub.state.principals["anna"], "pc")
        for host in ("pc-1:22", "pc-2:22", "nothing:22", "127.0.0.1:22", "10.77.0.11:22"):
            done = await lab.ssh("bert", "-W", host, "lab@bench")
            assert done.status != 0
            assert "administratively prohibited" in done.err
        assert not lab.lab.link._open


@pytest.mark.netns
async def test_the_sshd_of_a_board(lan: Lan, tmp_path: Path):
    """`ssh BOARD.LAB` logs in on the board itself: its host key is trusted by the lab's one line."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    lan.client.run("ip", "address", "add", f"{BOARD}/24", "dev", "cli0")
    with pid_in(lan, tmp_path) as pidfile:
        await login_on_the_board(lan, tmp_path, pidfile)


async def login_on_the_board(lan: Lan, tmp_path: Path, pidfile: Path) -> None:
    async with ssh_lab(tmp_path) as lab:
        rack_reaches(lab, pidfile)
        await lab.lab.hub.claim(lab.lab.hub.state.principals["anna"], "pc", name="mine")
        await until(lambda: "pc-1" in lab.lab.rack.boards)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "board"], check=True)
        lab.environment["HOSTLER_URL"] = lab.url
        lab.environment["HOSTLER_TOKEN"] = (await lab.ssh("anna", "lab@bench", "token")).out.strip()
        signed = await lab.run(HOSTLER, "host-key", "pc-1", str(tmp_path / "board.pub"))
        assert signed.status == 0, signed.err
        config = await configured(lab, "anna")
        authorized = lab.key("anna").with_suffix(".key.pub").read_text()
        ssh = ("ssh", "-F", str(config))
        with sshd(lan, tmp_path, authorized, signed.out.strip()):
            done = await lab.run(*ssh, "pc-1.bench", "echo on the $SSH_CONNECTION; exit 7")
            assert done.status == 7, done.err
            assert f"{BOARD} 22" in done.out
            assert done.err == ""
            jump = await lab.run(
                *ssh, "-J", "lab@bench", "root@pc-1", "-o", f"UserKnownHostsFile={lab.known_hosts}", "true"
            )
            assert jump.status == 0, jump.err
            much = await lab.run(*ssh, "pc-1.bench", "cat", typed=b"0123456789abcdef" * 65536)
            assert much.out == "0123456789abcdef" * 65536
            waiting = await asyncio.create_subprocess_exec(
                *ssh, "pc-1.bench", "echo there; sleep 100", env=lab.environment,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert waiting.stdout is not None
            assert await asyncio.wait_for(waiting.stdout.readline(), 60) == b"there\n"
            await lab.lab.hub.release(lab.lab.hub.state.principals["anna"], "mine")
            assert await asyncio.wait_for(waiting.wait(), 60) == 255
        assert (await lab.run(*ssh, "pc-1.bench", "true")).status == 255
        await until(lambda: lab.gateway._jumps.held == 0)


async def test_a_board_that_does_not_answer(tmp_path: Path):
    """A board that is off is told apart from one that is not yours."""
    async with ssh_lab(tmp_path) as lab:
        (tmp_path / "pid").write_text("4194304")
        rack_reaches(lab, tmp_path / "pid")
        await lab.lab.hub.claim(lab.lab.hub.state.principals["anna"], "pc")
        done = await lab.ssh("anna", "-W", "pc-1:22", "lab@bench")
        assert done.status != 0
        assert "the board cannot be reached" in done.err


async def test_the_configuration_is_written_once(tmp_path: Path):
    """What the user's configuration says already stays, and a second time changes nothing."""
    async with ssh_lab(tmp_path) as lab:
        (tmp_path / ".ssh").mkdir()
        own = "Host *\n  IdentitiesOnly yes\n"
        (tmp_path / ".ssh" / "config").write_text(own)
        for _ in range(2):
            done = await lab.run(HOSTLER, "ssh-config", "--url", lab.url, "--write")
            assert done.status == 0, done.err
        assert lab.lab.hub.ssh_authority is not None
        assert lab.lab.hub.ssh_authority.fingerprint in done.out
        text = (tmp_path / ".ssh" / "config").read_text()
        assert text.endswith(own)
        assert text.count("Include") == 1
        lab.environment["PATH"] = f"{Path(HOSTLER).parent}:{lab.environment['PATH']}"
        ssh = (
            "ssh",
            "-F",
            str(tmp_path / ".ssh" / "config"),
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "BatchMode=yes",
        )
        told = await lab.run(*ssh, "-i", str(lab.key("anna")), "bench", "whoami")
        assert told.status == 0, told.err
        printed = await lab.run(HOSTLER, "ssh-config", "--url", lab.url)
        assert "ProxyCommand" in printed.out
        assert "@cert-authority * ssh-ed25519 " in printed.out
