"""Reading an image from where it is: a file or a URL, in whatever form, as a stream of plain bytes.

The form is told from the first bytes, never from the name, and forms may lie within each other. A stream
that ends too early or does not decompress raises ``SourceError``; memory stays bounded whatever the
compression ratio.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.images import disk_format
from hostler.images.fetch import outer
from hostler.images.rootfs_tar import is_tar
from hostler.images.rootfs_tree import TreeError
from hostler.images.system_tool import ToolError
from hostler.images.unpack import ERRORS, READ_SIZE, DamagedError, peeked, sniff

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

HTTP_SECONDS = 30.0  # without a byte from the server
_DEEPEST = 3  # a zip of an xz of a disk is as far as people go


class SourceError(Exception):
    """The image cannot be read: absent, truncated, damaged or of an unknown kind. The message says which."""


class DamagedSourceError(SourceError):
    """Its bytes are not what they were: to be fetched or sent again."""


class Source:
    """Plain bytes of an image, and how far its reading has come.

    Attributes:
        name: The path or URL.
        total: Length of the input as it is stored, in bytes; None if the server does not tell.
        taken: Bytes of the input read so far.
        compression: ``raw``, or its forms from outside in: ``gzip``, ``zip+xz``; known once the first block
            was read.
    """

    def __init__(self, name: str, total: int | None, read: Callable[[int], bytes]) -> None:
        self.name = name
        self.total = total
        self.taken = 0
        self.compression = "raw"
        self._read = read
        self._digest = hashlib.sha256()

    def blocks(
        self,
        scratch: Path | None = None,
        beat: Callable[[], None] = lambda: None,
        archive: Callable[[Iterator[bytes]], Iterator[bytes]] | None = None,
    ) -> Iterator[bytes]:
        """Yield the plain bytes in blocks of at most about 1 MiB.

        Args:
            scratch: Folder for a form that cannot be read from front to back, removed by the caller; None:
                such a form is refused.
            beat: Called now and then while nothing is yielded for long; what it raises ends the reading.
            archive: What makes a disk of a tar; None: the tar's own bytes are yielded.

        Raises:
            SourceError: the input ends too early, does not decompress or cannot be taken.
            OSError: no space in the folder.
        """
        data = self._input(beat)
        forms: list[str] = []
        try:
            while True:
                head, data = peeked(data)
                form = sniff(head)
                file_form = disk_format.known(head)
                if form is None and file_form is None:
                    break
                if len(forms) == _DEEPEST:
                    raise SourceError(f"{self.name}: {', in '.join(reversed(forms))} is packed too often")
                forms.append(form[0] if form else str(file_form))
                self.compression = "+".join(forms)
                if form is not None:
                    data = form[1](data)
                elif scratch is not None:
                    data = disk_format.plain(str(file_form), data, scratch, beat)
                else:
                    raise SourceError(f"{self.name}: a {file_form} file cannot be taken here")
            if archive is not None and is_tar(head):
                self.compression = "+".join([*forms, "tar"])
                data = archive(data)
            yield from data
        except (disk_format.FormatError, TreeError, ToolError) as error:
            raise SourceError(f"{self.name}: {error}") from error
        except (*ERRORS, DamagedError) as error:
            text = f"{self.name}: the {self.compression} data is damaged: {error}"
            raise DamagedSourceError(text) from error
        except EOFError as error:
            raise DamagedSourceError(
                f"{self.name}: the {self.compression} data ends too early, after {self.taken} bytes"
            ) from error

    def stored(self) -> Iterator[bytes]:
        """Yield the bytes as they are stored, whatever they are; raises SourceError as ``blocks`` does."""
        return self._input()

    def sha256(self, beat: Callable[[], None] = lambda: None) -> str:
        """Read what is left of the input and return the hash of all of it; raises as ``blocks`` does."""
        for _ in self._input(beat):
            pass
        return self._digest.hexdigest()

    def _input(self, beat: Callable[[], None] = lambda: None) -> Iterator[bytes]:
        while data := self._take():
            yield data
            beat()

    def _take(self) -> bytes:
        try:
            data = self._read(READ_SIZE)
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"{self.name}: cannot be read after {self.taken} bytes: {error}") from error
        self.taken += len(data)
        self._digest.update(data)
        if not data and self.total is not None and self.taken < self.total:
            raise SourceError(f"{self.name}: ends after {self.taken} of {self.total} bytes")
        return data


@contextmanager
def open_source(location: Path | str, barred: Collection[str] | None = None) -> Iterator[Source]:
    """Open a local path, or a URL that begins with ``http://`` or ``https://``.

    Args:
        location: The path or URL.
        barred: Hosts that a URL must not lead to, besides this one; None: it may lead anywhere.

    Raises:
        SourceError: there is no such file, it may not be read, or the server refuses it.
    """
    name = str(location)
    if name.startswith(("http://", "https://")):
        try:
            # The scheme is checked above.
            if barred is None:
                response = urllib.request.urlopen(name, timeout=HTTP_SECONDS)  # noqa: S310
            else:
                response = outer(barred).open(name, timeout=HTTP_SECONDS)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SourceError(f"{name}: {error}") from error
        with closing(response):
            length = response.headers.get("Content-Length")
            yield Source(name, int(length) if length and length.isdigit() else None, response.read)
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(location).open("rb", buffering=0))
            total = file.seek(0, 2)  # also right for a block device
            file.seek(0)
        except OSError as error:
            raise SourceError(f"{name}: {error.strerror}") from error
        yield Source(name, total, file.read)
