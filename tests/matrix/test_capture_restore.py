"""A disk becomes an image, the image a smaller disk that boots, and that disk is wiped and certified."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from boot_paths import BootPath
from disk_lab import DiskLab
from matrix_lab import RUN_SECONDS
from uefi_boards import CACHE
from whole_lab import BOOT_SECONDS

from hostler.build.debian import build_debian
from hostler.client.console import ConsoleSession
from hostler.client.settings import Settings
from hostler.client.shell import login, run_command
from hostler.client.waiting import wait_claim
from hostler.demo.job import PASSWORD, USER
from hostler.demo.material import PLATFORMS
from hostler.model.first_stages import Loader
from hostler.virtual.disks import DiskKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostler.demo.material import Material

pytestmark = [pytest.mark.matrix, pytest.mark.qemu, pytest.mark.netns]

MIB = 1 << 20
NOTE = "written on the big one"


@dataclass(frozen=True)
class System:
    """What is captured, and where.

    Attributes:
        arch: ``amd64`` or ``arm64``.
        image: The demo's image of it.
        platform: Of both boards.
        loader: What brings them the agent's kernel.
        big: Kind of the first board's disk, and its size in MiB.
        small: The same of the other one.
        root: The root file system on the small one.
        identify: Command that gives it what it must not share with its copies.
        renews: Whether a copy gives itself such things anew.
    """

    arch: str
    image: str
    platform: str
    loader: Loader
    big: tuple[DiskKind, int]
    small: tuple[DiskKind, int]
    root: str
    identify: str
    renews: bool


SYSTEMS = (
    System(
        "amd64", "debian", "x86-bios", Loader.IPXE, (DiskKind.NVME, 4096), (DiskKind.VIRTIO, 1024),
        "/dev/vda3", "systemctl start ssh-host-keys", renews=True,
    ),
    System(
        "arm64", "tiny-arm64", "arm64-uboot", Loader.PXELINUX, (DiskKind.VIRTIO, 512), (DiskKind.VIRTIO, 256),
        "/dev/vda2",
        "cd /etc; tr -d - </proc/sys/kernel/random/uuid >machine-id; "
        "mkdir ssh; echo key >ssh/ssh_host_rsa_key.pub",
        renews=False,
    ),
)  # fmt: skip


@pytest.fixture
def lab(system: System, material: Material, tmp_path: Path) -> Iterator[DiskLab]:
    """A board with a large disk and one with a small disk."""
    big, small = (
        BootPath(name, name, system.platform, system.loader, system.platform) for name in ("big", "small")
    )
    arch = system.arch
    image = build_debian(CACHE / "built", CACHE).path if arch == "amd64" else material.images[system.image]
    made = DiskLab(tmp_path, {big: system.big, small: system.small})
    try:
        made.start()
        made.import_images(replace(material, agents={arch: material.agents[arch]}))
        made.import_image(system.image, image, *PLATFORMS[system.image])
        yield made
    finally:
        made.stop()


def said(lab: DiskLab, *words: str, status: int = 0) -> str:
    """Run a command as a person does, and return what it said."""
    done = lab.hostler(*words, seconds=RUN_SECONDS)
    assert done.status == status, f"{words}: {done.out}{done.err}"
    return done.out + done.err


def claimed(lab: DiskLab, board: str) -> str:
    claim = lab.client.claim(board, ttl="2h", wait=True)["id"]
    wait_claim(lab.client, claim, seconds=BOOT_SECONDS)
    return claim


def on_console(lab: DiskLab, board: str, *commands: str) -> list[str]:
    """Log in on a board's console and return what commands say there."""
    with ConsoleSession(Settings(lab.url, lab.token), board, write=True) as session:
        login(session, USER, PASSWORD, seconds=BOOT_SECONDS)
        told = [run_command(session, command, seconds=BOOT_SECONDS) for command in commands]
    assert [one.status for one in told] == [0] * len(told), told
    return [one.output.strip() for one in told]


def identity(lab: DiskLab, board: str) -> list[str]:
    """Return a system's machine id and a hash of its public host keys."""
    commands = ("cat /etc/machine-id", "cat /etc/ssh/ssh_host_*.pub 2>/dev/null | sha256sum")
    return on_console(lab, board, *commands)


@pytest.mark.parametrize("system", SYSTEMS, ids=[system.arch for system in SYSTEMS])
def test_a_captured_disk_boots_from_a_smaller_one_which_is_wiped_and_certified(
    system: System, lab: DiskLab, tmp_path: Path
) -> None:
    """A grown system is captured, shrunk, installed on a smaller disk, and boots with what was written.

    What was captured whole is refused by the small disk, and the refusal tells how small it could be. The
    small disk is wiped in the end.
    """
    first = claimed(lab, "big")
    said(lab, "deploy", "big", system.image, "--grow")
    on_console(lab, "big", system.identify)
    before = identity(lab, "big")
    assert len(before[0]) == 32
    (told,) = on_console(lab, "big", f"echo {NOTE} >/root/note; sync; df -k / | tail -n 1")
    assert int(told.split()[1]) << 10 > system.small[1] * MIB
    said(lab, "capture", "big", "--as", "whole")
    said(lab, "release", first, "--no-wait")  # its wipe goes on beside what follows
    second = claimed(lab, "small")
    said(lab, "run", "small", "discover")
    refused = said(lab, "deploy", "small", "whole", status=1)
    (about,) = re.findall(
        "`hostler image shrink whole --as NAME` would make .* about ([0-9]+) bytes", refused
    )
    said(lab, "image", "shrink", "whole", "--as", "golden")
    golden = json.loads(said(lab, "image", "show", "golden", "--json"))
    assert golden["size"] <= int(about) < system.small[1] * MIB
    said(lab, "deploy", "small", "golden")
    if system.renews:
        on_console(lab, "small", system.identify)
    after = identity(lab, "small")
    assert len(after[0]) == (32 if system.renews else 0)
    assert all(old != new for old, new in zip(before, after, strict=True))
    note, root = on_console(lab, "small", "cat /root/note", "grep ' / ' /proc/mounts | tail -n 1")
    assert (note, root.split()[0]) == (NOTE, system.root)
    said(lab, "release", second)
    assert lab.client.board("small")["lifecycle"] == "available"
    assert not any(map(any, pieces(lab.disk("small"))))
    certificate = json.loads(said(lab, "wipe-certificate", "small", "--json"))
    (disk,) = certificate["disks"]
    assert (certificate["sanitized"], disk["path"]) == ("clear", "/dev/vda")
    paper = tmp_path / "small.pdf"
    said(lab, "wipe-certificate", "small", "--pdf", str(paper))
    streams = re.findall(rb"stream\n(.*?)\nendstream", paper.read_bytes(), re.DOTALL)
    assert any(certificate["digest"].encode() in zlib.decompress(stream) for stream in streams)


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(MIB):
            yield piece
