"""What the hub keeps of an image: bytes of a disk, or a system that comes over the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hostler.model.netboot_order import DoneSignal
from hostler.model.signature import Signature


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """A template as it was imported.

    Attributes:
        file: The file it came from, for messages.
        text: The template.
        line: Line of that file where it begins.
    """

    file: str
    text: str
    line: int = 1


@dataclass(frozen=True, slots=True)
class NetbootImage:
    """A system that boards are brought over the network; see ``NetbootOrder`` for what becomes of it.

    Attributes:
        kernel: Artefact id of its kernel.
        initrd: Artefact id of its initramfs, or empty.
        cmdline: Its command line.
        files: Artefact ids of further files by name.
        templates: Texts by the name they are served under.
        metadata: What its templates find in ``metadata`` unless the lab says otherwise.
        installs: Whether it is an installer: it puts a system on the disk and is done with that.
        done: What tells its end.
        pattern: For ``console``, the regular expression.
        seconds: Longest time from power-on to that.
    """

    kernel: str
    initrd: str
    cmdline: TemplateSource
    files: dict[str, str] = field(default_factory=dict)
    templates: dict[str, TemplateSource] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    installs: bool = False
    done: DoneSignal = DoneSignal.CALLBACK
    pattern: str = ""
    seconds: float = 3600.0

    @property
    def artefacts(self) -> tuple[str, ...]:
        """Every artefact it consists of."""
        return tuple(filter(None, (self.kernel, self.initrd, *self.files.values())))


@dataclass(frozen=True, slots=True)
class Provenance:
    """How an image came into the store.

    Attributes:
        sha256: Hash of what it was made from, as it was uploaded or fetched; empty: not known.
        version: Version of Hostler that took it in; empty: one that did not say.
        chunks: Chunks it is made of; 0: it comes over the network.
        new_chunks: How many of them the store did not have.
        stored_bytes: Bytes that these took in the store.
    """

    sha256: str = ""
    version: str = ""
    chunks: int = 0
    new_chunks: int = 0
    stored_bytes: int = 0


class ImageKind(StrEnum):
    """What an image is: bytes of a disk, or a system that comes over the network."""

    DISK = "disk"
    NETBOOT = "netboot"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A named image in the catalogue.

    Attributes:
        name: Unique.
        arch: ``amd64`` or ``arm64``.
        platforms: Platforms it boots on; empty: every one of its architecture.
        index: Artefact id of its chunk index; empty: it comes over the network.
        size: Bytes it needs on a disk; of one that comes over the network, of its files.
        data_bytes: Bytes of it that are not holes.
        chunk_size: Grid of its index in bytes.
        pattern: Regular expression on the console that tells that a board has booted it from its disk.
        seconds: Longest time from power-on until the pattern must have been seen.
        created: Unix time it was imported.
        source: Where it came from, for people: an address, or the name of a file.
        principal: Who imported it, or empty when that is not known.
        netboot: How it comes over the network; None: it is bytes of a disk.
        signatures: Of its chunk index; each was found to hold when it came.
        provenance: How it came.
        shrinks_to: About how many bytes `hostler image shrink` would make of it; 0: no fewer, or not known.
        project: For whose members it is there; empty: for everybody signed in.
        upstream: Address of the server it is at home on; empty: it is here.
    """

    name: str
    arch: str
    platforms: tuple[str, ...]
    index: str
    size: int
    data_bytes: int
    chunk_size: int
    pattern: str
    seconds: float
    created: float
    source: str
    principal: str = ""
    netboot: NetbootImage | None = None
    signatures: tuple[Signature, ...] = ()
    provenance: Provenance = Provenance()
    shrinks_to: int = 0
    project: str = ""
    upstream: str = ""

    @property
    def kind(self) -> ImageKind:
        """What it is."""
        return ImageKind.DISK if self.netboot is None else ImageKind.NETBOOT

    @property
    def artefacts(self) -> frozenset[str]:
        """Every artefact it consists of, the chunks of a disk aside."""
        return frozenset({self.index} if self.netboot is None else self.netboot.artefacts)
