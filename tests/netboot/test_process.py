"""The whole netboot process with real peers: DHCP, TFTP, HTTP, and what happens when somebody dies."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from netboot_peers import NETWORK, Rack, noise, setup_in, until

from hostler.model.boot import BootIntent
from hostler.netboot.child import NetbootError
from hostler.netboot.setup import NetbootSetup
from hostler.netboot.table import Target
from netns import Lan

pytestmark = pytest.mark.netns

URL = "http://10.77.0.1:8067"
TOKEN = "t0ken-of-the-present-boot"


@pytest.fixture
def setup(lan: Lan, tmp_path: Path):
    with setup_in(lan, tmp_path, {"snponly.efi": noise(tmp_path / "snponly.efi", 5000)}) as made:
        yield made


def target(lan: Lan, **fields: Any) -> Target:
    return Target(board="b1", platform="x86-uefi", arch="amd64", macs=(lan.client_mac,), **fields)


def curl(lan: Lan, path: str, *options: str) -> bytes:
    done = subprocess.run(
        lan.client.argv("curl", "-sS", "--max-time", "10", *options, f"{URL}{path}"),
        capture_output=True,
        timeout=20,
        check=True,
    )
    return done.stdout


def status(lan: Lan, path: str, *options: str) -> int:
    return int(curl(lan, path, "-o", "/dev/null", "-w", "%{http_code}", *options))


async def lease(lan: Lan) -> str:
    """Get an address with udhcpc and put it on the client's interface."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh", delete=False) as file:
        file.write('#!/bin/sh\n[ "$1" = bound ] && ip address replace "$ip/24" dev "$interface"\nexit 0\n')
    script = Path(file.name)
    script.chmod(0o755)
    await asyncio.to_thread(
        lan.client.run,
        "busybox",
        "udhcpc",
        "-i",
        "cli0",
        "-q",
        "-n",
        "-f",
        "-s",
        str(script),
        "-t",
        "5",
        timeout=20,
    )
    script.unlink()
    shown = lan.client.run("ip", "-j", "address", "show", "dev", "cli0")
    return str(next(a["local"] for a in json.loads(shown.stdout)[0]["addr_info"] if a["family"] == "inet"))


async def test_a_board_walks_from_dhcp_to_the_agent(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """One board gets its lease, script, kernel and configuration, and its agent's report reaches the rack."""
    kernel, initrd = tmp_path / "kernel", tmp_path / "initrd"
    kernel.write_bytes(os.urandom(3_000_001))
    initrd.write_bytes(os.urandom(700_001))
    ids = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (kernel, initrd)]
    rack = Rack()
    async with rack.child(setup) as child:
        child.put_artefact(ids[0], kernel)
        child.put_artefact(ids[1], initrd)
        child.put_target(
            target(
                lan, intent=BootIntent.STEP, boot="boot-1", token=TOKEN, kernel=ids[0], initrd=ids[1],
                cmdline="console=ttyS0", step={"run": "r1", "step": 0, "kind": "discover", "params": {}},
            )
        )  # fmt: skip
        address = await lease(lan)
        assert IPv4Address(address) in NETWORK.address.network

        def walk() -> None:
            script = curl(lan, "/boot/ipxe").decode()
            assert script.startswith("#!ipxe\n")
            assert f"kernel --name kernel {URL}/boot/file/{ids[0]} console=ttyS0" in script
            assert curl(lan, f"/boot/file/{ids[0]}") == kernel.read_bytes()
            config = curl(lan, "/boot/config.cpio")
            got = subprocess.run(["cpio", "-i", "--to-stdout", "etc/hostler/boot.json"], input=config,
                                 capture_output=True, check=True, timeout=5)  # fmt: skip
            assert json.loads(got.stdout) == {"rack": URL, "token": TOKEN, "board": "b1", "boot": "boot-1"}
            for name, wanted in (
                ("boot/kernel", kernel.read_bytes()),
                ("boot/initrd", config + initrd.read_bytes()),
                ("snponly.efi", setup.firmware["snponly.efi"].read_bytes()),
            ):
                fetch = (
                    "curl",
                    "-sS",
                    "--max-time",
                    "20",
                    "--tftp-blksize",
                    "1428",
                    f"tftp://10.77.0.1/{name}",
                )
                got = subprocess.run(lan.client.argv(*fetch), capture_output=True, check=True, timeout=30)
                assert got.stdout == wanted
            lan.client.run(
                "atftp", "-g", "-r", "boot/kernel", "-l", str(tmp_path / "got"), "10.77.0.1", timeout=30
            )
            assert (tmp_path / "got").read_bytes() == kernel.read_bytes()
            bearer = ("-H", f"Authorization: Bearer {TOKEN}")
            assert json.loads(curl(lan, "/agent/step", *bearer))["kind"] == "discover"
            body = json.dumps({"run": "r1", "step": 0, "result": {"disks": []}})
            assert status(lan, "/agent/done", *bearer, "-d", body) == 204

        await asyncio.to_thread(walk)
        assert rack.reports == [("done", "b1", "boot-1", {"run": "r1", "step": 0, "result": {"disks": []}})]
        assert rack.seen[0] == ("b1", "boot-1")
        await until(lambda: "done" in rack.kinds("tftp"))
        assert {"discover", "offer", "request", "ack"} <= set(rack.kinds("dhcp"))
        assert {"get", "done"} <= set(rack.kinds("http"))
        assert {event.board for event in rack.events if event.source in ("tftp", "http", "dhcp")} == {"b1"}
        assert not any(TOKEN in json.dumps(event.to_json()) for event in rack.events)


async def test_a_spent_token_opens_nothing(lan: Lan, setup: NetbootSetup):
    """No token is 401; the token of an earlier boot is 403, so the agent of that boot stops."""
    async with Rack().child(setup) as child:
        child.put_target(target(lan, intent=BootIntent.STEP, boot="boot-1", token=TOKEN))
        await lease(lan)
        old = ("-H", f"Authorization: Bearer {TOKEN}")
        assert await asyncio.to_thread(status, lan, "/agent/step", *old) == 204
        child.put_target(target(lan, intent=BootIntent.STEP, boot="boot-2", token="another"))
        assert await asyncio.to_thread(status, lan, "/agent/step", *old) == 403
        assert await asyncio.to_thread(status, lan, "/agent/hello", *old, "-d", "{}") == 403
        assert await asyncio.to_thread(status, lan, "/agent/step") == 401


async def test_a_killed_child_is_replaced_by_one_that_knows_as_much(lan: Lan, setup: NetbootSetup):
    """A kill -9 of the netboot process costs a moment: leases, boards and artefacts are as before."""
    rack = Rack()
    async with rack.child(setup) as child:
        child.put_target(target(lan, intent=BootIntent.LOCAL))
        before = await lease(lan)
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.pid not in (None, first))
        child.put_target(target(lan, message="said while it starts"))
        again = ("--retry", "20", "--retry-connrefused", "--retry-delay", "1")
        assert b"said while it starts" in await asyncio.to_thread(curl, lan, "/boot/ipxe", *again)
        assert await lease(lan) == before


async def test_a_stuck_child_is_replaced(setup: NetbootSetup):
    """A process that says nothing although it is asked to is killed and replaced."""
    async with Rack().child(setup, silence=0.5) as child:
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        await until(lambda: child.pid not in (None, first))


def test_the_child_does_not_outlive_its_rack(setup: NetbootSetup, tmp_path: Path):
    """A kill -9 of the rack ends the netboot process: nobody answers boards with what nobody maintains."""
    program = tmp_path / "rack.py"
    program.write_text(
        textwrap.dedent(
            """
            import asyncio, json, sys
            from pathlib import Path
            from dataclasses import replace
            from hostler.netboot.child import NetbootChild
            from hostler.netboot.setup import NetbootSetup

            async def main():
                document = json.loads(sys.argv[1])
                setup = replace(NetbootSetup.from_json(document), netns_pidfile=Path(sys.argv[2]))
                async with NetbootChild(setup, on_event=print, on_seen=print, on_request=print) as child:
                    print(child.pid, flush=True)
                    await asyncio.sleep(60)

            asyncio.run(main())
            """
        )
    )
    rack = subprocess.Popen(
        [sys.executable, str(program), json.dumps(setup.to_json()), str(setup.netns_pidfile)],
        stdout=subprocess.PIPE,
    )
    assert rack.stdout is not None
    child = int(rack.stdout.readline())
    rack.kill()
    rack.wait(5)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.05)


async def test_a_taken_port_is_named(lan: Lan, setup: NetbootSetup):
    """A port in use is a refusal that names it; nothing is left running."""
    with lan.server.entered():
        taken = socket.create_server(("10.77.0.1", 8067))
    with taken, pytest.raises(NetbootError, match=r"10\.77\.0\.1 port 8067.*in use"):
        async with Rack().child(setup):
            pass
    assert "hostler.netboot" not in " ".join(
        Path(f"/proc/{pid}/cmdline").read_text() for pid in lan.server.pids()
    )


async def test_a_missing_namespace_is_named(tmp_path: Path):
    """A lab that does not run is named by its pid file."""
    setup = NetbootSetup((NETWORK,), tmp_path, tmp_path, netns_pidfile=tmp_path / "gone.pid")
    with pytest.raises(NetbootError, match=r"gone\.pid.*is the lab running"):
        async with Rack().child(setup):
            pass


async def test_a_namespace_that_cannot_be_entered_is_named(tmp_path: Path):
    """Whose process it is, and who may: what `nsenter` says reaches nobody but the server's log."""
    ended = subprocess.Popen(["true"])
    ended.wait(60)
    (tmp_path / "lab.pid").write_text(f"{ended.pid}\n")
    setup = NetbootSetup((NETWORK,), tmp_path, tmp_path, netns_pidfile=tmp_path / "lab.pid")
    with pytest.raises(NetbootError, match=rf"process {ended.pid} .*lab\.pid.*cannot be entered.*as root"):
        async with Rack().child(setup):
            pass


async def test_the_process_is_small(lan: Lan, setup: NetbootSetup):
    """The process stays below 45 MB of memory, having served a board."""
    async with Rack().child(setup) as child:
        child.put_target(target(lan, intent=BootIntent.LOCAL))
        await lease(lan)
        await asyncio.to_thread(curl, lan, "/boot/ipxe")
        lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
        resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        assert resident < 45 << 10, f"{resident / 1024:.1f} MB resident"
