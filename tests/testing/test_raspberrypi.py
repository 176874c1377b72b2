"""Raspberry Pis of every generation boot through the real netboot process, and fail as the real ones do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from netboot_peers import NETWORK, Rack, setup_in, until
from other_dhcp import dnsmasq

from hostler.drivers.console.netconsole import Netconsole
from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.netboot.raspberrypi_hold import HOLD_PROGRAM
from hostler.netboot.setup import NetbootSetup
from hostler.netboot.table import DhcpMode, Target
from hostler.testing.raspberrypi import BootFailed, RaspberryPi, Started, Timers
from hostler.testing.raspberrypi_dhcp import Guid, Model, Offer, judge
from hostler.wire.dhcp import Message
from netns import CLIENT_INTERFACE, Lan, Namespace

pytestmark = pytest.mark.netns

SERIAL = "9a1b2c3d"
PI3 = Model(3, SERIAL, "b8:27:eb:01:36:c2", revision=0xA02082, guid=Guid.ROM, block=1024)
PI4 = Model(4, SERIAL, "dc:a6:32:01:36:c2")
PI5 = Model(5, SERIAL, "2c:cf:67:01:36:c2", revision=0xC04170, rollover=True)
HASTY = Timers(dhcp=1.2, retry=0.4, file=2.0, tftp_retry=0.2)
"""Time is not what these tests are about."""

CONTENTS = {
    "kernel": os.urandom(2_500_001),
    "initrd": os.urandom(600_000),
    "bootcode.bin": os.urandom(52_460),
    "start.elf": os.urandom(300_000),
    "fixup.dat": os.urandom(7_262),
    "start4.elf": os.urandom(2_048),  # two full blocks of 1024 bytes, and an empty one behind them
    "fixup4.dat": os.urandom(5_399),
    "bcm2837-rpi-3-b.dtb": os.urandom(15_000),
    "bcm2711-rpi-4-b.dtb": os.urandom(16_001),
    "bcm2712-rpi-5-b.dtb": os.urandom(17_002),
}


@pytest.fixture
def setup(lan: Lan, tmp_path: Path):
    with setup_in(lan, tmp_path) as made:
        yield made


@contextlib.asynccontextmanager
async def bench(
    setup: NetbootSetup, folder: Path, more: Mapping[str, bytes] = MappingProxyType({}), **changes: Any
):
    """The netboot process with one board, and more boot files; yields the rack that hears of it."""
    rack = Rack()
    contents = {**CONTENTS, **more}
    ids = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    files = {name: digest for name, digest in ids.items() if name not in ("kernel", "initrd")}
    board = Target(
        "pi-1", "raspberrypi4", "arm64", (PI4.mac,), serial=SERIAL, intent=BootIntent.STEP, boot="x1",
        token="t0ken", kernel=ids["kernel"], initrd=ids["initrd"], cmdline="console=ttyS1,115200 quiet",
        files=files,
    )  # fmt: skip
    async with rack.child(setup) as child:
        for name, digest in ids.items():
            (folder / name).write_bytes(contents[name])
            child.put_artefact(digest, folder / name)
        child.put_target(dataclasses.replace(board, **changes))
        yield rack


async def boot(lan: Lan, model: Model, timers: Timers = HASTY, **more: Any) -> tuple[RaspberryPi, Started]:
    """Power a board on at the client's end of the cable."""

    def configure(offer: Offer) -> None:
        lan.client.run("ip", "address", "replace", f"{offer.address}/24", "dev", CLIENT_INTERFACE)

    board = RaspberryPi(model, CLIENT_INTERFACE, configure, timers, **more)
    lan.client.run("ip", "link", "set", CLIENT_INTERFACE, "down")
    lan.client.run("ip", "link", "set", CLIENT_INTERFACE, "address", model.mac)
    lan.client.run("ip", "link", "set", CLIENT_INTERFACE, "up")

    def run() -> Started:
        with lan.client.entered():
            return board.boot()

    return board, await asyncio.to_thread(run)


def names(board: RaspberryPi) -> list[str]:
    return [name for name, outcome in board.asked if isinstance(outcome, int)]


@pytest.mark.parametrize(
    ("model", "platform", "tree"),
    [
        (PI3, "raspberrypi3", "bcm2837-rpi-3-b.dtb"),
        (PI4, "raspberrypi4", "bcm2711-rpi-4-b.dtb"),
        (dataclasses.replace(PI4, block=1024, guid=Guid.SERIAL), "raspberrypi4", "bcm2711-rpi-4-b.dtb"),
        (dataclasses.replace(PI4, prefix=2, guid=Guid.BIG), "raspberrypi4", "bcm2711-rpi-4-b.dtb"),
        (PI5, "raspberrypi5", "bcm2712-rpi-5-b.dtb"),
    ],
    ids=["pi3", "pi4", "pi4-2020", "pi4-mac-prefix", "pi5"],
)
async def test_a_board_fetches_all_that_the_agent_needs(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, model: Model, platform: str, tree: str
):
    """Kernel, device tree, command line and an initramfs that ends with the agent's and holds the token."""
    async with bench(setup, tmp_path, platform=platform, macs=(model.mac,)) as rack:
        board, started = await boot(lan, model)
        assert started.kernel == CONTENTS["kernel"]
        assert started.device_tree == CONTENTS[tree]
        assert started.cmdline == "console=ttyS1,115200 quiet"
        assert started.initramfs.endswith(CONTENTS["initrd"])
        assert b"t0ken" in started.initramfs[: -len(CONTENTS["initrd"])]
        assert board.refused == []
        await until(lambda: rack.kinds("tftp").count("done") >= 5)
        # Probing is what the firmware does; it is told apart from what went wrong.
        assert "probe" in rack.kinds("tftp") or model.generation == 5
        assert not {"error", "timeout"} & set(rack.kinds("tftp"))
        assert {event.board for event in rack.events if event.source in ("dhcp", "tftp")} == {"pi-1"}


async def test_the_order_of_a_pi_4(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """As in the trace of a real one; what is not there is declined at once and hurts nobody."""
    async with bench(setup, tmp_path):
        board, _ = await boot(lan, PI4)
    under = f"{SERIAL}/"
    assert [name.removeprefix(under) for name, _ in board.asked] == [
        "start4.elf", "config.txt", "recover4.elf", "recovery.elf", "start4.elf", "fixup4.dat", "config.txt",
        "config.txt", "dt-blob.bin", "bootcfg.txt", "upstream/bcm2711-rpi-4-b.dtb", "initrd.img",
        "bcm2711-rpi-4-b.dtb", "cmdline.txt", "kernel8.img", "armstub8-gic.bin",
    ]  # fmt: skip
    assert all(name.startswith(under) for name, _ in board.asked)


async def test_a_prefix_nobody_knows_is_dropped(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """TFTP_PREFIX=1 with a text of somebody's: the board comes back without it and finds its files."""
    async with bench(setup, tmp_path):
        board, started = await boot(lan, dataclasses.replace(PI4, prefix=1, prefix_text="old-server/"))
    assert board.asked[:2] == [("old-server/start4.elf", "not found"), ("old-server/start.elf", "not found")]
    assert "config.txt" in names(board)
    assert started.kernel == CONTENTS["kernel"]


async def test_a_board_without_a_known_mac_boots_by_its_serial(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """DHCP learns from option 97 who has the address, and TFTP serves its tree."""
    async with bench(setup, tmp_path, macs=()):
        _, started = await boot(lan, PI4)
    assert b"t0ken" in started.initramfs


async def test_lost_packets_cost_time_only(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """One packet in fifty is lost; what is fetched is whole."""
    small = Timers(dhcp=1.2, retry=0.4, file=30.0, tftp_retry=0.05)
    async with bench(setup, tmp_path, kernel=hashlib.sha256(CONTENTS["start.elf"]).hexdigest(),
                     initrd=hashlib.sha256(CONTENTS["fixup.dat"]).hexdigest()):  # fmt: skip
        _, started = await boot(lan, PI4, timers=small, lose=lambda number: number % 50 == 40)
    assert started.kernel == CONTENTS["start.elf"]


async def test_a_held_board_starts_what_waits(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """Not its disk, and not the agent."""
    async with bench(setup, tmp_path, intent=BootIntent.HOLD):
        _, started = await boot(lan, PI4)
    assert started.kernel == HOLD_PROGRAM
    assert started.initramfs == b""


async def test_a_board_that_is_to_boot_its_disk_gives_up_at_its_first_file(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
):
    """It has a lease and is told "not found", so it goes on without waiting for a timeout."""
    async with bench(setup, tmp_path, intent=BootIntent.LOCAL) as rack:
        with pytest.raises(BootFailed, match=r"no start4\.elf"):
            await boot(lan, PI4)
        await until(lambda: "notfound" in rack.kinds("tftp"))


async def test_a_board_nobody_knows_is_seen_and_left_alone(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """Its offers never come; the trace has its serial number, by which it can be adopted."""
    async with bench(setup, tmp_path) as rack:
        with pytest.raises(BootFailed, match="no DHCP offer"):
            await boot(lan, Model(4, "00000001", "dc:a6:32:00:00:01"))
        await until(lambda: "ignored" in rack.kinds("dhcp"))
        seen = next(event for event in rack.events if event.kind == "ignored")
        assert seen.mac == "dc:a6:32:00:00:01"
        assert seen.data["serial"] == "00000001"
        assert "nobody knows" in seen.text


async def test_a_server_that_stays_silent_sends_it_on(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """Nobody answers TFTP: the first file has its time, then the board goes to its next boot mode."""
    async with bench(setup, tmp_path):
        with pytest.raises(BootFailed, match=r"start4\.elf: nothing from 10\.77\.0\.1 in 0\.5 s"):
            await boot(lan, PI4, dataclasses.replace(HASTY, file=0.5), tftp_port=6969)


async def test_a_file_that_ends_in_the_middle_is_no_boot(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """From block 100 on every packet is lost: the kernel's time runs out, and the trace has the silence."""
    hasty = dataclasses.replace(HASTY, file=0.6)
    async with bench(setup, tmp_path) as rack:
        with pytest.raises(BootFailed, match=r"initrd\.img: nothing"):
            await boot(lan, PI4, hasty, lose=lambda number: number > 100)
        assert not any(event.data.get("file", "").endswith("kernel8.img") for event in rack.events)


async def test_beside_somebody_elses_dhcp_server(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """The address is dnsmasq's, the menu and the files are ours."""
    proxy = dataclasses.replace(NETWORK, dhcp=DhcpMode.PROXY, range_first=None, range_last=None)
    board = Namespace(f"ht{os.getpid()}-pi")
    subprocess.run(["ip", "netns", "add", board.name], check=True)
    try:
        for command in (
            "ip link add br0 type bridge", f"ip link set {CLIENT_INTERFACE} master br0",
            f"ip link add pi1 type veth peer name {CLIENT_INTERFACE} netns {board.name}",
            "ip link set pi1 master br0", "ip link set pi1 up", "ip link set br0 up",
        ):  # fmt: skip
            lan.client.run(*command.split())
        apart = dataclasses.replace(lan, client=board)
        with dnsmasq(lan.client, "br0"):
            async with bench(dataclasses.replace(setup, networks=(proxy,)), tmp_path) as rack:
                _, started = await boot(apart, PI4)
                await until(lambda: rack.kinds("tftp").count("done") >= 5)
        assert b"t0ken" in started.initramfs
        address = board.run("ip", "-br", "address", "show", CLIENT_INTERFACE).stdout
        assert any(f"10.77.0.{last}/" in address for last in range(200, 221))
    finally:
        subprocess.run(["ip", "netns", "del", board.name], check=True)


async def test_what_the_eeprom_says_is_on_the_boards_console(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """NETCONSOLE: UDP to the broadcast address, collected by the console driver of that name."""
    driver = Netconsole.from_config({"listen": "0.0.0.0:6666"}, {"source": "10.77.0.55"})
    with lan.server.entered():
        stream = await driver.open()
    try:
        async with bench(setup, tmp_path, address="10.77.0.55"):
            await boot(lan, PI4, netconsole=("10.77.0.255", 6666))
            said = b""
            async with asyncio.timeout(60):
                while b"Starting OS" not in said:
                    said += await stream.read()
    finally:
        await stream.close()
    assert b"NET 10.77.0.55 tftp: 10.77.0.1" in said
    assert f"TFTP_GET: {SERIAL}/config.txt".encode() in said


def unpack(image: bytes, folder: Path) -> dict[str, bytes]:
    """What dosfstools and mtools find in a FAT image."""
    path = folder / "boot.img"
    path.write_bytes(image)
    checked = subprocess.run(["/usr/sbin/fsck.vfat", "-n", "-v", str(path)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    (folder / "image").mkdir()
    subprocess.run(["mcopy", "-i", str(path), "::*", str(folder / "image")], check=True, timeout=10)
    return {file.name: file.read_bytes() for file in (folder / "image").iterdir()}


async def test_a_board_that_wants_one_image_gets_its_tree_in_it(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
):
    """``boot_ramdisk=1``: boot.img is a sound FAT file system that holds what the tree has."""
    async with bench(setup, tmp_path):
        model = dataclasses.replace(PI4, ramdisk=True)
        board, started = await boot(lan, model, unpack=lambda image: unpack(image, tmp_path))
    assert names(board)[-1] == f"{SERIAL}/boot.img"
    assert started.kernel == CONTENTS["kernel"]
    assert started.device_tree == CONTENTS["bcm2711-rpi-4-b.dtb"]
    assert started.initramfs.endswith(CONTENTS["initrd"])
    assert b"t0ken" in started.initramfs
    assert started.cmdline == "console=ttyS1,115200 quiet"


def test_a_menu_that_lacks_what_the_firmware_looks_for_is_refused():
    """The stand-in is as strict as the board: without these it would prove nothing."""
    good = {
        53: b"\x02", 54: bytes((10, 0, 0, 1)), 60: b"PXEClient",
        43: b"\x06\x01\x03\x0a\x04\0PXE\x09\x14\0\0\x11Raspberry Pi Boot\xff",
    }  # fmt: skip
    plain = Message(2, 7, PI4.chaddr, good, yiaddr=bytes((10, 0, 0, 9)), siaddr=bytes((10, 0, 0, 1)))
    assert isinstance(judge(PI4, 7, plain.encode()), Offer)
    for changed, word in (
        ({60: b""}, "option 60"),
        ({43: b"\x06\x01\x08\xff"}, "menu entry"),
        ({43: good[43].replace(b"Pi", b"pi")}, "menu entry"),
        ({43: good[43][:-9]}, "menu entry"),
        ({53: b"\x05"}, "not an offer"),
    ):
        verdict = judge(PI4, 7, plain._replace(options={**good, **changed}).encode())
        assert isinstance(verdict, str)
        assert word in verdict
    three = plain._replace(chaddr=PI3.chaddr)
    assert "menu entry" in str(judge(PI3, 7, three.encode()))
    spaced = {**good, 43: b"\x09\x17\0\0\x14Raspberry Pi Boot   \xff"}
    assert isinstance(judge(PI3, 7, three._replace(options=spaced).encode()), Offer)
    assert "relay" in str(judge(PI3, 7, three._replace(options=spaced, hops=1).encode()))


BUILDS = {name: os.urandom(40_000) for name in ("normal", "provisioning", "erase")}
FILES = {f"u-boot-{name}.bin": content for name, content in BUILDS.items()}
WIPE: Any = {"run": "r-1", "step": 0, "kind": "wipe", "params": {}}
INSTALL: Any = {**WIPE, "kind": "install"}


@pytest.mark.parametrize(
    ("intent", "step", "build"),
    [
        (BootIntent.LOCAL, None, "normal"),
        (BootIntent.STEP, INSTALL, "provisioning"),
        (BootIntent.STEP, None, "provisioning"),
        (BootIntent.STEP, WIPE, "erase"),
    ],
)
async def test_each_intent_has_its_build(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, intent: BootIntent, step: Any, build: str
):
    """It is fetched as ``u-boot.bin`` and comes with the board's device tree; no kernel, no initramfs."""
    async with bench(setup, tmp_path, more=FILES, loader=Loader.UBOOT, intent=intent, step=step):
        board, started = await boot(lan, PI4)
    assert started.kernel == BUILDS[build]
    assert started.device_tree == CONTENTS["bcm2711-rpi-4-b.dtb"]
    assert started.initramfs == b""
    assert [name.rpartition("/")[2] for name in names(board)].count("u-boot.bin") == 1


async def test_a_held_board_waits_before_any_u_boot(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """None of the three would: each of them boots something."""
    async with bench(setup, tmp_path, more=FILES, loader=Loader.UBOOT, intent=BootIntent.HOLD):
        _, started = await boot(lan, PI4)
    assert started.kernel == HOLD_PROGRAM


async def test_builds_that_are_not_there_are_done_without(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """A wipe begins with provisioning, and the disk is the firmware's own next choice."""
    only = {"u-boot-provisioning.bin": BUILDS["provisioning"]}
    async with bench(setup, tmp_path, more=only, loader=Loader.UBOOT, step=WIPE):
        _, started = await boot(lan, PI4)
    assert started.kernel == BUILDS["provisioning"]
    async with bench(setup, tmp_path, more=only, loader=Loader.UBOOT, intent=BootIntent.LOCAL):
        with pytest.raises(BootFailed):
            await boot(lan, PI4)
