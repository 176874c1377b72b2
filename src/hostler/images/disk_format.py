"""Forms that cannot be read from front to back: archives and virtual disks. They are put into a file first.

Virtual disks are read by ``qemu-img``, never by guessing: the form is the one its first bytes say. One that
would have it open another file (a backing file, a data file, extents) is refused: that file would be the
server's.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from hostler.images.unpack import OUTPUT_LIMIT, READ_SIZE, DamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MAGIC = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # an empty one
    b"QFI\xfb": "qcow2",
    b"KDMV": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vpc",
}
_IMAGE_SUFFIXES = frozenset(
    {".img", ".raw", ".wic", ".bin", ".iso", ".sdimg", ".dd", ".simg", ".qcow2", ".vmdk", ".vhdx", ".vhd",
     ".gz", ".xz", ".bz2", ".zst", ".lz4"}
)  # fmt: skip
_INFO_SECONDS = 60.0
_CONVERT_SECONDS = 6 * 3600.0


class FormatError(Exception):
    """The file cannot be taken; the text says why and what to do."""


def known(head: bytes) -> str | None:
    """Return the name of a form that needs a file, by its first bytes."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def plain(name: str, stored: Iterator[bytes], scratch: Path) -> Iterator[bytes]:
    """Yield what is in an archive or on a virtual disk.

    Args:
        name: What ``known`` said.
        stored: The whole file.
        scratch: Folder for it; what is put there is removed by the caller.

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
    read: Callable[[Path], Iterator[bytes]] = _zip_member if name == "zip" else lambda at: _disk(at, name)
    yield from read(path)
    path.unlink()


def _zip_member(path: Path) -> Iterator[bytes]:
    """The one image in an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = [one for one in archive.infolist() if not one.is_dir() and not _is_note(one.filename)]
            images = [one for one in files if PurePosixPath(one.filename).suffix.lower() in _IMAGE_SUFFIXES]
            chosen = images if len(images) == 1 else files
            if len(chosen) != 1:
                names = ", ".join(one.filename[:60] for one in (images or files)[:8]) or "nothing"
                raise FormatError(
                    f"the archive holds {names}; give it with one image in it, or the image alone"
                )
            if chosen[0].flag_bits & 1:
                raise FormatError(f"{chosen[0].filename[:60]} in the archive is encrypted")
            with archive.open(chosen[0]) as member:
                while data := member.read(READ_SIZE):
                    yield data
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DamagedError(str(error)) from error


def _is_note(name: str) -> bool:
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith(".")


def _disk(path: Path, name: str) -> Iterator[bytes]:
    program = shutil.which("qemu-img")
    if program is None:
        raise FormatError(f"a {name} disk needs qemu-img on the server; install package qemu-utils")
    info = _run([program, "info", "--output=json", "-f", name, str(path)], _INFO_SECONDS)
    _refuse_others(json.loads(info), path)
    raw = path.with_suffix(".raw")
    _run([program, "convert", "-f", name, "-O", "raw", "-S", "4k", str(path), str(raw)], _CONVERT_SECONDS)
    path.write_bytes(b"")  # its room is needed
    with raw.open("rb") as file:
        while data := file.read(OUTPUT_LIMIT):
            yield data
    raw.unlink()


def _refuse_others(info: dict[str, Any], path: Path) -> None:
    """Raise FormatError when the disk consists of more than this file."""
    own = info.get("format-specific", {}).get("data", {})
    others = [info.get("backing-filename"), info.get("full-backing-filename"), own.get("data-file")]
    others += [extent.get("filename") for extent in own.get("extents", [])]
    foreign = [str(other) for other in others if other and str(other) != str(path)]
    if foreign or own.get("data-file-raw"):
        raise FormatError(
            f"the disk is only part of what it needs ({foreign[0][:100] if foreign else 'a data file'}); "
            "make it whole first: qemu-img convert -O raw FILE disk.raw"
        )
    if info.get("encrypted"):
        raise FormatError("the disk is encrypted; decrypt it first")


def _run(command: list[str], seconds: float) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise FormatError(f"qemu-img took longer than {seconds:g} s") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if "No space left" in said:
            raise OSError(28, "No space left on device")
        raise DamagedError(f"qemu-img: {said[:300]}")
    return done.stdout
