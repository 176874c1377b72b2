"""Disk images in plain files: no root, no loop devices, holes stay holes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build.tool import find, run
from hostler.images import disk_file
from hostler.images.disk_file import (
    MIB,
    TYPE_BIOS_BOOT,
    TYPE_EFI_SYSTEM,
    TYPE_LINUX,
    DiskPart,
    starts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "MIB",
    "TYPE_BIOS_BOOT",
    "TYPE_EFI_SYSTEM",
    "TYPE_LINUX",
    "DiskPart",
    "assemble",
    "ext4_image",
    "fat_image",
    "starts",
]

_DEADLINE = 300.0


def assemble(path: Path, parts: Sequence[DiskPart], identity: str) -> None:
    """Write a disk image with a GPT to ``path``; as large as its partitions and two tables.

    Args:
        path: Of the new image.
        parts: In order.
        identity: GUID of the disk.

    Raises:
        BuildError: sfdisk is missing or failed.
    """
    disk_file.assemble(path, parts, identity, _tool, lambda: None)


def fat_image(path: Path, size: int, label: str, serial: str, files: Mapping[str, bytes]) -> None:
    """A FAT file system with ``files`` in it.

    Args:
        path: Of the new image.
        size: Bytes.
        label: Eleven characters at most.
        serial: Volume id, eight hexadecimal digits.
        files: Contents by path, with ``/`` between names.

    Raises:
        BuildError: A program is missing or failed.
    """
    with tempfile.TemporaryDirectory(prefix="hostler-fat-") as scratch:
        places = {}
        for number, (name, content) in enumerate(sorted(files.items())):
            places[name] = Path(scratch, str(number))
            places[name].write_bytes(content)
        disk_file.fat(path, size, label, serial, places, _tool)


def _tool(
    package: str,
    program: str,
    *arguments: str | Path,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
) -> None:
    run([find(program, package), *arguments], deadline=60, environment=environment, stdin=stdin.encode())


def ext4_image(
    path: Path, size: int, label: str, identity: str, root: Path, prefix: Sequence[str | Path] = ()
) -> None:
    """An ext4 file system holding the tree below ``root``, owners as they are there.

    Args:
        path: Of the new image.
        size: Bytes.
        label: Sixteen characters at most.
        identity: UUID of the file system.
        root: Tree to copy.
        prefix: Command to run mke2fs under, such as ``fakeroot``.
    """
    with path.open("wb") as image:
        image.truncate(size)
    run(
        [
            *prefix,
            find("mke2fs", "e2fsprogs"),
            *("-q", "-F", "-t", "ext4", "-L", label, "-U", identity),
            # Fixed seed for directory hashes; no space kept for root; the journal of a small disk is small.
            *("-E", f"hash_seed={identity},lazy_itable_init=0,root_owner=0:0", "-m", "0"),
            *("-O", "^metadata_csum_seed", "-d", root, path),
        ],
        deadline=_DEADLINE,
        environment={"E2FSPROGS_FAKE_TIME": "1"},
    )
