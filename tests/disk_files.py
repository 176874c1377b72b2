"""Disks in files, made and judged by the tools that people use: sfdisk, mke2fs, mkfs.fat, mkswap, e2fsck."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


def tool(*words: str | Path, text: str | None = None, may_fail: bool = False) -> str:
    """Run a tool; returns what it printed."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C"}
    done = subprocess.run(
        list(map(str, words)), input=text, text=True, capture_output=True, timeout=120, env=environment,
        check=False,
    )  # fmt: skip
    assert may_fail or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Part:
    """A partition to be made: its size and what is in it, a file or nothing."""

    mib: int
    content: Path | None = None
    type: str = "linux"


def disk_of(path: Path, mib: int, parts: list[Part], label: str = "gpt") -> list[tuple[int, int]]:
    """Make a disk with a partition table; returns where each partition begins, and its size."""
    with path.open("wb") as file:
        file.truncate(mib * MIB)
    script = f"label: {label}\n" + "".join(f"size={part.mib}MiB, type={part.type}\n" for part in parts)
    tool("sfdisk", "--quiet", path, text=script)
    places = partitions_of(path)
    for part, (start, size) in zip(parts, places, strict=True):
        if part.content is not None:
            content = part.content.read_bytes()
            assert len(content) <= size
            with path.open("r+b") as file:
                file.seek(start)
                file.write(content)
    return places


def partitions_of(path: Path) -> list[tuple[int, int]]:
    """Return where each partition of a disk begins, and its size, as sfdisk reads them."""
    rows = [line for line in tool("sfdisk", "--dump", path).splitlines() if " start=" in line]
    fields = [row.partition(":")[2].replace(" ", "").split(",") for row in rows]
    words = [dict(field.split("=", 1) for field in row if "=" in field) for row in fields]
    return [(int(one["start"]) * 512, int(one["size"]) * 512) for one in words]


def ext4(path: Path, mib: int, files: Path) -> Path:
    """Make an ext4 file system with these files."""
    with path.open("wb") as file:
        file.truncate(mib * MIB)
    tool("mke2fs", "-q", "-t", "ext4", "-d", files, path)
    return path


def piece(disk: Path, place: tuple[int, int], into: Path) -> Path:
    """Copy a partition out of a disk."""
    with disk.open("rb") as file:
        file.seek(place[0])
        into.write_bytes(file.read(place[1]))
    return into


def sound(file_system: Path) -> None:
    """Fail unless an ext file system is whole."""
    tool("e2fsck", "-f", "-n", file_system)


def text_in(file_system: Path, path: str) -> str:
    """Return the text of a file in an ext file system."""
    return tool("debugfs", "-R", f"cat {path}", file_system).rpartition("debugfs ")[0]
