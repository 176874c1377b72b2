"""Whether KVM can be used, found out by booting.

``/dev/kvm`` existing proves nothing: on some rented machines it opens, runs SeaBIOS, and dies at
OVMF's first floating point instruction with "KVM internal error"; on others it runs and never says
a word. So a real firmware is booted for a moment, and only if it speaks on its serial port is KVM used.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hostler.virtual.config import Kind
from hostler.virtual.qemu import BINARY, OVMF_CODE, UBOOT, accelerator_options

_HOST_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
_KIND_ARCH = {Kind.X86_BIOS: "amd64", Kind.X86_UEFI: "amd64", Kind.ARM64_UBOOT: "arm64"}
_DEADLINE = 8.0  # seconds; a working KVM shows OVMF's first bytes within two
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found.

    Attributes:
        works: Whether KVM booted firmware.
        reason: One line for people.
    """

    works: bool
    reason: str


def accelerator_for(kind: Kind, kvm: Probe) -> str:
    """Return ``kvm`` or ``tcg`` for a kind of board: KVM runs only the host's own architecture."""
    return "kvm" if kvm.works and _KIND_ARCH[kind] == _HOST_ARCH.get(platform.machine()) else "tcg"


async def probe(state_dir: Path) -> Probe:
    """Return whether KVM works here; asks only once per boot of the host, then remembers in ``state_dir``."""
    cache = state_dir / "kvm.json"
    key = {"format": _FORMAT, "boot": _boot_id()}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        seen = json.loads(cache.read_text())
        if seen["key"] == key:
            return Probe(bool(seen["works"]), str(seen["reason"]))
    found = await _boot_firmware()
    cache.write_text(json.dumps({"key": key, "works": found.works, "reason": found.reason}) + "\n")
    return found


async def _boot_firmware() -> Probe:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Probe(False, "/dev/kvm is missing or not open to this user")
    with tempfile.TemporaryFile() as complaints:
        try:
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", *_firmware_command()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
            )
        except OSError as error:
            return Probe(False, f"cannot start QEMU: {error}")
        try:
            spoken = await _first_bytes(process, complaints.fileno())
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if spoken:
            return Probe(True, "KVM booted firmware")
        complaints.seek(0)
        lines = complaints.read(4096).decode("utf-8", "replace").splitlines()
    why = next((line for line in lines if "KVM" in line or "kvm" in line), "")
    return Probe(False, f"KVM does not boot firmware: {why or f'no word from it in {_DEADLINE:g} s'}")


async def _first_bytes(process: asyncio.subprocess.Process, complaints: int) -> bytes:
    if process.stdout is None:
        return b""
    reading = asyncio.ensure_future(process.stdout.read(64))
    try:
        for _ in range(int(_DEADLINE / 0.1)):
            done, _pending = await asyncio.wait([reading], timeout=0.1)
            if done:
                return reading.result()
            if b"KVM internal error" in os.pread(complaints, 65536, 0):
                return b""
        return b""
    finally:
        reading.cancel()


def _firmware_command() -> list[str]:
    base = ["-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio"]
    if platform.machine() == "aarch64":
        return [
            BINARY[Kind.ARM64_UBOOT],
            "-machine",
            "virt",
            *accelerator_options("kvm"),
            *base,
            "-bios",
            str(UBOOT),
        ]
    # OVMF, not SeaBIOS: it is 64-bit and uses the x87, which half-working KVMs cannot emulate.
    flash = (
        ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}"] if OVMF_CODE.exists() else []
    )
    machine = "q35,smm=off" if flash else "pc,graphics=off"
    return [BINARY[Kind.X86_BIOS], "-machine", machine, *accelerator_options("kvm"), *base, *flash]


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
