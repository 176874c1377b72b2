"""Small root file systems as tars, and disks looked into with the tools that others have for them."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zstandard

from hostler.model.bootable import DISK_BOOT_SECTOR, DISK_CORE, UEFI_GRUB, UEFI_SHIM, DiskTerms

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.images.store import ImageStore

MTIME = 1_700_000_000
_SYSTEM = "/usr/sbin:/sbin:/usr/bin:/bin"


def kernel(arch: str = "amd64") -> bytes:
    """Return what begins as a kernel does; it is looked at, never started."""
    head = bytearray(8192)
    if arch == "amd64":
        head[0x202:0x206] = b"HdrS"
    else:
        head[0x38:0x3C] = b"ARM\x64"
    return bytes(head)


class Tar:
    """A tar being written, member by member."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, data: bytes = b"", **fields: Any) -> Tar:
        """Add a member; ``fields`` are those of ``TarInfo``."""
        member = tarfile.TarInfo(name)
        member.size, member.mtime = len(data), MTIME
        for field, value in fields.items():
            setattr(member, field, value)
        self._tar.addfile(member, io.BytesIO(data))
        return self

    def link(self, name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Tar:
        """Add a link."""
        return self.add(name, type=kind, linkname=target)

    def folder(self, name: str, mode: int = 0o755) -> Tar:
        """Add a directory."""
        return self.add(name, type=tarfile.DIRTYPE, mode=mode)

    def bytes(self) -> bytes:
        """End it and return it."""
        self._tar.close()
        return self._file.getvalue()


def bootable(arch: str = "amd64") -> Tar:
    """Return the least that becomes a disk; more may be added."""
    tar = Tar().folder("./").folder("./etc")
    return tar.add("./boot/vmlinuz-6.1", kernel(arch)).add("./boot/initrd.img-6.1", b"initrd")


def terms(folder: Path, arch: str = "amd64", *platforms: str, **more: Any) -> DiskTerms:
    """Return terms with loaders that are looked at, never started."""
    loaders = {}
    for name in (DISK_CORE, DISK_BOOT_SECTOR, UEFI_SHIM[arch], UEFI_GRUB[arch]):
        loaders[name] = folder / name
        loaders[name].write_bytes(name.encode().ljust(2048, b"."))
    return DiskTerms(arch, platforms, loaders=loaders, **more)


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk out of the store, in a sparse file."""

    path: Path

    @classmethod
    def of(cls, store: ImageStore, index_id: str, path: Path) -> Disk:
        """Put it together."""
        index = store.index(index_id)
        with path.open("wb") as file:
            file.truncate(index.size)
            for chunk in index:
                file.seek(chunk.offset)
                frame = store.chunk_path(chunk.digest).read_bytes()
                file.write(zstandard.ZstdDecompressor().decompress(frame))
        return cls(path)

    def partitions(self) -> list[dict[str, Any]]:
        """Return the table as sfdisk reads it."""
        table: dict[str, Any] = json.loads(run("sfdisk", "--json", str(self.path)))["partitiontable"]
        found: list[dict[str, Any]] = table["partitions"]
        return found

    def root(self) -> str:
        """Return the last partition as debugfs opens it, checked by e2fsck."""
        part = self.partitions()[-1]
        file = self.path.with_suffix(".root")
        with self.path.open("rb") as disk, file.open("wb") as copy:
            disk.seek(part["start"] * 512)
            left = part["size"] * 512
            while left:
                block = disk.read(min(1 << 20, left))
                left -= len(block)
                if any(block):
                    copy.write(block)
                else:
                    copy.seek(len(block), 1)
            copy.truncate(copy.tell())
        run("e2fsck", "-f", "-n", str(file))
        return str(file)

    def fat_file(self, number: int, name: str) -> bytes:
        """Return a file of a FAT partition as mtools read it."""
        start = self.partitions()[number - 1]["start"] * 512
        return run(
            "mtype", "-i", f"{self.path}@@{start}", f"::/{name}", environment={"MTOOLS_SKIP_CHECK": "1"}
        )


def debugfs(root: str, request: str) -> str:
    """Ask debugfs one thing."""
    return run("debugfs", "-R", request, root).decode("utf-8", "surrogateescape")


def run(*command: str, environment: dict[str, str] | None = None) -> bytes:
    """Run a tool of the system; returns what it printed."""
    variables = {"PATH": _SYSTEM, "LC_ALL": "C.UTF-8", **(environment or {})}
    return subprocess.run(command, check=True, capture_output=True, timeout=120, env=variables).stdout
