"""What tests of media share: the medium itself, made once of the real agent, and a disk that says so."""

from __future__ import annotations

from pathlib import Path

from hostler.build.agent_image import build_agent
from hostler.build.loaders import build_loaders
from hostler.build.media import MediumTerms, build_medium
from hostler.build.media_loaders import build_media_loaders

CACHE = Path(__file__).parents[2] / "var" / "cache"
AGENT_SECONDS = 240.0
"""Firmware, kernel and agent on two busy cores under emulation."""


def medium(arch: str, folder: Path, rack: str, **terms: str) -> Path:
    """Make a medium for any machine."""
    built = CACHE / "built"
    agent = build_agent(arch, built, CACHE)
    files = {"kernel": agent.kernel, "initrd": agent.initrd, **build_loaders(arch, built, CACHE)}
    path = folder / f"{arch}.iso"
    made = MediumTerms(arch, rack, **terms)
    build_medium(path, made, {**files, **build_media_loaders(arch, built, CACHE)})
    return path


def says_from_disk() -> bytes:
    """Return a boot sector that says FROM DISK on a BIOS's screen and stays."""
    # SeaBIOS keeps back the last letter of what it puts on the serial line.
    text = b"FROM DISK."
    say = b"".join(bytes([0xB0, letter, 0xCD, 0x10]) for letter in text)  # mov al, letter; int 0x10
    return (b"\xb4\x0e" + say + b"\xeb\xfe").ljust(510, b"\0") + b"\x55\xaa"


def on_disk(folder: Path, content: bytes) -> tuple[str, ...]:
    """Return QEMU's options for a disk that begins with this."""
    disk = folder / "disk"
    disk.write_bytes(content + bytes(1 << 20))
    return (
        "-drive", f"if=none,id=d,format=raw,file={disk}", "-device", "virtio-blk-pci,drive=d,bootindex=2",
    )  # fmt: skip
