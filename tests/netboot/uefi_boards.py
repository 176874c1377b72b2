"""UEFI boards for tests of the netboot process alone: what Debian signs, and a QEMU with its firmware."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from test_process_qemu import MAC, Board

from hostler.build.agent_image import build_agent
from hostler.build.loaders import build_loaders
from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.netboot.table import Target
from hostler.virtual import qemu, uefi_nvram
from hostler.virtual.config import First
from netns import CLIENT_INTERFACE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostler.netboot.child import NetbootChild
    from netns import Lan

CACHE = Path(__file__).parents[2] / "var/cache"
"""Where tests and demo keep what was built from Debian's packages."""
HELLO_SECONDS = 600.0
"""Longest time to the agent's first word, on two cores that are busy with others; alone it takes 35 s."""


def board(
    folder: Path,
    arch: str = "amd64",
    *,
    secure: bool = False,
    first: First = First.NETWORK,
    disk: Path | None = None,
) -> list[str]:
    """Return the QEMU command of a board that boots ``first``, then its disk; each call is a fresh one."""
    arm = arch == "arm64"
    store = (qemu.AAVMF_VARS if arm else qemu.OVMF_SECURE_VARS if secure else qemu.OVMF_VARS).read_bytes()
    if arm and not secure:
        store = uefi_nvram.without_variables(store)
    nvram = folder / "nvram.fd"
    nvram.write_bytes(uefi_nvram.boot_order(store, MAC, first))
    code = qemu.AAVMF_CODE if arm else qemu.OVMF_SECURE_CODE if secure else qemu.OVMF_CODE
    machine = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57"]
    if not arm:
        guarded = ["-global", "driver=cfi.pflash01,property=secure,value=on"] if secure else []
        machine = ["qemu-system-x86_64", "-M", f"q35,smm={'on' if secure else 'off'}", *guarded]
    drive = [
        "-drive", f"if=none,id=disk,format=raw,discard=unmap,file={disk}",
        "-device", f"virtio-blk-pci,drive=disk,addr={uefi_nvram.DISK_SLOT:#x}",
    ]  # fmt: skip
    return [
        *machine, "-accel", "tcg,thread=multi,tb-size=256", "-m", "1024", "-nodefaults", "-display", "none",
        "-serial", "stdio", "-device", "virtio-rng-pci",
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
        "-drive", f"if=pflash,unit=1,format=raw,file={nvram}",
        "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
        # Firmware's own driver, in the slot that its boot order names.
        "-device", f"virtio-net-pci,netdev=n0,mac={MAC},romfile=,addr={uefi_nvram.NETWORK_SLOT:#x}",
        *(drive if disk is not None else ()),
    ]  # fmt: skip


def plug_in(lan: Lan) -> None:
    """Bridge a tap to the cable, for boards that are switched on one after the other."""
    for command in (
        "ip tuntap add tap0 mode tap", "ip link add br0 type bridge", "ip link set tap0 master br0",
        f"ip link set {CLIENT_INTERFACE} master br0", "ip link set tap0 up", "ip link set br0 up",
    ):  # fmt: skip
        lan.client.run(*command.split())


@contextlib.asynccontextmanager
async def switched_on(lan: Lan, command: list[str], folder: Path | None = None) -> AsyncIterator[Board]:
    """Run a board, in ``folder``, while the context lasts; a reset restarts it."""
    process = await asyncio.create_subprocess_exec(
        *lan.client.argv(*command),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    machine = Board(process)
    reading = asyncio.create_task(machine.read())
    try:
        yield machine
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading


def agent_target(child: NetbootChild, arch: str = "amd64", loader: Loader = Loader.GRUB) -> Target:
    """Register the real agent and the real loaders, and have the board b1 boot the agent."""
    agent = build_agent(arch, CACHE / "built", CACHE)
    files = {"kernel": agent.kernel, "initrd": agent.initrd, **build_loaders(arch, CACHE / "built", CACHE)}
    ids = {name: put(child, path) for name, path in files.items()}
    console = "ttyS0,115200" if arch == "amd64" else "ttyAMA0,115200"
    platform = "x86-uefi" if arch == "amd64" else "arm64-uefi"
    target = Target("b1", platform, arch, (MAC,), intent=BootIntent.STEP, boot="boot-1", token="t0ken",
                    kernel=ids.pop("kernel"), initrd=ids.pop("initrd"), cmdline=f"console={console} quiet",
                    files=ids, loader=loader, step=None)  # fmt: skip
    child.put_target(target)
    return target


def put(child: NetbootChild, path: Path) -> str:
    """Register a file; returns its id."""
    identity = hashlib.sha256(path.read_bytes()).hexdigest()
    child.put_artefact(identity, path)
    return identity
