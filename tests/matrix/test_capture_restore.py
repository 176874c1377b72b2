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
from hostler.build.tool_pack import build_tool_pack
from hostler.client.console import ConsoleSession
from hostler.client.settings import Settings
from hostler.client.shell import login, run_command
from hostler.client.waiting import wait_claim
from hostler.demo.job import PASSWORD, USER
from hostler.model.first_stages import Loader
from hostler.virtual.disks import DiskKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostler.demo.material import Material

pytestmark = [pytest.mark.matrix, pytest.mark.qemu, pytest.mark.netns]

MIB = 1 << 20
BIG, SMALL = (BootPath(name, name, "x86-bios", Loader.IPXE, "x86-bios") for name in ("big", "small"))
SIZES = {BIG: (DiskKind.NVME, 4096), SMALL: (DiskKind.VIRTIO, 1024)}
NOTE = "written on the big one"


@dataclass(frozen=True)
class Identity:
    """What a system must not share with its copies."""

    machine_id: str
    host_keys: str


@pytest.fixture
def lab(material: Material, tmp_path: Path) -> Iterator[DiskLab]:
    """A board with a large disk, one with a small disk, a Debian, and an agent that captures."""
    out = CACHE / "built"
    debian = build_debian(out, CACHE)
    tools = build_tool_pack("amd64", out, CACHE)
    made = DiskLab(tmp_path, SIZES)
    try:
        made.start()
        made.import_needed(
            replace(
                material,
                agents={"amd64": material.agents["amd64"]},
                loaders={"amd64": {**material.loaders["amd64"], **tools}},
            )
        )
        made.import_image("debian", debian.path, "amd64", ["x86-bios"])
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


def identity(lab: DiskLab, board: str) -> Identity:
    machine, keys = on_console(
        lab,
        board,
        "cat /etc/machine-id",
        "systemctl start ssh-host-keys && cat /etc/ssh/ssh_host_*.pub | sha256sum",
    )
    assert len(machine) == 32
    return Identity(machine, keys)


def test_a_captured_disk_boots_from_a_smaller_one_which_is_wiped_and_certified(
    lab: DiskLab, tmp_path: Path
) -> None:
    """Debian grown to 4 GiB is captured, shrunk, installed on 1 GiB, boots with what was written; then wiped.

    What was captured whole is refused by the small disk, and the refusal tells how small it could be.
    """
    first = claimed(lab, "big")
    said(lab, "deploy", "big", "debian", "--grow")
    before = identity(lab, "big")
    (size,) = on_console(lab, "big", f"echo {NOTE} >/root/note; sync; df -B1 --output=size / | tail -n 1")
    assert int(size) > 3 << 30
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
    assert golden["size"] <= int(about) < SIZES[SMALL][1] * MIB
    said(lab, "deploy", "small", "golden")
    after = identity(lab, "small")
    assert after.machine_id != before.machine_id
    assert after.host_keys != before.host_keys
    note, root = on_console(lab, "small", "cat /root/note", "findmnt -n -o SOURCE /")
    assert (note, root) == (NOTE, "/dev/vda3")
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
