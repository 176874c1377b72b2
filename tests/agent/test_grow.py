"""Images on larger disks grow to them; sfdisk, sgdisk and the file systems' own checkers judge."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from frames import Frames

from hostler.agent.disks import Disk, Machine
from hostler.agent.grow import grow
from hostler.agent.install import install
from hostler.agent.media import Media
from hostler.agent.root_files import mounted
from hostler.agent.seed import write_seed
from hostler.agent.work import Work

MIB = 1 << 20
IMAGE, DISK = 400 * MIB, 900 * MIB
GPT = "label: gpt\nsize=2MiB\nname=root\n"
MBR = "label: dos\nsize=2MiB, type=c\ntype=83\n"
MAKE = {
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q", "--rootdir"),
}
CHECK = {"xfs": ("xfs_repair", "-n"), "btrfs": ("btrfs", "check", "--readonly")}


def tool(*command: Any, stdin: str | None = None) -> str:
    """Run a tool and return what it said; fails with all of it."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    done = subprocess.run(
        [str(word) for word in command], input=stdin, capture_output=True, text=True,
        env={**os.environ, "PATH": path}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@contextmanager
def loop(path: Path) -> Iterator[Disk]:
    """Attach a file as a disk with partitions."""
    name = tool("losetup", "--find", "--show", path).strip()
    try:
        tool("partx", "--update", name)  # not every kernel reads tables by itself
        yield Disk(name, "other", path.stat().st_size, "", "", False, False, False, None)
    finally:
        subprocess.run(["partx", "--delete", name], check=False)
        tool("losetup", "--detach", name)


def image(path: Path, table: str, kind: str, words: Path, size: int = IMAGE) -> Path:
    """Make an image whose second and last partition holds a file system with a file."""
    with path.open("wb") as file:
        file.truncate(size)
    tool("sfdisk", "--quiet", path, stdin=table)
    with loop(path) as disk:
        partition = f"{disk.path}p2"
        make = MAKE[kind]
        tool(*make, *([words] if make[-1] in ("-d", "--rootdir") else []), partition)
    return path


def ends(path: Path) -> list[int]:
    """Return where the partitions end, in bytes."""
    listed = json.loads(tool("sfdisk", "--json", path))["partitiontable"]["partitions"]
    return [512 * (one["start"] + one["size"]) for one in listed]


def sound(path: Path, table: str) -> None:
    if table == GPT:
        assert "No problems found" in tool("sgdisk", "-v", path)
    assert "No errors detected" in tool("sfdisk", "--verify", path)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A folder with a file in it."""
    place = tmp_path / "words"
    place.mkdir()
    (place / "hello").write_text("still here\n")
    return place


class FarFrames(Frames):
    """A source that takes its time: that looking pays here does not hang on how busy the machine is."""

    def chunk(self, digest: str, into: memoryview) -> int:
        """Wait and copy."""
        time.sleep(0.01)
        return super().chunk(digest, into)


def grown(disk: Disk, seed: int | None = None) -> dict[str, Any]:
    return grow(disk, Machine(), Work(lambda _line: None), seed)


# ext4 grows for CAP_SYS_RESOURCE alone, which containers lack: tests/matrix/test_targets.py has it.
@pytest.mark.parametrize(("kind", "table"), [("xfs", GPT), ("btrfs", MBR)])
def test_partition_and_file_system_take_the_whole_disk(
    kind: str, table: str, tmp_path: Path, words: Path
) -> None:
    """Table and file system are sound, and what was in it is; a second time nothing is left to do."""
    path = image(tmp_path / "disk", table, kind, words)
    os.truncate(path, DISK)
    with loop(path) as disk:
        result = grown(disk)
        partition = f"{disk.path}p2"
        tool(*CHECK[kind], partition)
        with mounted(Path(partition), (kind,)) as place:
            assert place is not None
            assert kind == "xfs" or (place / "hello").read_text() == "still here\n"
            room = os.statvfs(place)
            assert room.f_blocks * room.f_frsize > 0.85 * DISK
        again = grown(disk)
    assert result["grown"] is True
    assert (again["grown"], again["bytes"]) == (False, result["bytes"])
    assert DISK - 20 * MIB < result["bytes"] <= DISK
    assert (result["partition"], result["file_system"]) == (2, kind)
    assert DISK - 3 * MIB <= ends(path)[-1] <= DISK
    sound(path, table)


def test_a_seed_stays_where_it_is(tmp_path: Path, words: Path) -> None:
    """The image's last partition grows up to it."""
    path = image(tmp_path / "disk", GPT, "btrfs", words)
    os.truncate(path, DISK)
    with loop(path) as disk:
        with Media(path, write=True) as media:
            seed = write_seed(media, {"user-data": "#cloud-config\n"})
        tool("partx", "--update", disk.path)
        result = grown(disk, seed.number)
    assert result["grown"] is True
    assert ends(path)[1] == seed.offset
    assert "LABEL=CIDATA" in tool("blkid", "-p", "-o", "export", "-O", seed.offset, path)
    sound(path, GPT)


@pytest.mark.parametrize(
    ("table", "content", "told"),
    [
        (GPT, ("mkswap", "-q"), "the last partition, 2, holds swap; ext4, XFS and btrfs can"),
        (GPT, ("mkfs.vfat",), "holds FAT"),
        (MBR, (), "holds nothing"),
        ("label: dos\nsize=2MiB\nsize=50MiB, type=5\nsize=40MiB\n", (), "logical partitions"),
        ("", (), "no partition table"),
    ],
)
def test_what_cannot_grow_is_said_and_left_alone(
    table: str, content: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    """The image is whole as it is, so the step goes on."""
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(100 * MIB)
    if table:
        tool("sfdisk", "--quiet", path, stdin=table)
    if content:
        part = tmp_path / "part"
        with part.open("wb") as file:
            file.truncate(64 * MIB)
        tool(*content, part)
        start = json.loads(tool("sfdisk", "--json", path))["partitiontable"]["partitions"][1]["start"]
        with path.open("r+b") as file:
            file.seek(start * 512)
            file.write(part.read_bytes()[: 1 << 20])
    os.truncate(path, 200 * MIB)
    before = path.read_bytes()
    result = grown(Disk(str(path), "ata", 200 * MIB, "", "", False, False, False, None))
    assert result["grown"] is False
    assert told in result["why"]
    assert path.read_bytes() == before


def test_a_grown_disk_takes_the_image_anew_and_needs_only_what_growing_changed(
    tmp_path: Path, words: Path
) -> None:
    """The image's own tables are put back, a few chunks of them, and everything grows again."""
    (words / "data").write_bytes(random.Random(1).randbytes(24 * MIB))
    path = image(tmp_path / "disk", GPT, "btrfs", words, 160 * MIB)
    source = FarFrames(path.read_bytes(), 64 * 1024)
    os.truncate(path, DISK)
    results = []
    with loop(path) as disk:
        for _ in range(2):
            source.asked.clear()
            with Media(path, write=True) as media:
                result = install(source.index, media, source, Work(lambda _line: None))
            tool("partx", "--update", disk.path)
            results.append((grown(disk)["grown"], len(source.asked), result.kept_bytes))
        tool(*CHECK["btrfs"], f"{disk.path}p2")
    assert [one[0] for one in results] == [True, True]
    # How many it fetches rather than reads depends on how quick the disk is just then: never most.
    assert results[1][1] < len(source.index) / 2, results
    sound(path, GPT)
