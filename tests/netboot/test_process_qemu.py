"""Real firmware walks through the real netboot process, from its first DHCP packet to its kernel."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netboot_peers import Rack, setup_in, until

from hostler.model.boot import BootIntent
from hostler.netboot.hold_image import HOLD_IMAGE
from hostler.netboot.setup import NetbootSetup
from hostler.netboot.table import Target
from hostler.virtual.receive_kick import keep_receiving
from netns import CLIENT_INTERFACE, Lan

pytestmark = [pytest.mark.netns, pytest.mark.qemu]

MAC = "52:54:00:77:00:02"
X86 = ("qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", "512", "-boot", "n")
ARM = ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-accel", "tcg", "-m", "512",
       "-bios", "/usr/lib/u-boot/qemu_arm64/u-boot.bin")  # fmt: skip
OVMF = Path("/usr/share/OVMF")
IPXE = Path("/usr/lib/ipxe")


class Board:
    """A QEMU whose serial line the test reads."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.output = b""

    async def read(self) -> None:
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(4096):
            self.output += data

    async def shows(self, text: bytes, times: int = 1, seconds: float = 240) -> None:
        await self.until(lambda: self.output.count(text) >= times, seconds)

    async def until(self, condition: Any, seconds: float = 240) -> None:
        """Wait, and show the board's console if that is in vain."""
        try:
            await until(condition, seconds)
        except AssertionError:
            pytest.fail(f"it never came to that:\n{self.output[-3000:].decode(errors='replace')}")


@contextlib.asynccontextmanager
async def powered(lan: Lan, *machine: str, rom: str = "", restarts: bool = False):
    """Bridge a tap to the cable and start the machine on it."""
    for command in (
        "ip tuntap add tap0 mode tap", "ip link add br0 type bridge", "ip link set tap0 master br0",
        f"ip link set {CLIENT_INTERFACE} master br0", "ip link set tap0 up", "ip link set br0 up",
    ):  # fmt: skip
        lan.client.run(*command.split())
    arm = "aarch64" in machine[0]
    monitor, its_monitor = socket.socketpair()
    monitor.setblocking(False)
    process = await asyncio.create_subprocess_exec(
        *lan.client.argv(
            *machine, "-nographic", *(() if restarts else ("-no-reboot",)),
            *(("-nodefaults", "-serial", "stdio") if arm else ()),
            "-chardev", f"socket,id=kicks,fd={its_monitor.fileno()}", "-mon", "chardev=kicks,mode=control",
            "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=n0,mac={MAC}{rom}",
        ),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        pass_fds=[its_monitor.fileno()],
    )  # fmt: skip
    its_monitor.close()
    board = Board(process)
    reading = asyncio.create_task(board.read())
    kicking = asyncio.create_task(keep_receiving(monitor, "n0"))  # for U-Boot; the others need none
    try:
        yield board
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading
        await kicking


def uboot_flash(folder: Path) -> tuple[str, ...]:
    """A flash with an environment that boots from the network first (qemu_arm64: 256 KiB at its start)."""
    variables = {
        "bootcmd": "dhcp; pxe get; pxe boot; echo went on; sleep 600",
        "bootdelay": "0",
        "autoload": "no",
        # This U-Boot reads a wrong address from the virtio card.
        "ethaddr": MAC,
        # What else the compiled-in environment would have said.
        "kernel_addr_r": "0x40400000",
        "ramdisk_addr_r": "0x44000000",
        "pxefile_addr_r": "0x40300000",
    }
    text = "".join(f"{name}={value}\0" for name, value in variables.items())
    content = text.encode().ljust(0x40000 - 4, b"\0")
    flash = folder / "flash1"
    with flash.open("wb") as file:
        file.write(struct.pack("<I", zlib.crc32(content)) + content)
        file.truncate(64 << 20)
    return "-drive", f"if=pflash,unit=1,format=raw,file={flash}"


@pytest.fixture
def setup(lan: Lan, tmp_path: Path):
    for program in ("qemu-system-x86_64", "qemu-system-aarch64"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    with setup_in(lan, tmp_path, {name: IPXE / name for name in ("snponly.efi", "undionly.kpxe")}) as made:
        yield made


def put_step(child: Any, tmp_path: Path, kernel: Path | bytes, platform: str, arch: str) -> Target:
    """Give the board a kernel and an initramfs to fetch."""
    ids = []
    for name, content in (("kernel", kernel), ("initrd", os.urandom(200_003))):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        ids.append(hashlib.sha256(path.read_bytes()).hexdigest())
        child.put_artefact(ids[-1], path)
    target = Target("b1", platform, arch, (MAC,), intent=BootIntent.STEP, boot="boot-1", token="t0ken",
                    kernel=ids[0], initrd=ids[1], cmdline="console=ttyS0")  # fmt: skip
    child.put_target(target)
    return target


def fetched(rack: Rack, source: str, kind: str) -> list[Any]:
    return [event.data.get("file") for event in rack.events if event.source == source and event.kind == kind]


async def test_a_pc_with_bios_is_held_then_fetches_its_agent(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """SeaBIOS with iPXE in ROM: held, then a step as soon as there is one; all by HTTP, no new DHCP."""
    rack = Rack()
    async with rack.child(setup) as child, powered(lan, *X86) as board:
        await board.shows(b"nobody knows this machine")
        put_step(child, tmp_path, Path("/boot/ipxe.lkrn"), "x86-bios", "amd64")
        await until(lambda: "initrd" in fetched(rack, "http", "done"), 60)
        assert fetched(rack, "http", "done") == ["kernel", "initrd"]
        assert "config" in fetched(rack, "http", "get")
        assert "failed" not in rack.kinds("http")


async def test_a_pc_with_bios_goes_on_to_its_disk(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """Told to boot locally, iPXE leaves and SeaBIOS starts the disk; nothing waits for IPv6 on the way."""
    say = b"".join(bytes([0xB0, letter, 0xCD, 0x10]) for letter in b"FROM DISK")  # mov al, letter; int 0x10
    sector = b"\xb4\x0e" + say + b"\xeb\xfe"  # mov ah, 14 (teletype) ... jmp $
    disk = tmp_path / "disk"
    disk.write_bytes(sector.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    drive = (
        "-drive",
        f"if=none,id=d,format=raw,file={disk}",
        "-device",
        "virtio-blk-pci,drive=d,bootindex=2",
    )
    rack = Rack()
    async with rack.child(setup) as child:
        child.put_target(Target("b1", "x86-bios", "amd64", (MAC,), intent=BootIntent.LOCAL))
        async with powered(lan, *X86, *drive, rom=",bootindex=1") as board:
            await board.shows(b"FROM DISK")
    times = {event.kind: event.at for event in rack.events if event.source in ("dhcp", "http")}
    assert times["get"] - times["ack"] < 5, "iPXE waited for an IPv6 router"


async def test_a_pc_with_uefi_boots_what_it_is_told(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """OVMF fetches iPXE by TFTP, iPXE the script, and the kernel it names runs: here iPXE once more."""
    shutil.copy(OVMF / "OVMF_VARS_4M.fd", tmp_path / "vars.fd")
    flash = ("-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
             "-drive", f"if=pflash,format=raw,file={tmp_path}/vars.fd")  # fmt: skip
    rack = Rack()
    async with rack.child(setup) as child:
        put_step(child, tmp_path, IPXE / "ipxe.efi", "x86-uefi", "amd64")
        async with powered(lan, *X86, *flash, rom=",romfile="):
            await until(lambda: fetched(rack, "http", "done").count("kernel") >= 2, 120)
        assert "snponly.efi" in fetched(rack, "tftp", "done")
        assert "failed" not in rack.kinds("http")


async def test_uboot_is_held_and_asks_again(lan: Lan, setup: NetbootSetup, tmp_path: Path):
    """U-Boot runs the hold program, which resets it after 20 s; for a step it fetches kernel and initrd."""
    rack = Rack()
    async with rack.child(setup) as child, powered(lan, *ARM, *uboot_flash(tmp_path), restarts=True) as board:
        await board.shows(b"nobody knows this machine")
        target = put_step(child, tmp_path, HOLD_IMAGE, "arm64-uboot", "arm64")
        await board.shows(b"b1: booting the agent")
        await board.until(lambda: "boot/kernel" in fetched(rack, "tftp", "done"))
        assert fetched(rack, "tftp", "done")[-3:-1] == ["pxelinux.cfg/01-52-54-00-77-00-02", "boot/initrd"]
        child.put_target(replace(target, intent=BootIntent.LOCAL))
        await board.shows(b"booting from the local disk")
        await board.shows(b"\nwent on")
        assert board.output.count(b"went on") == 1
