"""What tests of media share: the medium, made of the real agent, and a PC with a BIOS that boots from it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netboot_peers import Rack
from test_process_qemu import MAC, powered

from hostler.build.agent_image import build_agent
from hostler.build.loaders import build_loaders
from hostler.build.media import MediumTerms, build_medium
from hostler.build.media_loaders import build_media_loaders
from hostler.model.boot import BootIntent
from hostler.netboot.table import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

CACHE = Path(__file__).parents[2] / "var" / "cache"
RACK = "http://10.77.0.1:8067"
AGENT_SECONDS = 240.0
"""Firmware, kernel and agent on two busy cores under emulation."""


def medium(path: Path, terms: MediumTerms) -> None:
    """Make a medium; what it is made of is built once on a machine."""
    built = CACHE / "built"
    agent = build_agent(terms.arch, built, CACHE)
    files = {"kernel": agent.kernel, "initrd": agent.initrd, **build_loaders(terms.arch, built, CACHE)}
    build_medium(path, terms, {**files, **build_media_loaders(terms.arch, built, CACHE)})


def says_from_disk() -> bytes:
    """Return a boot sector that says FROM DISK on a BIOS's screen and stays."""
    # SeaBIOS keeps back the last letter of what it puts on the serial line.
    text = b"FROM DISK."
    say = b"".join(bytes([0xB0, letter, 0xCD, 0x10]) for letter in text)  # mov al, letter; int 0x10
    return (b"\xb4\x0e" + say + b"\xeb\xfe").ljust(510, b"\0") + b"\x55\xaa"


async def there_and_back(
    lan: Lan,
    setup: NetbootSetup,
    folder: Path,
    drive: Sequence[str],
    terms: MediumTerms,
    spared: set[str | None],
) -> Rack:
    """Let SeaBIOS start the medium: the agent joins, does a step, and restarts into the disk.

    Args:
        lan: The cable between the board and the rack.
        setup: What the netboot process serves.
        folder: For the medium and the disk.
        drive: QEMU's options for the drive; ``MEDIUM`` stands for the file.
        terms: What the medium tells its agent.
        spared: Why the agent leaves disks alone, of all that it sees; None: an ordinary disk.

    Returns:
        The rack, with all it was told.
    """
    image, disk = folder / "medium.iso", folder / "disk"
    await asyncio.to_thread(medium, image, terms)
    disk.write_bytes(says_from_disk() + bytes(1 << 20))
    machine = (
        "qemu-system-x86_64", "-M", "pc,graphics=off", "-accel", "tcg", "-m", "768",
        *(word.replace("MEDIUM", str(image)) for word in drive),
        "-drive", f"if=none,id=d,format=raw,file={disk}", "-device", "virtio-blk-pci,drive=d,bootindex=2",
    )  # fmt: skip
    rack = Rack()
    target = Target("b1", "x86-bios", "amd64", (MAC,), intent=BootIntent.STEP, boot="boot-1", token="t0ken")
    async with rack.child(setup) as child:
        child.put_target(target)
        async with powered(lan, *machine, rom=",romfile=", restarts=True) as board:
            await board.until(lambda: [kind for kind, *_ in rack.reports] == ["hello"], AGENT_SECONDS)
            assert {disk["spared"] for disk in rack.reports[0][3]["facts"]["disks"]} == spared
            leave = {"run": "r-1", "step": 1, "kind": "reboot", "params": {}}
            child.put_target(replace(target, step=leave))
            await board.until(lambda: rack.reports[-1][0] == "done", AGENT_SECONDS)
            child.put_target(replace(target, intent=BootIntent.LOCAL, boot="boot-2", token="t1ken"))
            await board.shows(b"FROM DISK", seconds=AGENT_SECONDS)
    answers = [event.data.get("answer") for event in rack.events if event.data.get("file") == "join"]
    assert answers == ["step"]
    return rack
