"""Read the files inside Debian packages without unpacking them to disk or running anything of theirs."""

from __future__ import annotations

import io
import stat
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

import zstandard

from hostler.build.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a package.

    Attributes:
        path: Without leading ``./``; ``bin``, ``lib``, ``lib64`` and ``sbin`` are told as below ``usr``,
            where Debian's own merged layout has them.
        mode: ``st_mode``, file type included.
        data: Contents of a file, target of a symbolic link.
    """

    path: str
    mode: int
    data: bytes

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


def members(deb: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    """Files and symbolic links of the package ``deb`` whose path is wanted.

    Hard links are given as files of their own.

    Raises:
        PackageError: It is no Debian package or is damaged.
    """
    with deb.open("rb") as stream:
        try:
            with _data_archive(stream, deb) as archive:
                for item in archive:
                    path = _merged(item.name.removeprefix("./").strip("/"))
                    if not wanted(path):
                        continue
                    if item.isfile():
                        content = cast("IO[bytes]", archive.extractfile(item)).read()
                        yield Member(path, stat.S_IFREG | item.mode, content)
                    elif item.issym():
                        yield Member(path, stat.S_IFLNK | 0o777, item.linkname.encode())
        except (tarfile.TarError, EOFError, zstandard.ZstdError) as error:
            raise PackageError(f"{deb} is damaged: {error}; delete it to fetch it again") from error


def _data_archive(stream: IO[bytes], deb: Path) -> tarfile.TarFile:
    if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise PackageError(f"{deb} is not a Debian package")
    while header := stream.read(_AR_HEADER):
        name = header[:16].strip().rstrip(b"/").decode(errors="replace")
        try:
            size = int(header[48:58])
        except ValueError:
            break
        if name == "data.tar.zst":
            reader = zstandard.ZstdDecompressor().stream_reader(stream)
            return tarfile.open(fileobj=io.BufferedReader(cast("io.RawIOBase", reader)), mode="r|")
        if name.startswith("data.tar"):
            return tarfile.open(fileobj=stream, mode="r|*")
        stream.seek(size + size % 2, io.SEEK_CUR)
    raise PackageError(f"{deb} holds no data.tar; it is damaged, delete it to fetch it again")


def _merged(path: str) -> str:
    top = path.partition("/")[0]
    return f"usr/{path}" if top in ("bin", "lib", "lib64", "sbin") else path
