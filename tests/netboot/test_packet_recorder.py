"""The packets of a boot, recorded while real clients boot and read by Wireshark's own reader."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from netboot_peers import NETWORK, Rack, noise, setup_in, until
from test_process import TOKEN, curl, lease, status, target
from wireshark import tshark

from hostler.model.boot import BootIntent
from hostler.netboot.packet_recorder import PacketRecorder
from hostler.netboot.setup import NetbootSetup
from hostler.netboot.table import BootTable
from netns import Lan

if TYPE_CHECKING:
    from collections.abc import Callable

STRANGER = "52:54:00:99:99:99"
pytestmark = pytest.mark.netns


@pytest.fixture
def setup(lan: Lan, tmp_path: Path):
    with setup_in(lan, tmp_path, {"snponly.efi": noise(tmp_path / "snponly.efi", 700_000)}) as made:
        yield made


def recorded(setup: NetbootSetup) -> Path:
    return setup.state_dir / "packets" / "b1" / "boot-1.pcapng"


async def test_the_packets_of_a_boot_are_kept_without_its_secrets(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """DHCP whole, TFTP and HTTP without contents, no token anywhere; what goes on after a kill is added."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(os.urandom(3_000_001))
    digest = hashlib.sha256(kernel.read_bytes()).hexdigest()
    rack = Rack()
    async with rack.child(setup) as child:
        child.put_artefact(digest, kernel)
        child.put_target(
            target(lan, intent=BootIntent.STEP, boot="boot-1", token=TOKEN, kernel=digest, initrd=digest,
                   cmdline=f"hostler.token={TOKEN}", step=None)
        )  # fmt: skip
        address = await lease(lan)
        assert IPv4Address(address) in NETWORK.address.network
        assert TOKEN in curl(lan, "/boot/ipxe").decode()
        curl(lan, f"/boot/file/{digest}")
        shown = ("-X", "POST", "-H", f"Authorization: Bearer {TOKEN}")
        await asyncio.to_thread(status, lan, f"/boot/done?token={TOKEN}", *shown)
        fetch = ("curl", "-sS", "--max-time", "20", "--tftp-blksize", "1428", "tftp://10.77.0.1/snponly.efi")
        subprocess.run(lan.client.argv(*fetch), capture_output=True, check=True, timeout=60)
        last = ("curl", "-sS", "--max-time", "20", "tftp://10.77.0.1/no-such-file")
        subprocess.run(lan.client.argv(*last), capture_output=True, check=False, timeout=60)
        await until(lambda: b"file not found" in recorded(setup).read_bytes(), 60)  # the last answer
        assert child.pid is not None
        killed = child.pid
        os.kill(killed, signal.SIGKILL)
        await until(lambda: child.pid != killed, 60)
        with recorded(setup).open("ab") as file:
            file.write(b"\x06\0\0\0\xff\0\0\0half a block")
        await until(lambda: child.pid not in (None, killed) and child.problem is None, 60)
        curl(lan, "/boot/ipxe?after=the-kill")
        await until(lambda: b"after=the-kill" in recorded(setup).read_bytes(), 60)

    file = recorded(setup)
    assert TOKEN.encode() not in file.read_bytes()
    messages = [kind for (kind,) in tshark(file, "dhcp", "dhcp.option.dhcp")]
    assert list(dict.fromkeys(messages))[:4] == ["1", "2", "3", "5"]  # DISCOVER OFFER REQUEST ACK
    assert {mac.split(",")[0] for (mac,) in tshark(file, "dhcp", "dhcp.hw.mac_addr")} == {lan.client_mac}
    (offered,) = {answer for (answer,) in tshark(file, "dhcp.option.dhcp == 5", "dhcp.ip.your")}
    assert offered == address

    asked = list(dict.fromkeys(one for (one,) in tshark(file, "http.request", "http.request.uri")))
    assert asked == [
        "/boot/ipxe", f"/boot/file/{digest}", f"/boot/done?token={'*' * len(TOKEN)}",
        "/boot/ipxe?after=the-kill",
    ]  # fmt: skip
    answers = [one for (one,) in tshark(file, "http.response", "http.content_length_header")]
    assert str(kernel.stat().st_size) in answers
    assert file.stat().st_size < 100_000  # of 3.7 MB that were sent

    opcodes = [one for (one,) in tshark(file, "tftp", "tftp.opcode")]
    assert {"1", "3", "4", "5", "6"} <= set(opcodes)
    blocks = [int(number) for (number,) in tshark(file, "tftp.opcode == 3", "tftp.block")]
    assert sorted(set(blocks)) == [1, 2, 3, 4, 5, 6, 7, 8, 256]
    lengths = {int(length) for (length,) in tshark(file, "tftp.opcode == 3", "frame.len")}
    assert lengths == {14 + 20 + 8 + 4 + 1428}  # as long as it was on the wire, though only its head is there


async def test_who_is_nobody_is_not_recorded(lan: Lan, setup: NetbootSetup) -> None:
    """A machine nobody knows leaves no packets, also when it is heard beside a board."""
    rack = Rack()
    async with rack.child(setup) as child:
        child.put_target(target(lan, intent=BootIntent.HOLD, boot="boot-1", token=TOKEN))
        lan.client.run("ip", "link", "set", "cli0", "address", STRANGER)
        await lease(lan)
        lan.client.run("ip", "link", "set", "cli0", "address", lan.client_mac)
        await lease(lan)
        await until(recorded(setup).exists, 60)
    assert [path.name for path in (setup.state_dir / "packets").iterdir()] == ["b1"]
    assert bytes.fromhex(STRANGER.replace(":", "")) not in recorded(setup).read_bytes()


def test_an_interface_that_is_made_again_is_heard_again(lan: Lan, tmp_path: Path) -> None:
    """Its socket is bound to the old one: the recorder finds the new one by its name."""
    table = BootTable()
    table.put(target(lan, intent=BootIntent.HOLD, boot="boot-1", token=TOKEN))
    recorder = PacketRecorder([NETWORK], table, lambda _: None, tmp_path)
    file = tmp_path / "packets" / "b1" / "boot-1.pcapng"
    with lan.server.entered():
        recorder.start()
    try:
        ask_until(lan, file.exists)
        lan.server.run("ip", "link", "del", NETWORK.interface)
        lan.server.run(
            "ip", "link", "add", NETWORK.interface, "type", "veth",
            "peer", "name", "cli0", "address", lan.client_mac, "netns", lan.client.name,
        )  # fmt: skip
        lan.server.run("ip", "link", "set", NETWORK.interface, "up")
        lan.client.run("ip", "link", "set", "cli0", "up")
        before = file.stat().st_size
        ask_until(lan, lambda: file.stat().st_size > before)
    finally:
        recorder.stop()
    assert {kind for (kind,) in tshark(file, "dhcp", "dhcp.option.dhcp")} == {"1"}


def ask_until(lan: Lan, heard: Callable[[], bool]) -> None:
    """Ask for an address, which nobody gives, until that is heard."""
    asks = ("busybox", "udhcpc", "-i", "cli0", "-n", "-q", "-f", "-t", "1", "-T", "1", "-s", "/bin/true")
    deadline = time.monotonic() + 60
    while not heard():
        assert time.monotonic() < deadline, "it was not heard"
        lan.client.run(*asks, check=False)
