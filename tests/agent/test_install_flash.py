"""Raw flash: chosen by name, and written only where it differs. The flash keeps to NOR's rules."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from frames import Frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.agent.disks import Machine
from hostler.agent.install_flash import install_flash
from hostler.agent.mtd import Flash, choose_flash, find_flash
from hostler.agent.work import DiskFaultError, NoDiskError, StepError, TooLargeError, Work

BLOCK, GRID = 4096, 64 * 1024


class Nor:
    """A NOR flash: erasing sets bits in whole blocks, writing only clears them.

    Attributes:
        erased: Offsets of the blocks that were erased, in order.
        stuck: Offset of a byte that reads as 0 whatever is written; None: there is none.
    """

    def __init__(self, content: bytes, stuck: int | None = None) -> None:
        self.flash = Flash("mtd0", "spl", "nor", len(content), BLOCK, True)
        self.content = bytearray(content)
        self.erased: list[int] = []
        self.stuck = stuck

    def read(self, offset: int, length: int) -> bytes:
        data = bytearray(self.content[offset : offset + length])
        if self.stuck is not None and offset <= self.stuck < offset + length:
            data[self.stuck - offset] = 0
        return bytes(data)

    def erase(self, offset: int, length: int) -> None:
        assert offset % BLOCK == length % BLOCK == 0
        self.erased += range(offset, offset + length, BLOCK)
        self.content[offset : offset + length] = b"\xff" * length

    def write(self, offset: int, data: bytes) -> None:
        for at, byte in enumerate(data, offset):
            self.content[at] &= byte


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def flashed(flash: Nor, image: bytes, work: Work):
    source = Frames(image, GRID)
    return install_flash(source.index, flash, source, work)


def test_an_erased_flash_is_written_without_erasing(work: Work) -> None:
    """And what lies behind the image stays."""
    flash = Nor(b"\xff" * 40 * BLOCK)
    image = noise(10 * BLOCK + 100)
    result = flashed(flash, image, work)
    assert bytes(flash.content) == image + b"\xff" * (40 * BLOCK - len(image))
    assert (flash.erased, result.written_bytes) == ([], 11 * BLOCK)


def test_only_blocks_that_differ_are_erased(work: Work) -> None:
    """A chunk that lies there already is not even fetched."""
    old = bytearray(noise(64 * BLOCK))
    flash = Nor(bytes(old))
    new = bytearray(old[: 48 * BLOCK])
    new[5 * BLOCK + 7] ^= 1
    result = flashed(flash, bytes(new), work)
    assert bytes(flash.content) == bytes(new) + bytes(old[48 * BLOCK :])
    assert flash.erased == [5 * BLOCK]
    assert result.kept_bytes == 47 * BLOCK
    assert 0 < result.fetched_bytes < 2 * GRID
    again = flashed(flash, bytes(new), work)
    assert (again.written_bytes, again.fetched_bytes, again.kept_bytes) == (0, 0, 48 * BLOCK)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 40 * BLOCK),
    st.lists(st.tuples(st.integers(0, 39), st.sampled_from([b"\0", b"\xff", b"x"])), max_size=20),
    st.lists(st.integers(0, 40 * BLOCK - 1), max_size=10),
)
def test_any_image_over_anything_is_there_afterwards(
    work: Work, size: int, filled: list[tuple[int, bytes]], changed: list[int]
) -> None:
    """Holes of the image, erased blocks and single bits included; behind its end nothing changes."""
    image = bytearray(noise(40 * BLOCK))
    for number, byte in filled:
        image[number * BLOCK : (number + 1) * BLOCK] = byte * BLOCK
    before = bytearray(image)
    for place in changed:
        before[place] ^= 0x10
    flash = Nor(bytes(before))
    flashed(flash, bytes(image[:size]), work)
    assert bytes(flash.content) == bytes(image[:size] + before[size:])
    assert len(flash.erased) <= len({place // BLOCK for place in changed})


def test_a_block_that_does_not_keep_is_named(work: Work) -> None:
    """After a second attempt."""
    flash = Nor(b"\xff" * 8 * BLOCK, stuck=3 * BLOCK + 5)
    with pytest.raises(DiskFaultError, match=rf"spl.*byte {3 * BLOCK + 5} differs after two attempts"):
        flashed(flash, b"\xaa" * 8 * BLOCK, work)


def test_an_image_too_large_touches_nothing(work: Work) -> None:
    """Both sizes are named."""
    flash = Nor(noise(4 * BLOCK))
    with pytest.raises(TooLargeError, match=rf"needs {5 * BLOCK} bytes.*only {4 * BLOCK}"):
        flashed(flash, noise(5 * BLOCK, 2), work)
    assert bytes(flash.content) == noise(4 * BLOCK)


def mtd(root: Path, device: str, name: str, kind: str = "nor", flags: str = "0xc00") -> None:
    texts = {"name": name, "type": kind, "size": "65536", "erasesize": "4096", "flags": flags}
    (root / "class/mtd" / device).mkdir(parents=True)
    for key, text in texts.items():
        (root / "class/mtd" / device / key).write_text(text + "\n")


def test_flash_is_chosen_by_name(tmp_path: Path) -> None:
    """As the device tree calls it, or by its device; what cannot be written is refused with the reason."""
    mtd(tmp_path, "mtd0", "spi0.0")
    mtd(tmp_path, "mtd0ro", "spi0.0")
    mtd(tmp_path, "mtd1", "spl")
    mtd(tmp_path, "mtd2", "env")
    mtd(tmp_path, "mtd10", "env")
    mtd(tmp_path, "mtd11", "rootfs", kind="nand")
    mtd(tmp_path, "mtd12", "bootrom", flags="0x800")
    found = find_flash(Machine(sys=tmp_path))
    assert [flash.device for flash in found] == ["mtd0", "mtd1", "mtd2", "mtd10", "mtd11", "mtd12"]
    assert choose_flash(found, "spl").device == "mtd1"
    assert choose_flash(found, "mtd10").device == "mtd10"
    for name, told, error in (
        ("uboot", r'no flash "uboot"; this board has: mtd0 \(spi0.0, nor, 65536 bytes\); mtd1', NoDiskError),
        ("env", r'more than one flash is "env": mtd2 .*; mtd10 .*mtd:mtd0', NoDiskError),
        ("rootfs", "has bad blocks", StepError),
        ("bootrom", "is read-only", StepError),
    ):
        with pytest.raises(error, match=told):
            choose_flash(found, name)
    assert find_flash(Machine(sys=tmp_path / "none")) == []
