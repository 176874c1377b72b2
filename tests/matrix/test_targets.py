"""Where images go, with the agent's own kernel: the disk that is meant, growing to it, raw flash."""

from __future__ import annotations

import json
import os
import subprocess
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from imaging_board import MIB, ImagingBoard, imported, noise_image
from test_process_qemu import setup
from uefi_boards import CACHE

from hostler.build import deb
from hostler.build.agent_image import build_agent
from hostler.build.initramfs import pack
from hostler.virtual.disks import DiskConfig, DiskKind
from hostler.wire import newc

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.matrix, pytest.mark.netns, pytest.mark.qemu]

IMAGE, DISK = 400 * MIB, 900 * MIB
MAKE = {
    "ext4": ("mke2fs", "-q", "-t", "ext4", "-d"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q", "--rootdir"),
}


def tool(*command: Any, stdin: str | None = None) -> str:
    """Run a tool and return what it said; fails with all of it."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    done = subprocess.run(
        [str(word) for word in command], input=stdin, capture_output=True, text=True,
        env={**os.environ, "PATH": path}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def system(path: Path, kind: str, folder: Path) -> None:
    """Make an image whose second and last partition is the root of a system."""
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    noise_image(folder / "data", 96 * MIB)
    with path.open("wb") as file:
        file.truncate(IMAGE)
    tool("sfdisk", "--quiet", path, stdin="label: gpt\nsize=2MiB\nname=root\n")
    part = folder.with_suffix(".part")
    start, size = places(path)[-1]
    with part.open("wb") as file:
        file.truncate(size)
    tool(*MAKE[kind], *([] if kind == "xfs" else [folder]), part)
    tool("dd", f"if={part}", f"of={path}", "bs=1M", f"seek={start // MIB}", "conv=notrunc,sparse")


def places(path: Path) -> list[tuple[int, int]]:
    """Return where the partitions begin, and their sizes, in bytes."""
    listed = json.loads(tool("sfdisk", "--json", path))["partitiontable"]["partitions"]
    return [(512 * one["start"], 512 * one["size"]) for one in listed]


def check(path: Path, kind: str, folder: Path) -> None:
    """Have the file system's own tool look at the second partition."""
    start, size = places(path)[1]
    part = folder.with_suffix(".checked")
    with part.open("wb") as file:
        file.truncate(size)
    tool("dd", f"if={path}", f"of={part}", "bs=1M", f"skip={start // MIB}", "conv=notrunc,sparse")
    commands = {"ext4": ("e2fsck", "-f", "-n"), "xfs": ("xfs_repair", "-n"), "btrfs": ("btrfs", "check")}
    tool(*commands[kind], part)


@pytest.mark.parametrize("kind", MAKE)
async def test_the_disk_that_is_meant_is_filled_by_the_image(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, kind: str
) -> None:
    """The other disk keeps every byte; a second install over the grown one grows anew."""
    disks = [DiskConfig(DiskKind.VIRTIO, 64 * MIB, "A1"), DiskConfig(DiskKind.NVME, DISK, "B2")]
    board = ImagingBoard(lan, setup, tmp_path, disks)
    other, meant = board.content(0), board.content(1)
    noise_image(other, 64 * MIB, [range(8, 64)])
    before = other.read_bytes()
    system(tmp_path / "image", kind, tmp_path / "root")
    index = imported(board.store(), tmp_path / "image")
    first_boot = {"hostname": "told", "way": "seed" if kind == "btrfs" else "auto"}
    async with board.served(), board.powered() as machine:
        board.order_install(index)
        verb, report = await board.outcome(machine)
        assert verb == "fail"
        assert "more than one disk to install on: /dev/nvme0n1" in report["error"]
        assert "serial A1" in report["error"]
        for again in (False, True):
            hint = "bus=nvme,serial=B*" if again else "by-path=*-nvme-1"
            board.order_install(index, disk=hint, grow=True, first_boot=first_boot)
            verb, report = await board.outcome(machine)
            assert verb == "done", report
            result, growth = report["result"], report["result"]["growth"]
            assert (result["disk"]["path"], result["disk"]["transport"]) == ("/dev/nvme0n1", "pcie")
            assert (growth["grown"], growth["file_system"]) == (True, kind), growth
            assert growth["bytes"] > 0.9 * DISK
    assert other.read_bytes() == before
    assert "No problems found" in tool("sgdisk", "-v", meant)
    if result["first_boot"]["way"] == "seed":
        assert sum(places(meant)[1]) == places(meant)[2][0]
    check(meant, kind, tmp_path / "root")


async def test_raw_flash_is_written_where_it_differs(lan: Lan, setup: NetbootSetup, tmp_path: Path) -> None:
    """On the kernel's own mtdram, in erase blocks of 128 KiB; a flash that is not there is named."""
    board = ImagingBoard(lan, setup, tmp_path, [DiskConfig(DiskKind.VIRTIO, 8 * MIB, "A1")])
    old, new = tmp_path / "old", tmp_path / "new"
    noise_image(old, 3 * MIB)
    content = bytearray(old.read_bytes())
    content[MIB + 5] ^= 1
    new.write_bytes(content[: 2 * MIB + 4096])
    indices = [imported(board.store(), path) for path in (old, new)]
    async with board.served():
        with (tmp_path / "initrd").open("ab") as file:
            file.write(mtdram())
        async with board.powered() as machine:
            results = []
            for index, to in ((indices[0], "mtd:mtd0"), (indices[1], "mtd:mtdram test device")):
                board.order_install(index, to=to)
                verb, report = await board.outcome(machine)
                assert verb == "done", report
                results.append(report["result"])
            board.order_install(indices[0], to="mtd:spl")
            verb, report = await board.outcome(machine)
    assert [one["written_bytes"] for one in results] == [3 * MIB, 128 * 1024]
    assert results[1]["kept_bytes"] == 2 * MIB + 4096 - 128 * 1024
    assert results[1]["flash"]["kind"] == "ram"
    assert verb == "fail"
    assert 'there is no flash "spl"; this board has: mtd0 (mtdram test device' in report["error"]


def mtdram() -> bytes:
    """Return a part of an initramfs that brings a flash in memory before the agent begins."""
    agent = build_agent("amd64", CACHE / "built", CACHE)
    packages = json.loads(agent.record.read_text())
    kernel = next(one for one in packages if one["name"].startswith("linux-image-6"))
    (archive,) = (CACHE / "apt-amd64/archives").glob(kernel["name"] + "_*.deb")
    (module,) = deb.members(archive, lambda path: path.endswith("/mtdram.ko"))
    script = (
        "#!/bin/sh\n[ -e /sys/class/mtd/mtd0 ] || { modprobe mtd; insmod /mtdram.ko; }\n. /etc/lease.sh\n"
    )
    lease = (resources.files("hostler.build") / "agent_udhcpc.sh").read_bytes()
    return pack(
        [
            newc.file("mtdram.ko", module.data),
            newc.file("etc/udhcpc.sh", script.encode(), 0o755),
            newc.file("etc/lease.sh", lease, 0o755),
        ]
    )
