"""Taking in systems that come over the network: what they consist of is kept whole, each file by its id.

Three sources are known by their content: a tar that begins with ``image.toml``, KIWI's tar for installing
over the network, and a live ISO. Each becomes a description (``image.toml``'s text) and the files it names.
"""

from __future__ import annotations

import hashlib
import tarfile
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostler.images import kiwi, live_iso
from hostler.images.importer import ImportProgress
from hostler.images.source import Source, SourceError, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from hostler.images.store import ImageStore

DESCRIPTION = "image.toml"
TEXT_LIMIT = 256 * 1024
"""Longest description or template file in bytes; four times what a template may have."""
_COPY = 256 * 1024
_PROGRESS_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file in the store: its artefact id, and its length in bytes."""

    artefact: str
    size: int


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a source consists of.

    Attributes:
        description: The text of its ``image.toml``.
        texts: What files hold that are templates, by the path the description has for them.
        files: All others, by that path.
    """

    description: str
    texts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, KeptFile] = field(default_factory=dict)


class Keeper:
    """Keeps files of one import in the store, and tells how far it has come.

    Args:
        store: Where to.
        progress: Called at most ten times a second; what it raises ends the import.

    Attributes:
        kept: The ids of everything kept so far: what is to be dropped when the import comes to nothing.
    """

    def __init__(self, store: ImageStore, progress: Callable[[ImportProgress], None]) -> None:
        self.kept: list[str] = []
        self._store = store
        self._progress = progress
        self._told = 0.0
        self._written = 0
        self._source: Source | None = None

    def follow(self, source: Source) -> None:
        """Tell progress by how much of this source was read."""
        self._source = source

    def keep(self, pieces: Iterable[bytes]) -> KeptFile:
        """Keep a file that comes in pieces."""
        before = self._written
        artefact = self._store.add_artefact(self._counted(pieces))
        self.kept.append(artefact)
        return KeptFile(artefact, self._written - before)

    def download(self, url: str, into: Path, barred: Collection[str] | None) -> None:
        """Write what an address gives to a file; raises SourceError."""
        with open_source(url, barred) as source, into.open("wb") as file:
            self.follow(source)
            for piece in self._counted(source.stored()):
                file.write(piece)

    def unpack(self, path: Path, told: str) -> Unpacked:
        """Keep what a file consists of; see ``unpack``."""
        return unpack(path, told, self)

    def sha256(self, path: Path) -> str:
        """Return the hash of a file as it is."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def fetch(self, url: str, barred: Collection[str] | None) -> KeptFile:
        """Keep what an address gives, as it gives it; raises SourceError."""
        with open_source(url, barred) as source:
            self.follow(source)
            found = self.keep(source.stored())
        if not found.size:
            raise SourceError(f"{url}: is empty")
        return found

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._written += len(piece)
            if time.monotonic() - self._told >= _PROGRESS_SECONDS:
                self._told = time.monotonic()
                read, total = (self._source.taken, self._source.total) if self._source else (0, None)
                self._progress(ImportProgress(read, total, self._written))
            yield piece


def unpack(path: Path, told: str, keeper: Keeper) -> Unpacked:
    """Keep what a file consists of. Blocks; run it in a thread.

    Args:
        path: The file.
        told: What it is called in errors.
        keeper: Keeps it.

    Raises:
        SourceError: it is nothing known here, or damaged.
        StoreFullError: no space left in the store.
    """
    if live_iso.is_iso(path):
        found = live_iso.read(path, told)
        with found:
            files = {name: keeper.keep(found.pieces(name)) for name in found.names}
            return Unpacked(found.description, {}, files)
    with open_source(path) as source:
        source.name = told
        keeper.follow(source)
        try:
            with tarfile.open(fileobj=_Stream(source.blocks()), mode="r|") as archive:  # type: ignore[call-overload]
                return _from_tar(archive, told, keeper)
        except tarfile.TarError as error:
            raise SourceError(
                f"{told}: is neither a live ISO, nor a tar with an {DESCRIPTION}, nor KIWI's tar for "
                f"installing over the network ({error})"
            ) from error


def _from_tar(archive: tarfile.TarFile, told: str, keeper: Keeper) -> Unpacked:
    texts: dict[str, str] = {}
    files: dict[str, KeptFile] = {}
    as_text: frozenset[str] = frozenset()
    described = False
    for member in archive:
        name = member.name.removeprefix("./")
        if not member.isfile():
            continue
        if not described and not files and not texts and name == DESCRIPTION:
            texts[name] = _text(archive, member, told)
            as_text, described = _templates(texts[name]), True
        elif name in as_text or (not described and name.endswith(kiwi.TEXTS)):
            texts[name] = _text(archive, member, told)
        elif name not in files:
            files[name] = keeper.keep(_pieces(archive, member))
    if described:
        return Unpacked(texts.pop(DESCRIPTION), texts, files)
    sizes = {name: file.size for name, file in files.items()}
    return Unpacked(kiwi.description(sizes, texts, told), {}, files)


def _templates(description: str) -> frozenset[str]:
    """Return the paths of the template files a description names; whether it is right is looked at later."""
    try:
        table = tomllib.loads(description).get("templates")
    except (ValueError, RecursionError):
        return frozenset()
    return frozenset(map(str, table.values())) if isinstance(table, dict) else frozenset()


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo, told: str) -> str:
    if member.size > TEXT_LIMIT:
        raise SourceError(f"{told}: {member.name} has {member.size} bytes; a text has at most {TEXT_LIMIT}")
    try:
        return b"".join(_pieces(archive, member)).decode()
    except UnicodeDecodeError as error:
        raise SourceError(f"{told}: {member.name} is not text in UTF-8: {error}") from error


def _pieces(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = archive.extractfile(member)
    assert file is not None
    while piece := file.read(_COPY):
        yield piece


class _Stream:
    """An iterator of bytes as the file ``tarfile`` reads a stream from."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._held = b""

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        while len(self._held) < size and (block := next(self._blocks, b"")):
            self._held += block
        found, self._held = self._held[:size], self._held[size:]
        return found
