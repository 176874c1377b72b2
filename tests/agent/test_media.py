"""Wiping and installing on files and on real block devices: afterwards the disk is what the result says."""

import errno
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import zstandard
from frames import MIB, Frames, image_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.agent.disks import Disk
from hostler.agent.extents import EXTENT
from hostler.agent.install import install
from hostler.agent.media import Media, aligned_buffer, pieces
from hostler.agent.read_back import samples
from hostler.agent.wipe import wipe
from hostler.agent.work import CancelledError, StepError, Work


class PlainMedia(Media):
    """A disk that can neither discard nor zero, as many SD cards and old hard disks."""

    def discard(self, offset: int, length: int) -> bool:
        """Decline."""
        del offset, length
        return False

    def zero(self, offset: int, length: int) -> bool:
        """Decline."""
        del offset, length
        return False


class ForgetfulMedia(PlainMedia):
    """A disk that takes discards and does nothing about them, as the standards allow."""

    def discard(self, offset: int, length: int) -> bool:
        """Take it."""
        del offset, length
        return True


class LyingMedia(Media):
    """A disk that says it zeroed, and did not."""

    def zero(self, offset: int, length: int) -> bool:
        """Claim it."""
        del offset, length
        return True


class StuckMedia(PlainMedia):
    """A disk one of whose blocks never changes."""

    def write(self, data: memoryview, offset: int) -> None:
        """Write, then put the stuck block back."""
        super().write(data, offset)
        if offset <= 2 * MIB < offset + len(data):
            stuck = aligned_buffer(512)
            stuck[:] = b"\xa5" * 512
            super().write(stuck, 2 * MIB)


class FlippingMedia(PlainMedia):
    """A disk that damages the first write it gets, and no other."""

    spoilt = False

    def write(self, data: memoryview, offset: int) -> None:
        """Write; the first time, with one bit flipped."""
        if not self.spoilt and offset == 0:
            self.spoilt = True
            data[100] ^= 4
        super().write(data, offset)


def disk_of(path: Path, size: int, *, read_only: bool = False) -> Disk:
    """Return the description of a file as a disk."""
    return Disk(
        str(path), "virtio", size, "", "", rotational=False, removable=False, read_only=read_only, spared=None
    )


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    """A disk of 20 MiB full of somebody's data."""
    path = tmp_path / "disk"
    path.write_bytes(random.Random(0).randbytes(20 * MIB))
    return path


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Make real block devices, full of data, with the given size of a sector."""
    if os.geteuid() != 0:
        pytest.skip("needs root: loop devices")
    made = []

    def make(sector: int) -> Path:
        backing = tmp_path / f"backing{sector}"
        backing.write_bytes(random.Random(0).randbytes(20 * MIB))
        arguments = ["losetup", "--partscan", "--find", "--show", "--sector-size", str(sector), str(backing)]
        made.append(
            subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
        )
        return Path(made[-1])

    yield make
    for device in made:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=10)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**9))
def test_pieces_cover_the_range(offset: int, length: int, size: int) -> None:
    """Pieces follow one another without gap, and only the first begins off a multiple of their size."""
    size = max(size, length // 100 + 1)
    parts = pieces(offset, length, size)
    assert sum(part[1] for part in parts) == length
    at = offset
    for start, count in parts:
        assert start == at
        assert start == offset or start % size == 0
        assert 0 < count <= size
        at += count


@pytest.mark.parametrize(
    ("kind", "method", "repaired"),
    [
        (Media, "zeroed", 0),
        (PlainMedia, "overwritten", 0),
        (ForgetfulMedia, "discarded", 20 * MIB),
        (LyingMedia, "zeroed", 20 * MIB),
    ],
)
@pytest.mark.parametrize("verify", ["auto", "full", "sample"])
def test_wiped_means_zero(
    kind: type[Media], method: str, repaired: int, verify: str, dirty: Path, work: Work
) -> None:
    """Whatever the disk offers, even a lie, every byte is zero afterwards and the result is honest."""
    disk = disk_of(dirty, 20 * MIB)
    result = wipe([disk], work, {"verify": verify}, lambda disk: kind(Path(disk.path), write=True))
    assert not any(dirty.read_bytes())
    (entry,) = cast("list[dict[str, object]]", result["disks"])
    assert entry["method"] == method
    assert entry["repaired_bytes"] == repaired
    assert entry["verified_whole"] is (entry["verified_bytes"] == 20 * MIB)
    assert work.progress() == ("verifying", 20 * MIB, 20 * MIB)


def test_a_sample_that_is_not_zero_condemns_the_whole(tmp_path: Path, work: Work) -> None:
    """Sampling a disk that did not zero finds that out, and then everything is read and overwritten."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(64 * MIB) + b"left over" * 10000000)
    os.truncate(path, 128 * MIB)
    disk = disk_of(path, 128 * MIB)
    result = wipe([disk], work, {"verify": "sample"}, lambda disk: LyingMedia(Path(disk.path), write=True))
    assert result["verified_bytes"] == 128 * MIB
    with path.open("rb") as file:
        assert all(not any(block) for block in iter(lambda: file.read(4 * MIB), b""))


def test_a_byte_that_does_not_become_zero_fails(dirty: Path, work: Work) -> None:
    """A faulty disk is never reported clean."""
    with pytest.raises(StepError, match="do not become zero"):
        wipe([disk_of(dirty, 20 * MIB)], work, {}, lambda disk: StuckMedia(Path(disk.path), write=True))


def test_a_disk_that_cannot_be_wiped_fails_the_step(dirty: Path, work: Work) -> None:
    """Write protection, a missing device, no disk at all are failures; diskless must be said."""
    with pytest.raises(StepError, match="write-protected"):
        wipe([disk_of(dirty, 20 * MIB, read_only=True)], work, {})
    with pytest.raises(StepError, match="No such file"):
        wipe([disk_of(dirty, 20 * MIB), disk_of(dirty.parent / "gone", MIB)], work, {})
    with pytest.raises(StepError, match="no disk found"):
        wipe([], work, {})
    with pytest.raises(StepError, match="verify is 'never'"):
        wipe([], work, {"verify": "never"})
    assert wipe([], work, {"diskless": True})["verified_bytes"] == 0


@pytest.mark.parametrize("kind", [Media, PlainMedia, ForgetfulMedia])
@pytest.mark.parametrize("size", [20 * MIB, 13 * MIB, 13 * MIB + 512, 512, 9 * MIB + 4096])
def test_an_installed_disk_is_the_image(kind: type[Media], size: int, dirty: Path, work: Work) -> None:
    """On a disk full of old data the image reads back byte for byte; holes and the last MiB are zeros."""
    image = image_of(size)
    source = Frames(image)
    with kind(dirty, write=True) as media:
        result = install(source.index, media, source, work)
    content = dirty.read_bytes()
    assert content[:size] == image
    assert not any(content[max(size, 19 * MIB) :])
    assert result.data_bytes == source.index.data_bytes
    assert result.holes_zeroed_by == ("disk" if kind is Media else "reading and overwriting")
    assert work.progress()[1:] == (source.index.data_bytes, source.index.data_bytes)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blocks=st.lists(st.integers(0, 3), max_size=40),
    tail=st.integers(0, 8),
    grid=st.sampled_from([4096, 65536]),
)
def test_any_pattern_of_chunks_and_holes(blocks: list[int], tail: int, grid: int, tmp_path: Path) -> None:
    """However small the grid and however chunks and holes alternate, the disk is the image."""
    image = b"".join(bytes([block]) * grid for block in blocks) + b"\1" * 512 * tail
    path = tmp_path / "disk"
    path.write_bytes(b"\xee" * (len(image) + 4096))
    source = Frames(image, grid)
    with Media(path, write=True) as media:
        install(source.index, media, source, Work(lambda _line: None), workers=2)
    assert path.read_bytes()[: len(image)] == image


def test_an_image_that_does_not_fit_is_refused_untouched(dirty: Path, work: Work) -> None:
    """Both sizes are named; no chunk is fetched, no byte written."""
    before = dirty.read_bytes()
    source = Frames(image_of(20 * MIB + 512))
    with (
        Media(dirty, write=True) as media,
        pytest.raises(StepError, match=rf"{20 * MIB + 512}.*only {20 * MIB}"),
    ):
        install(source.index, media, source, work)
    assert dirty.read_bytes() == before
    assert source.asked == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda _frame: zstandard.compress(b"other bytes of another length"),
        lambda _frame: zstandard.compress(b"x" * MIB),
        lambda frame: frame[: len(frame) // 2],
        lambda _frame: b"",
        lambda _frame: zstandard.compress(bytes(1024))[:4] + b"\xff" * 20,
    ],
)
def test_a_damaged_chunk_never_reaches_the_disk(
    damage: Callable[[bytes], bytes], dirty: Path, work: Work
) -> None:
    """Whatever is wrong with a frame, its place on the disk is not written, and the chunk is named."""
    before = dirty.read_bytes()
    image = random.Random(1).randbytes(MIB)
    source = Frames(image)
    ((digest, frame),) = source.frames.items()
    source.frames[digest] = damage(frame)
    with Media(dirty, write=True) as media, pytest.raises(StepError, match=digest):
        install(source.index, media, source, work)
    assert dirty.read_bytes()[:MIB] == before[:MIB]
    assert len(source.asked) == 3


def test_a_flipped_bit_is_found_and_written_once_more(dirty: Path, work: Work) -> None:
    """What does not read back is repaired, and the result says how much."""
    image = random.Random(1).randbytes(6 * MIB)
    source = Frames(image)
    with FlippingMedia(dirty, write=True) as media:
        result = install(source.index, media, source, work)
    assert result.rewritten_bytes == EXTENT
    assert dirty.read_bytes()[: 6 * MIB] == image


def test_a_disk_that_does_not_keep_data_fails(dirty: Path, work: Work) -> None:
    """A block that never takes the image's bytes fails the step with its place."""
    source = Frames(random.Random(1).randbytes(6 * MIB))
    with (
        StuckMedia(dirty, write=True) as media,
        pytest.raises(StepError, match="does not keep what is written"),
    ):
        install(source.index, media, source, work)


def test_a_disk_that_lies_about_zeroing_fails(dirty: Path, work: Work) -> None:
    """Holes are sampled after the disk has zeroed them."""
    source = Frames(b"x" * MIB + bytes(8 * MIB))
    with LyingMedia(dirty, write=True) as media, pytest.raises(StepError, match="told to zero"):
        install(source.index, media, source, work)


def test_a_cancelled_step_ends(dirty: Path, work: Work) -> None:
    """Every thread notices, and the reason is the error."""
    source = Frames(image_of(20 * MIB))
    work.cancel("the power will be cut")
    with Media(dirty, write=True) as media, pytest.raises(CancelledError, match="the power will be cut"):
        install(source.index, media, source, work)


@pytest.mark.netns
@pytest.mark.parametrize("sector", [512, 4096])
def test_on_a_real_block_device(sector: int, loop: Callable[[int], Path], work: Work) -> None:
    """The kernel's ioctls, direct writes and exclusive opening hold for both sizes of sector."""
    device = loop(sector)
    image = image_of(13 * MIB + 512)
    source = Frames(image)
    with Media(device, write=True) as media:
        assert (media.size, media.block, media.is_disk, media.direct) == (20 * MIB, sector, True, True)
        result = install(source.index, media, source, work)
        assert result.partitions_reread
        with pytest.raises(StepError, match=os.strerror(errno.EBUSY)):
            Media(device, write=True)
    assert result.holes_zeroed_by == "disk"
    content = device.read_bytes()
    assert content[: len(image)] == image
    assert not any(content[19 * MIB :])
    wiped = wipe([disk_of(device, 20 * MIB)], work, {})
    assert wiped["verified_bytes"] == 20 * MIB
    assert cast("list[dict[str, object]]", wiped["disks"])[0]["method"] == "zeroed"
    assert not any(device.read_bytes())


def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    """A directory or a missing path gives an error that names it."""
    with pytest.raises(StepError, match="is not a disk"):
        Media(tmp_path, write=False)
    with pytest.raises(StepError, match="No such file"):
        Media(tmp_path / "none", write=True)


# Where what is known to survive a careless wipe begins, from the start or (below 0) from the end of a disk.
LABELS = {
    "MBR": 510, "GPT": 512, "LVM": 512, "md 1.1": 0, "md 1.2": 4096, "ext4": 1080,
    "ZFS label 1": 393_216, "btrfs": 65_536, "btrfs, copy": 64 * MIB, "btrfs, second copy": 256 << 30,
    "GPT, second": -512, "DDF": -512, "DDF, secondary": -16 * MIB, "IMSM": -1024, "md 0.90": -65_536,
    "md 1.0": -8192, "ZFS label 2": -524_288, "ZFS label 3": -131_072, "Promise": -63 * 512,
    "Silicon Image": -512, "Adaptec": -512,
}  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
def test_the_places_of_labels_are_always_among_the_samples(label: str) -> None:
    """On disks of any size, and not by chance: no RAID controller or volume manager finds its disk again."""
    for size in (300 * MIB, 32 << 30, 512_110_190_592, 20_000_588_955_648):
        place = LABELS[label] if LABELS[label] >= 0 else size + LABELS[label]
        if place < size:
            assert any(offset <= place < offset + length for offset, length in samples(0, size, 512)), size


@given(st.integers(1, 4 << 40), st.integers(0, 4 << 40), st.sampled_from([512, 4096]))
@settings(max_examples=60, deadline=None)
def test_samples_are_within_the_disk_and_apart(size: int, at: int, block: int) -> None:
    """Whatever the size: whole blocks in ascending order, none twice, and both ends whole."""
    size -= size % block - block
    at = min(at - at % block, size)
    found = list(samples(at, size, block))
    reached = at
    for offset, length in found:
        assert offset >= reached
        assert 0 < length <= 4 * MIB
        assert offset % block == length % block == 0
        reached = offset + length
    assert reached <= size
    if at < size:
        assert reached == size
        assert sum(length for _, length in found) >= min(size - at, 32 * MIB)
