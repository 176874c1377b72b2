"""Who gets in by ssh, with OpenSSH's own client and keys: registered keys, and nobody else."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hostler.gateway import limits
from hostler.hub import ssh_keys
from hostler.hub.records import HUB
from hostler.wire.tunnel import Closed, Opened, Tunnel
from simulated_rack import until
from ssh_lab import HOSTLER, SshLab, ssh_lab


async def me(lab: SshLab, token: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.get(f"{lab.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"})


async def test_a_registered_key_is_given_a_token(tmp_path: Path):
    """A login without a command prints a token and nothing else on stdout; the API knows its owner."""
    async with ssh_lab(tmp_path) as lab:
        done = await lab.ssh("anna", "lab@bench")
        assert done.status == 0, done.err
        token = done.out.removesuffix("\n")
        assert token.startswith("hst_")
        assert token not in done.err
        answer = await me(lab, token)
        assert answer.status_code == 200
        assert answer.json()["name"] == "anna"


async def test_a_token_as_asked_for(tmp_path: Path):
    """Name, life and single use are as said; what is malformed makes none."""
    async with ssh_lab(tmp_path) as lab:
        done = await lab.ssh(
            "anna", "lab@bench", "token", "--name", "ci run", "--expires", "8h", "--once", "--json"
        )
        assert done.status == 2, done.err  # ssh hands on one line: the shell's quotes were eaten on the way
        done = await lab.ssh("anna", "lab@bench", "token --name 'ci run' --expires 8h --once --json")
        assert done.status == 0, done.err
        made = json.loads(done.out)
        assert made["principal"] == "anna"
        token = next(t for t in lab.lab.hub.state.tokens.values() if t.name == "ci run")
        assert token.expires == pytest.approx(token.created + 8 * 3600, abs=5)
        assert [(await me(lab, made["token"])).status_code for _ in range(2)] == [200, 401]
        before = len(lab.lab.hub.state.tokens)
        for line in ("token --expires never", "token --nonsense", "token --expires -1h", "token --role god"):
            assert (await lab.ssh("anna", "lab@bench", line)).status != 0
        assert len(lab.lab.hub.state.tokens) == before


async def test_an_unknown_key_is_refused(tmp_path: Path):
    """A key nobody registered gets in under no user name, and learns nothing of who there is."""
    async with ssh_lab(tmp_path) as lab:
        told = {
            (await lab.ssh("carol", f"{user}@bench", "boards")).err.split(":", 1)[1]
            for user in ("lab", "pc-1", "anna")
        }
        assert len(told) == 1
        assert "Permission denied (publickey)" in told.pop()


async def test_a_shut_out_principal_is_refused(tmp_path: Path):
    """A key whose owner was removed or taken away itself logs nobody in any more."""
    async with ssh_lab(tmp_path) as lab:
        hub = lab.lab.hub
        assert (await lab.ssh("bert", "lab@bench", "token")).status == 0
        fingerprint = next(key.fingerprint for key in hub.state.keys.values() if key.principal == "bert")
        await hub.change(lambda draft: ssh_keys.remove(draft, HUB, fingerprint))
        assert (await lab.ssh("bert", "lab@bench", "token")).status == 255
        await hub.remove_principal(HUB, "anna")
        assert (await lab.ssh("anna", "lab@bench", "token")).status == 255


@pytest.mark.parametrize("options", [("-t", "rsa", "-b", "2048"), ("-t", "ecdsa")])
async def test_other_kinds_of_keys(tmp_path: Path, options: tuple[str, ...]):
    """RSA and ECDSA keys log in like ed25519 ones."""
    async with ssh_lab(tmp_path) as lab:
        lab.key("dora", *options)
        await lab.member("dora")
        assert (await lab.ssh("dora", "lab@bench", "token")).status == 0


async def test_the_right_key_among_several(tmp_path: Path):
    """A client may offer keys that nobody knows before the one that counts."""
    async with ssh_lab(tmp_path) as lab:
        done = await lab.ssh("carol", "-i", str(lab.key("anna")), "lab@bench", "whoami")
        assert done.status == 0, done.err


async def test_passwords_and_files_are_not_served(tmp_path: Path):
    """There are no passwords, no sftp, no scp, no forwarding from here or to elsewhere."""
    async with ssh_lab(tmp_path) as lab:
        asked = await lab.ssh(
            "carol", "-o", "PreferredAuthentications=password,keyboard-interactive", "lab@bench"
        )
        assert "Permission denied (publickey)" in asked.err
        for extra in (["-s", "lab@bench", "sftp"], ["lab@bench", "scp -f /etc/passwd"]):
            done = await lab.ssh("anna", *extra)
            assert done.status != 0
            assert "root:" not in done.out
        elsewhere = await lab.ssh("anna", "-W", "127.0.0.1:22", "lab@bench")
        assert elsewhere.status != 0
        assert "administratively prohibited" in elsewhere.err
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        back = await lab.ssh(
            "anna", "-o", "ExitOnForwardFailure=yes", "-R", f"{port}:127.0.0.1:22", "-N", "lab@bench"
        )
        assert "remote port forwarding failed" in back.err


async def test_who_does_not_log_in_is_sent_away(tmp_path: Path):
    """A stream that sends more than any login needs is closed; so is a client that breaks the protocol."""
    async with (
        ssh_lab(tmp_path) as lab,
        connect(f"{lab.url.replace('http', 'ws')}/api/v1/ssh", proxy=None) as ws,
    ):
        tunnel = Tunnel()
        await ws.send(tunnel.open("ssh"))
        sent, channel, ended = 0, 0, False
        while not ended:
            message = await asyncio.wait_for(ws.recv(), 60)
            assert isinstance(message, bytes)
            events, replies = tunnel.receive(message)
            for reply in replies:
                await ws.send(reply)
            for event in events:
                if isinstance(event, Opened):
                    channel = event.channel
                    await ws.send(tunnel.data(channel, b"SSH-2.0-noise\r\n"))
                elif isinstance(event, Closed):
                    ended = True
            if channel and not ended and (room := tunnel.credit(channel)) and sent <= limits.LOGIN_BYTES:
                await ws.send(tunnel.data(channel, bytes(min(room, 32768))))
                sent += min(room, 32768)
        await ws.send(b"\x07nothing is open here")
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(ws.recv(), 60)


async def hear(ws: ClientConnection, tunnel: Tunnel, heard: list[object]) -> None:
    """Note what the server says until it closes."""
    while True:
        message = await ws.recv()
        assert isinstance(message, bytes)
        heard += tunnel.receive(message)[0]


async def test_who_says_nothing_is_sent_away(tmp_path: Path):
    """A stream on which nobody logs in ends by itself, and so does a WebSocket without any."""
    async with ssh_lab(tmp_path, login_seconds=0.5) as lab:
        async with connect(f"{lab.url.replace('http', 'ws')}/api/v1/ssh", proxy=None) as ws:
            tunnel = Tunnel()
            await ws.send(tunnel.open("ssh"))
            heard: list[object] = []
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(hear(ws, tunnel, heard), 60)
            assert any(isinstance(event, Closed) for event in heard)
        await until(lambda: lab.gateway._strangers.held == 0)
        async with lab.going("anna", "lab@bench", "events --follow") as ssh:
            await until(lambda: lab.gateway._commands._verbs.held == 1)
            await asyncio.sleep(0.7)
            assert ssh.returncode is None, "who is logged in stays"


async def test_logins_at_once_are_few(tmp_path: Path):
    """One address cannot hold all the places of those who have not logged in; places come back."""
    async with ssh_lab(tmp_path) as lab:
        strangers = lab.gateway._strangers
        url = f"{lab.url.replace('http', 'ws')}/api/v1/ssh"
        sockets = [await connect(url, proxy=None, max_queue=None) for _ in range(2)]
        asked = 0
        refused = ""
        try:
            for ws in sockets:
                tunnel = Tunnel()
                for _ in range(16):
                    await ws.send(tunnel.open("ssh"))
                    asked += 1
            await until(lambda: strangers.held == limits.STRANGERS_EACH)
            tunnel = Tunnel()
            async with connect(url, proxy=None) as ws:
                await ws.send(tunnel.open("ssh"))
                while not refused:
                    message = await asyncio.wait_for(ws.recv(), 60)
                    assert isinstance(message, bytes)
                    events, _ = tunnel.receive(message)
                    refused = next((event.reason for event in events if isinstance(event, Closed)), "")
        finally:
            for ws in sockets:
                await ws.close()
        assert "too many logins" in refused
        assert asked > limits.STRANGERS_EACH
        await until(lambda: strangers.held == 0)
        assert (await lab.ssh("anna", "lab@bench", "token")).status == 0


async def test_the_lab_says_who_it_is(tmp_path: Path):
    """One line of known_hosts is enough for ever; a server another authority vouches for is refused."""
    async with ssh_lab(tmp_path / "one") as lab, ssh_lab(tmp_path / "other") as other:
        assert (await lab.ssh("anna", "lab@bench", "token")).status == 0
        assert lab.known_hosts.read_text().count("\n") == 1
        proxy = f"{HOSTLER} ssh-proxy --url {other.url}"
        done = await lab.ssh("anna", "lab@bench", "token", proxy=proxy)
        assert done.status == 255
        assert "Host key verification failed" in done.err
        assert done.out == ""
        unnamed = await lab.ssh("anna", "lab@elsewhere", "token")
        assert unnamed.status == 255, "the certificate is for the lab's names only"


async def test_a_port_of_its_own(tmp_path: Path):
    """Where one is wanted, ssh is served on a plain TCP port just the same."""
    async with ssh_lab(tmp_path) as lab:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        port = listener.getsockname()[1]
        serving = asyncio.ensure_future(lab.gateway.listen(listener))
        try:
            done = await lab.ssh("anna", "-p", str(port), "lab@127.0.0.1", "whoami", proxy="none")
            assert done.status == 0, done.err
            assert (
                await lab.ssh("carol", "-p", str(port), "lab@127.0.0.1", "whoami", proxy="none")
            ).status == 255
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
