"""Forms that cannot be read from front to back: archives and virtual disks. They are put into a file first.

Virtual disks are read by ``qemu-img``, never by guessing: the form is the one its first bytes say. One that
would have it open another file (a backing file, a data file, extents) is refused: that file would be the
server's.
"""

from __future__ import annotations

import errno
import io
import json
import shutil
import struct
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from hostler.images.tool_run import ToolTimeoutError, run_tool
from hostler.images.unpack import MAX_IMAGE, OUTPUT_LIMIT, READ_SIZE, DamagedError
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MAGIC = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # an empty one
    b"QFI\xfb": "qcow2",
    b"KDMV": "vmdk",
    b"# Disk DescriptorFile": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vpc",
}
_IMAGE_SUFFIXES = frozenset(
    {".img", ".raw", ".wic", ".bin", ".iso", ".sdimg", ".dd", ".simg", ".qcow2", ".vmdk", ".vhdx", ".vhd",
     ".gz", ".xz", ".bz2", ".zst", ".lz4"}
)  # fmt: skip
_INFO_SECONDS = 60.0
_CONVERT_SECONDS = 6 * 3600.0
_MOST_MEMORY = 4 * 1024**3  # address space of qemu-img, as a disk may say that it has enormous tables
_LONGEST_DIRECTORY = 16 * 1024 * 1024  # of an archive, in bytes: zipfile reads it at once
# What zipfile decompresses by little and little; of the others it takes all that one read gives.
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class FormatError(Exception):
    """The file cannot be taken; the text says why and what to do."""


def known(head: bytes) -> str | None:
    """Return the name of a form that needs a file, by its first bytes."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def plain(name: str, stored: Iterator[bytes], scratch: Path, beat: Callable[[], None]) -> Iterator[bytes]:
    """Yield what is in an archive or on a virtual disk.

    Args:
        name: What ``known`` said.
        stored: The whole file.
        scratch: Folder for it; what is put there is removed by the caller.
        beat: Called all the while; what it raises ends the work.

    Raises:
        FormatError: It cannot be taken.
        DamagedError, EOFError: It is not whole.
        OSError: No space in the folder.
    """
    scratch.mkdir(exist_ok=True)
    path = scratch / f"{len(list(scratch.iterdir()))}.{name}"
    with path.open("wb") as file:
        for piece in stored:
            file.write(piece)
            beat()
    yield from _zip_member(path) if name == "zip" else _disk(path, name, beat)
    path.unlink()


def _zip_member(path: Path) -> Iterator[bytes]:
    """The one image in an archive."""
    try:
        with _Archive(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
            files = [one for one in archive.infolist() if not one.is_dir() and not _is_note(one.filename)]
            images = [one for one in files if PurePosixPath(one.filename).suffix.lower() in _IMAGE_SUFFIXES]
            chosen = images if len(images) == 1 else files
            if len(chosen) != 1:
                names = ", ".join(printable(one.filename, 60) for one in (images or files)[:8]) or "nothing"
                raise FormatError(
                    f"the archive holds {names}; give it with one image in it, or the image alone"
                )
            if chosen[0].flag_bits & 1:
                raise FormatError(f"{printable(chosen[0].filename, 60)} in the archive is encrypted")
            if chosen[0].compress_type not in _METHODS:
                raise FormatError(
                    "the archive is packed by an unusual method; make it with `zip`, or do without"
                )
            with archive.open(chosen[0]) as member:
                while data := member.read(READ_SIZE):
                    yield data
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        EOFError,
        ValueError,
        OverflowError,
        struct.error,
    ) as error:
        raise DamagedError(str(error)) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the beginning
            raise
        raise DamagedError("its members are not where its directory says") from error


class _Archive(io.BufferedReader):
    """An archive's file, of which no enormous piece is read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read; raises BadZipFile for a piece that is too long."""
        if size is not None and size > _LONGEST_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory has {size} bytes")
        return super().read(size)


def _is_note(name: str) -> bool:
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith(".")


def _disk(path: Path, name: str, beat: Callable[[], None]) -> Iterator[bytes]:
    program = shutil.which("qemu-img")
    if program is None:
        raise FormatError(f"a {name} disk needs qemu-img on the server; install package qemu-utils")
    _refuse_early(path, name)
    info = _run([program, "info", "--output=json", "-f", name, str(path)], _INFO_SECONDS, beat)
    _refuse_others(json.loads(info), path)
    raw = path.with_suffix(".raw")
    convert = [program, "convert", "-f", name, "-O", "raw", "-S", "4k", str(path), str(raw)]
    _run(convert, _CONVERT_SECONDS, beat)
    path.write_bytes(b"")  # its room is needed
    with raw.open("rb") as file:
        while data := file.read(OUTPUT_LIMIT):
            yield data
    raw.unlink()


def _refuse_early(path: Path, name: str) -> None:
    """Raise FormatError for what would have ``qemu-img`` open another file before it can tell of it."""
    with path.open("rb") as file:
        head = file.read(80).ljust(80, b"\0")
    part = {
        # docs/interop/qcow2.txt of QEMU: the backing file's offset, and bit 2 of the incompatible features.
        "qcow2": head[8:16] != bytes(8) or (head[4:8] > b"\0\0\0\2" and head[79] & 4),
        # block/vmdk.c: a file of words names its extents; so does a sparse one without sectors of its own.
        "vmdk": head.startswith(b"#") or head[12:20] == bytes(8),
        # Microsoft's "Virtual Hard Disk Image Format Specification": disk type 4 is differencing.
        "vpc": head[60:64] == b"\0\0\0\4",
    }
    if part.get(name):
        raise FormatError(
            f"the {name} disk is only part of what it needs: its data, or its base, is in another file; "
            "make it whole first: qemu-img convert -O raw FILE disk.raw"
        )


def _refuse_others(info: dict[str, Any], path: Path) -> None:
    """Raise FormatError when the disk consists of more than this file."""
    own = info.get("format-specific", {}).get("data", {})
    others = [info.get("backing-filename"), info.get("full-backing-filename"), own.get("data-file")]
    others += [extent.get("filename") for extent in own.get("extents", [])]
    foreign = [str(other) for other in others if other and str(other) != str(path)]
    if foreign or own.get("data-file-raw"):
        what = printable(foreign[0], 100) if foreign else "a data file"
        raise FormatError(
            f"the disk is only part of what it needs ({what}); "
            "make it whole first: qemu-img convert -O raw FILE disk.raw"
        )
    size = int(info.get("virtual-size", 0))
    if size > MAX_IMAGE:
        raise FormatError(f"the disk says that it has {size} bytes, and none has more than {MAX_IMAGE}")
    if info.get("encrypted"):
        raise FormatError("the disk is encrypted; decrypt it first")


def _run(command: list[str], seconds: float, beat: Callable[[], None]) -> str:
    """Run ``qemu-img``; returns what it printed."""
    try:
        done = run_tool(command, seconds, beat, memory=_MOST_MEMORY)
    except ToolTimeoutError as error:
        raise FormatError(str(error)) from None
    if done.returncode:
        said = printable((done.stderr.strip().splitlines() or ["it said nothing"])[-1], 300)
        if "No space left" in said:
            raise OSError(28, "No space left on device")
        raise DamagedError(f"qemu-img: {said}")
    return done.stdout
