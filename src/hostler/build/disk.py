"""Disk images in plain files: no root, no loop devices, holes stay holes."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build.tool import find, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECTOR = 512
MIB = 1 << 20
_DEADLINE = 300.0
_COPY = 4 * MIB
_TABLE_SPACE = MIB
# GPT partition types (UEFI specification 2.10 table 5.7, and the discoverable partitions of systemd).
TYPE_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
TYPE_EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
TYPE_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition.

    Attributes:
        name: Its name in the table.
        kind: Type GUID.
        size: Bytes, a multiple of 1 MiB.
        identity: GUID of the partition.
        content: File copied to its start; None: left empty.
        bootable: Set the attribute by which U-Boot and legacy loaders know where to look.
    """

    name: str
    kind: str
    size: int
    identity: str
    content: Path | None = None
    bootable: bool = False


def offsets(partitions: Sequence[Partition]) -> list[int]:
    """Byte offset of each partition: one after the other from 1 MiB."""
    found, offset = [], _TABLE_SPACE
    for partition in partitions:
        found.append(offset)
        offset += partition.size
    return found


def assemble(path: Path, partitions: Sequence[Partition], identity: str) -> None:
    """Write a disk image with a GPT to ``path``; as large as its partitions and two tables.

    Args:
        path: Of the new image.
        partitions: In order.
        identity: GUID of the disk.
    """
    places = offsets(partitions)
    total = places[-1] + partitions[-1].size + _TABLE_SPACE
    with path.open("wb") as image:
        image.truncate(total)
    lines = ["label: gpt", f"label-id: {identity}", f"first-lba: {_TABLE_SPACE // SECTOR}"]
    for partition, offset in zip(partitions, places, strict=True):
        attributes = ", attrs=LegacyBIOSBootable" if partition.bootable else ""
        lines.append(
            f"start={offset // SECTOR}, size={partition.size // SECTOR}, type={partition.kind},"
            f' uuid={partition.identity}, name="{partition.name}"{attributes}'
        )
    script = "\n".join(lines).encode() + b"\n"
    run(
        [find("sfdisk", "fdisk"), "--quiet", "--no-reread", "--no-tell-kernel", path],
        deadline=60,
        stdin=script,
    )
    with path.open("r+b") as image:
        for partition, offset in zip(partitions, places, strict=True):
            if partition.content is not None:
                copy_sparse(partition.content, image.fileno(), offset)


def copy_sparse(source: Path, target: int, offset: int) -> None:
    """Copy the data of ``source`` to ``offset`` of an open file that reads zeros there; skip zeros."""
    zeros = bytes(_COPY)
    with source.open("rb") as stream:
        while block := stream.read(_COPY):
            if block != zeros[: len(block)]:
                os.pwrite(target, block, offset)
            offset += len(block)


def fat_image(path: Path, size: int, label: str, serial: str, files: Mapping[str, bytes]) -> None:
    """A FAT file system with ``files`` in it.

    Args:
        path: Of the new image.
        size: Bytes.
        label: Eleven characters at most.
        serial: Volume id, eight hexadecimal digits.
        files: Contents by path, with ``/`` between names.
    """
    with path.open("wb") as image:
        image.truncate(size)
    # --invariant and the fixed clock: same files, same bytes.
    clock = {"SOURCE_DATE_EPOCH": "1", "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}
    command = [find("mkfs.vfat", "dosfstools"), "--invariant", "-n", label, "-i", serial, str(path)]
    run(command, deadline=60, environment=clock)
    with tempfile.TemporaryDirectory(prefix="hostler-fat-") as scratch:
        made: set[str] = set()
        for name, content in sorted(files.items()):
            parts = name.split("/")
            for depth in range(1, len(parts)):
                directory = "/".join(parts[:depth])
                if directory not in made:
                    made.add(directory)
                    run(
                        [find("mmd", "mtools"), "-i", path, f"::/{directory}"], deadline=60, environment=clock
                    )
            source = Path(scratch) / "file"
            source.write_bytes(content)
            os.utime(source, (1, 1))
            run(
                [find("mcopy", "mtools"), "-m", "-i", path, source, f"::/{name}"],
                deadline=60,
                environment=clock,
            )


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
