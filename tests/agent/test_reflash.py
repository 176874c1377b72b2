"""Writing an image over what a disk holds already: only what differs is fetched and written."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from frames import MIB, Frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.agent.install import install
from hostler.agent.looking import PROBE_EVERY, Looking, probes
from hostler.agent.media import Media
from hostler.agent.work import CancelledError, StepError, Work

GRID = 64 * 1024


class CountingMedia(Media):
    """A disk that counts what is read and written."""

    read_bytes = written_bytes = 0

    def read(self, data: memoryview, offset: int) -> None:
        """Count and read."""
        self.read_bytes += len(data)
        super().read(data, offset)

    def write(self, data: memoryview, offset: int) -> None:
        """Count and write."""
        self.written_bytes += len(data)
        super().write(data, offset)


class FarFrames(Frames):
    """A source that takes its time: that looking pays here does not hang on how busy the machine is."""

    def chunk(self, digest: str, into: memoryview) -> int:
        """Wait and copy."""
        time.sleep(0.01)
        return super().chunk(digest, into)


def noise(size: int, seed: int) -> bytes:
    """Return data without holes."""
    return random.Random(seed).randbytes(size)


def on_disk(path: Path, content: bytes) -> Path:
    """Return a disk with room behind its content."""
    path.write_bytes(content + bytes(2 * MIB))
    return path


def test_nothing_is_sent_for_a_disk_that_holds_the_image(tmp_path: Path, work: Work) -> None:
    """Every byte is read once, which proves it; none is fetched or written."""
    source = Frames(noise(16 * MIB, 1), GRID)
    disk = on_disk(tmp_path / "disk", noise(16 * MIB, 1))
    with CountingMedia(disk, write=True) as media:
        result = install(source.index, media, source, work)
    assert source.asked == []
    assert (result.fetched_bytes, result.kept_bytes, media.written_bytes) == (0, 16 * MIB, 0)
    assert media.read_bytes <= 16 * MIB + 4 * GRID


def test_only_what_differs_is_sent(tmp_path: Path, work: Work) -> None:
    """Of an image of which every twentieth chunk is new, a twentieth is fetched, written and read back."""
    image = bytearray(noise(20 * MIB, 1))
    disk = on_disk(tmp_path / "disk", bytes(image))
    changed = range(7 * GRID, len(image), 20 * GRID)
    for at in changed:
        image[at : at + GRID] = noise(GRID, at)
    source = FarFrames(bytes(image), GRID)
    with CountingMedia(disk, write=True) as media:
        result = install(source.index, media, source, work)
    assert disk.read_bytes()[: len(image)] == image
    assert len(source.asked) == len(changed)
    assert media.written_bytes == len(changed) * GRID
    assert media.read_bytes <= len(image) + len(changed) * GRID + 4 * GRID
    assert result.kept_bytes == len(image) - len(changed) * GRID


def test_a_disk_that_holds_something_else_is_hardly_read(tmp_path: Path, work: Work) -> None:
    """A few chunks are enough to see that it does not pay; what is written is read back as ever."""
    source = Frames(noise(64 * MIB, 1), GRID)
    disk = on_disk(tmp_path / "disk", noise(64 * MIB, 2))
    with CountingMedia(disk, write=True) as media:
        install(source.index, media, source, work, verify=False)
        assert media.read_bytes <= 64 * MIB // 50
    assert disk.read_bytes()[: 64 * MIB] == noise(64 * MIB, 1)


def test_a_step_that_begins_again_goes_on_where_it_was(tmp_path: Path) -> None:
    """After a power cut in the midst only the rest is fetched."""
    image = noise(32 * MIB, 1)
    disk = on_disk(tmp_path / "disk", bytes(32 * MIB))
    source = FarFrames(image, GRID)
    first = Work(lambda _line: None)

    class CutOff(CountingMedia):
        def write(self, data: memoryview, offset: int) -> None:
            super().write(data, offset)
            if self.written_bytes >= 20 * MIB:
                first.cancel("the power is gone")

    with CutOff(disk, write=True) as media, pytest.raises(CancelledError):
        install(source.index, media, source, first)
    done = media.written_bytes
    source.asked.clear()
    with Media(disk, write=True) as media:
        result = install(source.index, media, source, Work(lambda _line: None))
    assert disk.read_bytes()[: len(image)] == image
    assert len(source.asked) * GRID <= len(image) - done + 16 * MIB
    assert result.kept_bytes + len(source.asked) * GRID == len(image)


def test_a_step_that_was_cut_off_early_goes_on_too(tmp_path: Path, work: Work) -> None:
    """A beginning that is too short for any of the spread probes to hit it is kept all the same."""
    image = noise(64 * MIB, 1)
    disk = on_disk(tmp_path / "disk", image[: 4 * MIB] + noise(60 * MIB, 2))
    with Media(disk, write=True) as media:
        result = install((source := Frames(image, GRID)).index, media, source, work)
    assert result.kept_bytes == 4 * MIB
    assert disk.read_bytes()[: len(image)] == image


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(st.integers(0, 2), max_size=60), after=st.lists(st.integers(0, 2), max_size=60))
def test_whatever_was_there_the_disk_is_the_image(
    before: list[int], after: list[int], tmp_path: Path
) -> None:
    """Chunks equal, other, or holes, in any order: nothing old is left; what was kept and fetched is all."""
    old = b"".join(bytes([value]) * GRID for value in before)
    image = b"".join(bytes([value]) * GRID for value in after)
    disk = on_disk(tmp_path / "disk", old.ljust(len(image), b"\xee"))
    source = Frames(image, GRID)
    with Media(disk, write=True) as media:
        result = install(source.index, media, source, Work(lambda _line: None), workers=2)
    assert disk.read_bytes()[: len(image)] == image
    assert result.kept_bytes + len(source.asked) * GRID == source.index.data_bytes


def test_a_chunk_that_cannot_be_had_leaves_what_was_right(tmp_path: Path, work: Work) -> None:
    """A failed step changes nothing of what the disk had in common with the image."""
    image = noise(8 * MIB, 1)
    disk = on_disk(tmp_path / "disk", image[: 7 * MIB] + noise(MIB, 3))
    source = Frames(image, GRID)
    for digest in source.frames:
        source.frames[digest] = b""
    with Media(disk, write=True) as media, pytest.raises(StepError, match="arrived damaged"):
        install(source.index, media, source, work)
    assert disk.read_bytes()[: 7 * MIB] == image[: 7 * MIB]


def test_progress_never_goes_back(tmp_path: Path, work: Work) -> None:
    """Not even on a disk that zeroes its first hole and refuses the second; nor is it ever more than all."""
    part = noise(2 * MIB, 1)
    image = bytes(4 * MIB) + part + bytes(4 * MIB) + part + bytes(4 * MIB)
    source = Frames(image, GRID)
    seen: list[int] = []

    class Reluctant(CountingMedia):
        def zero(self, offset: int, length: int) -> bool:
            return offset == 0 and super().zero(offset, length)

        def read(self, data: memoryview, offset: int) -> None:
            phase, done, total = work.progress()
            if phase == "executing":
                seen.append(done)
                assert total == len(image)
            super().read(data, offset)

    with Reluctant(on_disk(tmp_path / "disk", noise(len(image), 2)), write=True) as media:
        install(source.index, media, source, work, workers=1)
    assert (tmp_path / "disk").read_bytes()[: len(image)] == image
    assert seen[0] == 4 * MIB
    assert seen == sorted(seen)
    assert seen[-1] <= len(image)


def test_a_sector_that_cannot_be_read_is_written(tmp_path: Path, work: Work) -> None:
    """It lost its content, and is whole again when it has been written: no reason to fail."""
    image = noise(16 * MIB, 1)
    source = Frames(image, GRID)

    class Failing(CountingMedia):
        bad = range(5 * MIB, 5 * MIB + 512)

        def read(self, data: memoryview, offset: int) -> None:
            if self.bad and offset < self.bad.stop and self.bad.start < offset + len(data):
                raise StepError("Input/output error")
            super().read(data, offset)

        def write(self, data: memoryview, offset: int) -> None:
            super().write(data, offset)
            if offset <= 5 * MIB < offset + len(data):
                self.bad = range(0)

    with Failing(on_disk(tmp_path / "disk", image), write=True) as media:
        result = install(source.index, media, source, work)
    assert result.kept_bytes == 12 * MIB
    assert len(source.asked) == 4 * MIB // GRID


def test_looking_goes_on_only_where_it_pays() -> None:
    """It ends when little is equal, and one chunk of every sixteenth extent is enough to begin again."""
    looking = Looking()
    looking.began(4, 4)
    assert looking.worth()
    looking.begin_look(0.0)
    looking.looked(0, MIB, 0.005)
    looking.begin_put(0.005)
    looking.put(MIB, 0.021)
    looking.begin_look(0.021)
    looking.looked(0, MIB, 0.026)
    assert not looking.worth()
    assert sum(looking.probe() for _ in range(10 * PROBE_EVERY)) == 10
    looking.begin_look(0.03)
    looking.looked(MIB, MIB, 0.035)
    assert looking.worth()


def test_a_slow_reader_does_not_look_for_little() -> None:
    """Where reading takes as long as fetching and writing, all of it must be equal."""
    looking = Looking()
    looking.began(1, 2)
    assert looking.worth()
    looking.begin_put(0.0)
    looking.put(MIB, 0.01)
    looking.begin_look(0.01)
    looking.looked(MIB // 2, MIB, 0.02)
    assert not looking.worth()


def test_threads_that_share_a_disk_count_once() -> None:
    """Four that read at once, each as long as one that writes: the disk reads four times as fast."""
    looking = Looking()
    looking.began(1, 2)
    looking.begin_put(0.0)
    looking.put(MIB, 0.02)
    for _ in range(4):
        looking.begin_look(1.0)
    for _ in range(4):
        looking.looked(MIB // 2, MIB, 1.02)
    assert looking.worth()


@pytest.mark.parametrize("count", [0, 1, 3, 4, 100, 1000, 100_000])
def test_probes_are_few_and_spread(count: int) -> None:
    """All different, in order, from the first to the last part of the image."""
    chosen = probes(range(count))
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= max(4, min(64, count // 100))
    if count >= 4:
        assert chosen[0] < count / 4
        assert chosen[-1] >= count * 3 / 4
