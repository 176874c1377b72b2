"""Live ISOs: what kind one is, and its kernel, initramfs and file system taken out of it.

Each distribution's initramfs has its own way to fetch its file system: Debian's ``live-boot`` by ``fetch=``,
Ubuntu's ``casper`` the whole ISO by ``url=``, dracut (Fedora, openSUSE and theirs) by ``root=live:``.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self

from hostler.images.source import SourceError
from hostler.model.kernel_image import kernel_arch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC_AT, _MAGIC = 32769, b"CD001"  # ECMA-119, 8.4.2: the first volume descriptor is in sector 16
_COPY = 256 * 1024
_DEPTH = 4
WHOLE = "live.iso"
"""The name under which a whole ISO is served."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one kind of live ISO is laid out; patterns are of whole paths, in lower case."""

    kind: str
    kernel: str
    initrd: str
    system: str
    cmdline: str
    whole: bool = False


_LAYOUTS = (
    _Layout(
        "Debian live", r"/live/vmlinuz.*", r"/live/initrd.*", r"/live/filesystem\.squashfs",
        "boot=live components fetch={{ file_url('filesystem.squashfs') }} console={{ board.console }}",
    ),
    _Layout(
        "Ubuntu live", r"/casper/(vmlinuz|vmlinux).*", r"/casper/initrd.*", r"/casper/.*\.squashfs",
        "boot=casper ip=dhcp url={{ file_url('live.iso') }} console={{ board.console }}", whole=True,
    ),
    _Layout(
        "dracut live", r"/(images/pxeboot/vmlinuz|boot/(x86_64|aarch64)/loader/linux|boot/vmlinuz)",
        r"/(images/pxeboot/initrd\.img|boot/(x86_64|aarch64)/loader/initrd|boot/initrd(\.img)?)",
        r"/liveos/squashfs\.img",
        "root=live:{{ file_url('squashfs.img') }} rd.live.image rd.neednet=1 ip=dhcp "
        "console={{ board.console }}",
    ),
)  # fmt: skip


def is_iso(path: Path) -> bool:
    """Tell whether a file is an ISO 9660 image."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(_MAGIC_AT)
        return file.read(len(_MAGIC)) == _MAGIC
    return False


class LiveIso:
    """An opened live ISO; use it in a ``with`` block.

    Attributes:
        names: The files to be kept.
        description: An ``image.toml`` that speaks of them.
    """

    def __init__(self, path: Path, told: str) -> None:
        # Loaded when the first ISO comes: few labs import any.
        import pycdlib
        from pycdlib.pycdlibexception import PyCdlibException

        self._path, self._told, self._error = path, told, PyCdlibException
        self._iso = pycdlib.PyCdlib()
        try:
            self._iso.open(str(path))
        except (PyCdlibException, OSError, struct.error, IndexError, ValueError) as error:
            raise SourceError(f"{told}: this ISO cannot be read: {error}") from error
        try:
            self._by = self._naming()
            self._layout, self._places = self._recognised()
            self.names = tuple(self._places)
            self.description = self._described()
        except BaseException:
            self._iso.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._iso.close()

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes; raises SourceError."""
        place = self._places[name]
        if place is None:
            with self._path.open("rb") as file:
                yield from _pieces(file)
            return
        try:
            with self._iso.open_file_from_iso(**{self._by: place}) as file:
                yield from _pieces(file)
        except (self._error, OSError, struct.error) as error:
            raise SourceError(f"{self._told}: {place} cannot be read: {error}") from error

    def _naming(self) -> str:
        if self._iso.has_rock_ridge():
            return "rr_path"
        if self._iso.has_joliet():
            return "joliet_path"
        return "udf_path" if self._iso.has_udf() else "iso_path"

    def _paths(self) -> Iterator[str]:
        try:
            for folder, _, files in self._iso.walk(**{self._by: "/"}):
                if folder.count("/") <= _DEPTH:
                    yield from (f"{folder.rstrip('/')}/{file}" for file in files)
        except (self._error, struct.error, IndexError, ValueError) as error:
            raise SourceError(f"{self._told}: this ISO cannot be read: {error}") from error

    def _recognised(self) -> tuple[_Layout, dict[str, str | None]]:
        paths = sorted(self._paths())

        def first(pattern: str) -> str | None:
            wanted = re.compile(pattern)
            return next((path for path in paths if wanted.fullmatch(path.partition(";")[0].lower())), None)

        for layout in _LAYOUTS:
            kernel, initrd, system = first(layout.kernel), first(layout.initrd), first(layout.system)
            if kernel and initrd and system:
                served = {WHOLE: None} if layout.whole else {_base(system): system}
                return layout, {"kernel": kernel, "initrd": initrd, **served}
        raise SourceError(
            f"{self._told}: this is not a live ISO known here (live-boot, casper or dracut); describe it "
            "with an image.toml, or see the presets for installers"
        )

    def _described(self) -> str:
        served = self.names[2]
        arch = self._arch()
        return "\n".join(
            [
                f'description = "{self._layout.kind}"',
                *([f'arch = "{arch}"'] if arch else []),
                'kernel = "kernel"',
                'initrd = "initrd"',
                f'cmdline = "{self._layout.cmdline}"',
                "[files]",
                f'"{served}" = "{served}"',
                "[done]",
                'signal = "console"',
                'pattern = "login:"',
                'within = "20m"',
                "",
            ]
        )

    def _arch(self) -> str | None:
        return kernel_arch(b"".join(piece for piece, _ in zip(self.pieces("kernel"), range(1), strict=False)))


def read(path: Path, told: str) -> LiveIso:
    """Open a live ISO; raises SourceError, with what it is called."""
    return LiveIso(path, told)


def _base(path: str) -> str:
    return path.rpartition("/")[2].partition(";")[0].lower()


def _pieces(file: IO[bytes] | Any) -> Iterator[bytes]:
    while piece := file.read(_COPY):
        yield piece
