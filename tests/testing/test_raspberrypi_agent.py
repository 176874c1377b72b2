"""What a Raspberry Pi 3 fetched is what a Raspberry Pi 3 runs: its files boot the agent in QEMU's raspi3b."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from netboot_peers import Rack, setup_in, until

from hostler.build.agent_image import build_agent
from hostler.build.raspberrypi import build_firmware
from hostler.model.boot import BootIntent
from hostler.model.platform import PLATFORMS
from hostler.netboot.quoting import kernel_parameter
from hostler.netboot.table import Target
from hostler.testing.raspberrypi import RaspberryPi, Started
from hostler.testing.raspberrypi_dhcp import Guid, Model, Offer
from netns import CLIENT_INTERFACE, Lan

pytestmark = [pytest.mark.netns, pytest.mark.qemu]

MODEL = Model(3, "9a1b2c3d", "b8:27:eb:01:36:c2", revision=0xA02082, guid=Guid.ROM)
CACHE = Path(__file__).parents[2] / "var" / "cache"


def fetch(lan: Lan) -> Started:
    """Boot the stand-in: Debian's files, at full length."""

    def configure(offer: Offer) -> None:
        lan.client.run("ip", "address", "replace", f"{offer.address}/24", "dev", CLIENT_INTERFACE)

    lan.client.run("ip", "link", "set", CLIENT_INTERFACE, "address", MODEL.mac)
    with lan.client.entered():
        return RaspberryPi(MODEL, CLIENT_INTERFACE, configure).boot()


def machine(lan: Lan, started: Started, folder: Path) -> list[str]:
    """Give the cable to QEMU, and QEMU what was fetched."""
    for name, content in (
        ("kernel8.img", started.kernel), ("initrd.img", started.initramfs), ("tree.dtb", started.device_tree)
    ):  # fmt: skip
        (folder / name).write_bytes(content)
    for command in (
        f"ip address flush dev {CLIENT_INTERFACE}",
        f"ip link set {CLIENT_INTERFACE} address {lan.client_mac}",
        "ip tuntap add tap0 mode tap", "ip link add br0 type bridge", "ip link set tap0 master br0",
        f"ip link set {CLIENT_INTERFACE} master br0", "ip link set tap0 up", "ip link set br0 up",
    ):  # fmt: skip
        lan.client.run(*command.split())
    # The mini UART, which the command line names, is the second serial line; a Pi 3's Ethernet is on USB.
    return lan.client.argv(
        "qemu-system-aarch64", "-M", "raspi3b", "-display", "none", "-monitor", "none", "-no-reboot",
        "-serial", "null", "-serial", f"file:{folder / 'console'}",
        "-kernel", str(folder / "kernel8.img"), "-initrd", str(folder / "initrd.img"),
        "-dtb", str(folder / "tree.dtb"), "-append", started.cmdline,
        "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
        "-device", f"usb-net,netdev=n0,mac={MODEL.mac}",
    )  # fmt: skip


async def test_the_agent_says_hello(lan: Lan, tmp_path: Path):
    """From the first DISCOVER to the agent's report, with the token it was given in its initramfs."""
    if not shutil.which("qemu-system-aarch64"):
        pytest.skip("needs qemu-system-aarch64")
    agent = await asyncio.to_thread(build_agent, "arm64", CACHE / "built", CACHE)
    firmware = await asyncio.to_thread(build_firmware, CACHE / "built", CACHE)
    paths = {"kernel": agent.kernel, "initrd": agent.initrd, **agent.device_trees, **firmware}
    ids = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}
    platform = PLATFORMS["raspberrypi3"]
    board = Target(
        "pi-1", platform.name, platform.arch, (MODEL.mac,), serial=MODEL.serial, intent=BootIntent.STEP,
        boot="x1", token="t0ken", kernel=ids.pop("kernel"), initrd=ids.pop("initrd"),
        cmdline=kernel_parameter("console", platform.console), files=ids,
    )  # fmt: skip
    rack = Rack()
    with setup_in(lan, tmp_path) as setup:
        async with rack.child(setup) as child:
            for name, path in paths.items():
                child.put_artefact(board.files.get(name) or getattr(board, name), path)
            child.put_target(board)
            started = await asyncio.to_thread(fetch, lan)
            assert started.kernel == agent.kernel.read_bytes()
            process = subprocess.Popen(machine(lan, started, tmp_path))
            try:
                await until(lambda: any(kind == "hello" for kind, *_ in rack.reports), 120)
            except AssertionError:
                pytest.fail((tmp_path / "console").read_text(errors="replace")[-3000:])
            finally:
                process.kill()
                process.wait(10)
    kind, name, boot, body = next(report for report in rack.reports if report[0] == "hello")
    assert (kind, name, boot) == ("hello", "pi-1", "x1")
    assert body["facts"]["device_tree"]["model"].startswith("Raspberry Pi 3")
