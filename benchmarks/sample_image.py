"""A disk image that looks like one: files of this machine with holes between them; and a second version."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
BLOCK = 4096


def make_image(path: Path, size: int, data: int) -> None:
    """Write a sparse raw image: about ``data`` bytes of real files, laid out as a file system lays them out.

    Files are put one after the other, each beginning on a block, in groups of a few MiB with holes between
    them; 64 blocks lie alone, as those of a file system's tables do. The same machine gives the same image.
    """
    rnd = random.Random(size)
    files = _files()
    gap = max(2, 2 * (size - data) // (data // (5 * MIB)) // BLOCK)  # blocks; twice the mean
    with path.open("wb") as image:
        image.truncate(size)
        # A boot sector: were a compressed file the first thing here, the image would be taken for one.
        image.write(bytes(510) + b"\x55\xaa")
        left = data
        at = MIB
        while left > 0 and at < size - 32 * MIB:
            group = min(left, rnd.choice([1, 2, 4, 8, 16, 32]) * MIB // 2)
            left -= group
            image.seek(at)
            while group > 0:
                content = next(files)[:group]
                image.write(content + bytes(-len(content) % BLOCK))
                group -= len(content) + -len(content) % BLOCK
            at = image.tell() + rnd.randrange(1, gap) * BLOCK
        for _ in range(64):
            image.seek(rnd.randrange(size // BLOCK) * BLOCK)
            image.write(rnd.randbytes(BLOCK))


def next_version(old: Path, new: Path, share: float) -> None:
    """Copy an image and change it as a package upgrade does: some files replaced by others of like size."""
    rnd = random.Random(1)
    files = _files(skip=97)
    with old.open("rb") as source, new.open("wb") as target:
        size = old.stat().st_size
        target.truncate(size)
        at = 0
        while at < size:
            try:
                at = os.lseek(source.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(source.fileno(), at, os.SEEK_HOLE)
            while at < end:
                step = min(end - at, rnd.randrange(1, 64) * BLOCK)
                content = os.pread(source.fileno(), step, at)
                if rnd.random() < share:
                    content = next(files)[:step].ljust(step, b"\0")
                os.pwrite(target.fileno(), content, at)
                at += step


def _files(skip: int = 0) -> Iterator[bytes]:
    """Yield the content of real files for ever, each not larger than 8 MiB."""
    found = [
        path
        for top in ("/usr/lib", "/usr/bin", "/usr/share")
        for path in sorted(Path(top).rglob("*"))
        if path.is_file() and not path.is_symlink() and path.stat().st_size >= 512
    ]
    random.Random(skip).shuffle(found)
    while True:
        for path in found[skip:]:
            with path.open("rb") as file:
                yield file.read(8 * MIB)
