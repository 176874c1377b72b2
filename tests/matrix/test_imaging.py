"""Imaging on real drivers: the agent's kernel, the real netboot process, and disks of every kind.

What is written to a disk is compared with the file behind it, which the agent does not see.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from imaging_board import MIB, STEP_SECONDS, ImagingBoard, changed_image, imported, noise_image
from lying_disk import lying_disk
from test_process_qemu import setup

from hostler.virtual.disks import Access, DiskConfig, DiskKind, Fault

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.matrix, pytest.mark.netns, pytest.mark.qemu]

DISK = 128 * MIB
IMAGE = 96 * MIB
HOLES = (range(20, 40), range(90, 96))
DATA = IMAGE - sum(map(len, HOLES)) * MIB
BAD = 64 * MIB
"""Where disks with a fault have it."""
NAME = {
    DiskKind.VIRTIO: "/dev/vda",
    DiskKind.NVME: "/dev/nvme0n1",
    DiskKind.AHCI: "/dev/sda",
    DiskKind.SD: "/dev/mmcblk0",
    DiskKind.USB: "/dev/sda",
}


def disk(kind: DiskKind, size: int = DISK, write_limit: int | None = None, *faults: Fault) -> DiskConfig:
    return DiskConfig(kind, size, "" if kind is DiskKind.SD else "S1", None, write_limit, faults)


def same(image: Path, disk: Path) -> bool:
    """Whether the disk begins with the image."""
    with image.open("rb") as one, disk.open("rb") as other:
        return all(one.read(MIB) == other.read(MIB) for _ in range(IMAGE // MIB))


@pytest.mark.parametrize(
    ("arch", "kind"), [*(("amd64", kind) for kind in DiskKind), *(("arm64", kind) for kind in DiskKind)]
)
async def test_a_disk_is_written_then_only_what_differs_and_never_what_does_not_fit(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, arch: str, kind: DiskKind
) -> None:
    """A full write over dirt, a new version of which 5 % differ, and an image that is a MiB too large."""
    board = ImagingBoard(lan, setup, tmp_path, [disk(kind)], arch)
    old, new, large = (tmp_path / name for name in ("old", "new", "large"))
    noise_image(old, IMAGE, HOLES)
    changed = changed_image(new, old, 0.05)
    noise_image(large, DISK + MIB, [range(1, 128)])
    store = board.store()
    indices = [imported(store, path) for path in (old, new, large)]
    board.content().write_bytes(b"\xa5" * DISK)
    async with board.served(), board.powered() as machine:
        board.order_install(indices[0])
        verb, report = await board.outcome(machine)
        assert verb == "done", report
        result = report["result"]
        assert result["disk"]["path"] == NAME[kind]
        assert (result["data_bytes"], result["kept_bytes"], result["rewritten_bytes"]) == (DATA, 0, 0)
        assert same(old, board.content())
        board.order_install(indices[1])
        verb, report = await board.outcome(machine)
        assert verb == "done", report
        result = report["result"]
        assert result["kept_bytes"] == DATA - changed
        assert result["fetched_bytes"] <= 1.1 * changed
        assert same(new, board.content())
        board.order_install(indices[2])
        verb, report = await board.outcome(machine)
        assert verb == "fail"
        assert f"the image needs {DISK + MIB} bytes" in report["error"]
        assert NAME[kind] in report["error"]
        assert same(new, board.content())


@pytest.mark.parametrize("kind", DiskKind)
async def test_a_write_goes_on_after_a_power_cut(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, kind: DiskKind
) -> None:
    """What was on the disk when the power went is kept; the rest alone is fetched."""
    board = ImagingBoard(lan, setup, tmp_path, [disk(kind, write_limit=8 * MIB)])
    image = tmp_path / "image"
    noise_image(image, IMAGE, HOLES)
    index = imported(board.store(), image)
    async with board.served():
        board.order_install(index)
        async with board.powered() as machine:
            # Holes are counted too, and come first.
            await machine.until(lambda: board.progress() > IMAGE - DATA + DATA // 3, STEP_SECONDS)
        assert [kind for kind, *_ in board.rack.reports if kind in ("done", "fail")] == []
        async with board.powered() as machine:
            verb, report = await board.outcome(machine)
    assert verb == "done", report
    result = report["result"]
    assert DATA // 3 <= result["kept_bytes"] < DATA
    assert result["fetched_bytes"] <= 1.01 * (DATA - result["kept_bytes"])
    assert same(image, board.content())


@pytest.mark.parametrize("kind", DiskKind)
async def test_a_disk_that_dies_is_named(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, kind: DiskKind
) -> None:
    """A place that cannot be written: the step fails with the disk, the place and the disk as the cause.

    The SD card of QEMU tells nobody that it could not write; that is found when it is read back.
    """
    board = ImagingBoard(lan, setup, tmp_path, [disk(kind, DISK, None, Fault(Access.WRITE, at=BAD))])
    image = tmp_path / "image"
    noise_image(image, IMAGE, HOLES)
    index = imported(board.store(), image)
    async with board.served(), board.powered() as machine:
        board.order_install(index)
        verb, report = await board.outcome(machine)
    assert verb == "fail"
    if kind is DiskKind.SD:
        assert f"{NAME[kind]} does not keep what is written" in report["error"]
        assert f"the first at {BAD}" in report["error"]
    else:
        said = re.match(rf"{NAME[kind]}: writing (\d+) bytes at (\d+): ", report["error"])
        assert said is not None, report["error"]
        length, offset = map(int, said.groups())
        assert offset <= BAD < offset + length
    assert report["cause"] == "disk-fault"


@pytest.mark.parametrize("kind", DiskKind)
@pytest.mark.parametrize("times", [1, 99])
async def test_a_flipped_bit_is_found_and_mended_or_named(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, kind: DiskKind, times: int
) -> None:
    """A bit that reads back wrong is written once more; one that stays wrong fails the step at its place."""
    board = ImagingBoard(lan, setup, tmp_path, [disk(kind)])
    image = tmp_path / "image"
    noise_image(image, IMAGE, HOLES)
    index = imported(board.store(), image)
    async with board.served():
        with lying_disk(board.content(), BAD + 12345, times) as (path, lying):
            board.replaced["format=raw,file=disk.raw"] = (
                f"format=raw,file.driver=nbd,file.server.type=unix,file.server.path={path}"
            )
            async with board.powered() as machine:
                board.order_install(index)
                verb, report = await board.outcome(machine)
    assert lying.lies > 0
    assert lying.written == 2
    if times == 1:
        assert verb == "done", report
        assert 0 < report["result"]["rewritten_bytes"] <= 4 * MIB
        assert same(image, board.content())
    else:
        assert verb == "fail"
        assert f"{NAME[kind]} does not keep what is written" in report["error"]
        assert str(BAD) in report["error"]
        assert report["cause"] == "disk-fault"
