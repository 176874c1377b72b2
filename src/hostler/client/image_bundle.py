"""An ``image.toml`` and the files it names, put into the tar that the server takes, with no copy made."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.client.errors import ClientError
from hostler.client.upload_content import UploadContent, tar_content

if TYPE_CHECKING:
    from collections.abc import Iterator

DESCRIPTION = "image.toml"


@dataclass(frozen=True, slots=True)
class Instead:
    """What takes the place of something in a description: each a path of this machine or an address.

    Attributes:
        kernel: Its kernel.
        initrd: Its initramfs.
        files: Further files by name; those it does not have are added.
    """

    kernel: str | None = None
    initrd: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def query(self) -> dict[str, str | list[str] | None]:
        """Return what tells the server: addresses as they are, files by their names in the tar."""
        return {
            "kernel": self.kernel and _sent("kernel", self.kernel),
            "initrd": self.initrd and _sent("initrd", self.initrd),
            "file": [f"{name}={_sent(f'files/{name}', place)}" for name, place in self.files.items()],
        }

    def members(self) -> dict[str, Path]:
        """Return the files to be sent by their names in the tar; raises ClientError for one not there."""
        wanted = {"kernel": self.kernel, "initrd": self.initrd}
        wanted |= {f"files/{name}": place for name, place in self.files.items()}
        found = {
            _sent(key, place): Path(place)
            for key, place in wanted.items()
            if place is not None and not is_address(place)
        }
        for path in found.values():
            if not path.is_file():
                raise ClientError(f"there is no file {path}")
        return found


def _sent(key: str, place: str) -> str:
    """Return how a file is named in the tar: no description names one like that."""
    return place if is_address(place) else f"instead/{key}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is to be sent: the description, and where the files are that it names.

    Attributes:
        description: The text of its ``image.toml``.
        members: Paths of this machine, by the name the description has for them.
    """

    description: str
    members: Mapping[str, Path]

    def content(self, name: str) -> UploadContent:
        """Return the tar that is sent, the description first; raises OSError."""
        return tar_content(name, self.members, {DESCRIPTION: self.description.encode()})


def oci_members(folder: Path) -> dict[str, Path]:
    """Return the files of an OCI image layout by their names in it (OCI image specification 1.0)."""
    blobs = sorted(path for path in folder.glob("blobs/*/*") if path.is_file())
    found = [folder / "oci-layout", folder / "index.json", *blobs]
    return {str(path.relative_to(folder)): path for path in found}


def bundle(description: Path, instead: Instead, arch: str | None = None) -> Bundle:
    """Read a description, and find the files it names.

    Args:
        description: ``image.toml``, or the folder it is in.
        instead: What takes the place of what it names.
        arch: The architecture it is for; None: the one it names.

    Raises:
        ClientError: it is no TOML, or a file is not there.
        OSError: it cannot be read.
    """
    path = description / DESCRIPTION if description.is_dir() else description
    if description.is_dir() and not path.is_file():
        raise ClientError(f"there is no {DESCRIPTION} in {description}", "it says what the image consists of")
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ClientError(f"{path} is not TOML: {error}") from None
    members: dict[str, Path] = {}
    for key, name in _named(raw, arch or str(raw.get("arch", "")), instead):
        if is_address(name):
            continue
        place = path.parent / name
        if not place.is_file():
            raise ClientError(f"{path}: {key}: there is no file {place}", "paths in it begin where it is")
        members[name] = place
    return Bundle(text, {**members, **instead.members()})


def is_address(place: str) -> bool:
    """Tell whether the server is to fetch it."""
    return place.startswith(("http://", "https://"))


def _named(raw: Mapping[str, Any], arch: str, instead: Instead) -> Iterator[tuple[str, str]]:
    """Yield what a description names and is not replaced: its key, and the path or address."""
    own = _table(_table(raw, "for"), arch)
    for key, value in (("kernel", instead.kernel), ("initrd", instead.initrd)):
        name = own.get(key, raw.get(key))
        if value is None and isinstance(name, str) and name:
            yield key, name
    for key, name in {**_table(raw, "files"), **_table(own, "files")}.items():
        if key not in instead.files and isinstance(name, str):
            yield f"files.{key}", name
    for key, name in _table(raw, "templates").items():
        if isinstance(name, str):
            yield f"templates.{key}", name


def _table(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}
