"""The tool pack: programs that some steps of the agent need, too large to travel at every start.

A tar, compressed with zstd: programs in ``bin/``, and in ``lib/`` every shared library they need and the
loader, so that they fit no matter what the agent is made of. At present it is partclone, which knows what the
file systems use.
"""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import zstandard

from hostler.build import deb, elf
from hostler.build.apt import ARCHITECTURES, Apt, describe
from hostler.build.cache import kept, key_of, source_digest
from hostler.build.errors import PackageError
from hostler.build.progress import silent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hostler.build.apt import Archive
    from hostler.build.progress import Progress

PACK_NAME = "tools.tar.zst"
"""The name it is registered under; the hub asks for it by this name (``hub/captures.py``)."""
TOOLS = ("partclone.extfs", "partclone.xfs", "partclone.btrfs", "partclone.fat", "partclone.ntfs")

_PACKAGES = ("partclone",)
_UNNAMED = ("libcom-err2",)  # of e2fsprogs, which every Debian has, so that nobody depends on it
_OPENED_LATE = ("libgcc_s.so.1",)  # glibc opens it when a thread ends itself, as partclone's do
_LEVEL = 19  # built once, and a board of 512 MB holds it in memory until it is unpacked


def build_tool_pack(
    arch: str, output_dir: Path, cache_dir: Path, progress: Progress = silent, *, refresh: bool = False
) -> dict[str, Path]:
    """Make the tool pack for ``arch`` of Debian's packages; returns it by the name it is registered under.

    Args:
        arch: ``amd64`` or ``arm64``.
        output_dir: Where ``tools-<arch>-<key>/`` appears, whole or not at all.
        cache_dir: Package lists and archives.
        progress: Told about stages.
        refresh: Ask Debian for newer packages even if there is a pack.

    Raises:
        BuildError: See its subclasses in `hostler.build.errors`.
    """
    if arch not in ARCHITECTURES:
        raise PackageError(f'unknown architecture "{arch}"; known are {", ".join(ARCHITECTURES)}')
    key = key_of({"arch": arch, "builder": source_digest("hostler.build.tool_pack", "hostler.build.apt")})
    place = kept(
        output_dir, f"tools-{arch}", key, lambda empty: _make(arch, empty, cache_dir, progress),
        fresh=refresh,
    )  # fmt: skip
    return {PACK_NAME: place / PACK_NAME}


def _make(arch: str, place: Path, cache_dir: Path, progress: Progress) -> None:
    archives = Apt(arch, cache_dir, progress).fetch(
        [*_PACKAGES, *_UNNAMED], lambda package: _carried(package.name)
    )
    files = _programs(archives)
    files |= _libraries(list(files.values()), archives)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    (place / PACK_NAME).write_bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(plain.getvalue()))
    (place / "packages.json").write_text(json.dumps(describe(archives), indent=1) + "\n")


def _carried(name: str) -> bool:
    """Whether a package of the closure is fetched: the tools' own, and libraries."""
    return name in _PACKAGES or name.startswith("lib")


def _programs(archives: Sequence[Archive]) -> dict[str, bytes]:
    found = {}
    for archive in archives:
        if archive.package.name in _PACKAGES:
            for member in deb.members(archive.path, lambda path: path.rpartition("/")[2] in TOOLS):
                if not member.is_link:
                    found[f"bin/{member.path.rpartition('/')[2]}"] = member.data
    if absent := [tool for tool in TOOLS if f"bin/{tool}" not in found]:
        raise PackageError(f"no package has {absent[0]}")
    return found


def _libraries(programs: Sequence[bytes], archives: Sequence[Archive]) -> dict[str, bytes]:
    """The shared libraries that programs need, with those that these need, and the loader."""
    there: dict[str, deb.Member] = {}
    for archive in archives:
        for member in deb.members(archive.path, lambda path: ".so" in path.rpartition("/")[2]):
            name = member.path.rpartition("/")[2]
            if name not in there or not member.is_link:
                there[name] = member
    chosen: dict[str, bytes] = {}
    waiting = [name for program in programs for name in elf.needed(program)]
    waiting += [*_OPENED_LATE, *(name for name in there if name.startswith("ld-linux"))]
    while waiting:
        name = waiting.pop()
        if f"lib/{name}" in chosen:
            continue
        library = there.get(name)
        if library is not None and library.is_link:
            library = there.get(library.data.decode().rpartition("/")[2])
        if library is None or library.is_link:
            raise PackageError(f"no package of the tools holds the shared library {name}")
        chosen[f"lib/{name}"] = library.data
        waiting += elf.needed(library.data)
    return chosen
