"""The catalogue of images: what may be called an image, and when one may go."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, Protocol

from hostler.hub.access import admin_only, member_only
from hostler.hub.errors import ConflictError, Fault, ForbiddenError, InvalidError
from hostler.hub.image_home import refuse_elsewhere
from hostler.hub.image_limits import refuse_over_share
from hostler.hub.image_names import name_fault, refuse_taken
from hostler.hub.image_sight import event_data, find_image, in_charge
from hostler.hub.image_store import StoreCare
from hostler.model.claim import ClaimState
from hostler.model.platform import PLATFORMS
from hostler.model.signature import SignatureError, checked_key, key_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from hostler.hub.image_records import ImageRecord
    from hostler.hub.records import Agent, Principal
    from hostler.hub.state import Draft
    from hostler.model.bootable import DiskTerms

ARCHITECTURES = tuple(sorted({platform.arch for platform in PLATFORMS.values()}))
_BOOT_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class Progress(Protocol):
    """How far an import has come."""

    @property
    def read(self) -> int:
        """Bytes of the input read."""
        ...

    @property
    def total(self) -> int | None:
        """Length of the input, or None if it is not known."""
        ...

    @property
    def written(self) -> int:
        """Plain bytes that came out of it."""
        ...


class Imported(Protocol):
    """What an import brought."""

    @property
    def index(self) -> str:
        """Artefact id of the chunk index."""
        ...

    @property
    def size(self) -> int:
        """Bytes the image needs on a disk."""
        ...

    @property
    def data_bytes(self) -> int:
        """Bytes of it that are not holes."""
        ...

    @property
    def chunk_size(self) -> int:
        """Grid of the index in bytes."""
        ...

    @property
    def chunks_new(self) -> int:
        """Chunks the store did not have."""
        ...

    @property
    def chunks_known(self) -> int:
        """Places in the image whose chunk was there already, or came twice."""
        ...

    @property
    def stored_bytes(self) -> int:
        """Bytes of the new chunks as stored."""
        ...

    @property
    def source_sha256(self) -> str:
        """Hash of the input."""
        ...


class KeptFile(Protocol):
    """A file kept whole."""

    @property
    def artefact(self) -> str:
        """Its artefact id."""
        ...

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...


class Unpacked(Protocol):
    """What a system that comes over the network consists of."""

    @property
    def description(self) -> str:
        """The text of its ``image.toml``."""
        ...

    @property
    def texts(self) -> Mapping[str, str]:
        """Its templates, by the path the description has for them."""
        ...

    @property
    def files(self) -> Mapping[str, KeptFile]:
        """All other files, by that path."""
        ...


class Keeper(Protocol):
    """One import under way of a system that comes over the network. Every method blocks."""

    @property
    def kept(self) -> list[str]:
        """The ids of what it has kept so far."""
        ...

    def download(self, url: str, into: Path, barred: Collection[str] | None) -> None:
        """Write what an address gives to a file."""
        ...

    def unpack(self, path: Path, told: str) -> Unpacked:
        """Keep what a file consists of; ``told`` is what it is called in errors."""
        ...

    def sha256(self, path: Path) -> str:
        """Return the hash of a file as it is."""
        ...

    def fetch(self, url: str, barred: Collection[str] | None) -> KeptFile:
        """Keep what an address gives."""
        ...


class ImageFiles(StoreCare, Protocol):
    """Where the bytes of images are. Every method blocks and is called from a thread."""

    @property
    def bad_source(self) -> tuple[type[Exception], ...]:
        """What ``take`` raises when the input is at fault; the text says how."""
        ...

    @property
    def damaged_source(self) -> tuple[type[Exception], ...]:
        """Those of ``bad_source`` that say that its bytes are spoiled, and not only the terms wrong."""
        ...

    @property
    def no_space(self) -> tuple[type[Exception], ...]:
        """What the methods raise when there is no room left."""
        ...

    @property
    def bad_store(self) -> tuple[type[Exception], ...]:
        """What the methods raise when the store is at fault otherwise; the text says how."""
        ...

    def take(
        self,
        source: Path | str,
        progress: Callable[[Progress], None],
        barred: Collection[str] | None = None,
        block_map: Path | str | None = None,
        most_data: int | None = None,
        disk: DiskTerms | None = None,
    ) -> Imported:
        """Read an image from a path or URL and keep it; what ``progress`` raises undoes it.

        A URL must not lead to the host itself nor to those of ``barred``; None: it may lead anywhere. A block
        map (``.bmap``) says what of the image matters. Of that it may have ``most_data`` bytes. A root file
        system becomes a disk by the terms ``disk``; None: it is refused.
        """
        ...

    def drop(self, artefact: str) -> None:
        """Remove an artefact, if it is there; of a disk its bytes too, except those that others share."""
        ...

    def keeper(self, progress: Callable[[Progress], None]) -> Keeper:
        """Begin to keep the files of a system that comes over the network."""
        ...

    def keep(self, path: Path) -> str:
        """Keep a whole file; returns its artefact id."""
        ...

    def file(self, artefact: str) -> Path:
        """Return where a kept file is."""
        ...


def check_name(draft: Draft, principal: Principal, name: str) -> None:
    """Raise a Refusal when nobody, or not this principal, may import an image of this name."""
    check_new(draft, principal, name=name, arch=ARCHITECTURES[0], platforms=(), pattern="", seconds=1.0)


def check_new(
    draft: Draft, principal: Principal, *, name: str, arch: str, platforms: tuple[str, ...], pattern: str,
    seconds: float,
) -> None:  # fmt: skip
    """Raise a Refusal, with every reason, when an image may not be imported under these terms."""
    member_only(principal, "import images")
    faults = term_faults(name, arch, platforms, pattern, seconds)
    if faults:
        raise InvalidError("; ".join(fault.text for fault in faults), kind="bad-image", faults=tuple(faults))
    refuse_over_share(draft, principal, 0)
    refuse_taken(draft, name)


def term_faults(name: str, arch: str, platforms: Iterable[str], pattern: str, seconds: float) -> list[Fault]:
    """Return what is wrong with the terms of an image, wherever it comes from."""
    faults = []
    if fault := name_fault(name):
        faults.append(Fault(fault, key="name"))
    if arch not in ARCHITECTURES:
        faults.append(
            Fault(f'there is no architecture "{arch}"; known: {", ".join(ARCHITECTURES)}', key="arch")
        )
    for platform in platforms:
        if platform not in PLATFORMS:
            text = f'there is no platform "{platform}"; known: {", ".join(PLATFORMS)}'
            faults.append(Fault(text, key="platforms"))
        elif arch in ARCHITECTURES and PLATFORMS[platform].arch != arch:
            text = f"platform {platform} is {PLATFORMS[platform].arch}, not {arch}"
            faults.append(Fault(text, key="platforms"))
    try:
        re.compile(pattern.encode())
    except re.error as error:
        faults.append(Fault(f'"{pattern}" is not a regular expression: {error}', key="done_console"))
    if not 0 < seconds <= 86400:
        faults.append(Fault("done_seconds must be more than 0 and at most a day", key="done_seconds"))
    return faults


def add(draft: Draft, principal: Principal, image: ImageRecord) -> ImageRecord:
    """Put an image whose bytes are stored into the catalogue."""
    refuse_taken(draft, image.name)
    refuse_over_share(draft, principal, image.data_bytes)
    draft.images.put(image.name, image)
    text = f'{principal.name} imported image "{image.name}" ({image.arch}, {image.size} bytes)'
    draft.event("image.imported", text, principal=principal.name, data=event_data(image))
    return image


def remove(draft: Draft, principal: Principal, name: str) -> frozenset[str]:
    """Take an image out of the catalogue; returns the artefacts it consisted of."""
    image = find_image(draft, name, principal)
    refuse_elsewhere(image, "remove it")
    if not in_charge(principal, image):
        raise ForbiddenError(f'only an admin or who imported it may remove image "{name}"')
    for run in draft.runs.values():
        if not run.status.state.ended and any(
            step.params.get("image") == name or (image.index and step.params.get("index") == image.index)
            for step in run.order.steps
        ):
            raise ConflictError(
                f'image "{name}" is in use by run {run.id} on board "{run.board}"', kind="image-in-use"
            )
    for claim in draft.claims.values():
        if claim.state is ClaimState.PENDING and claim.image == name:
            raise ConflictError(
                f'claim {claim.id} waits for a board to put image "{name}" on', kind="image-in-use"
            )
    draft.images.remove(name)
    text = f'{principal.name} removed image "{name}"'
    draft.event("image.removed", text, principal=principal.name, data=event_data(image))
    return image.artefacts


def set_agent(draft: Draft, principal: Principal, agent: Agent) -> Agent:
    """Let this be the agent of its architecture from now on."""
    admin_only(principal, "register agents")
    draft.agents.put(agent.arch, agent)
    data = {
        "kernel": agent.kernel, "initrd": agent.initrd, "trusted_keys": list(agent.trusted_keys),
        "require_signed": agent.require_signed,
    }  # fmt: skip
    trusts = f", which trusts {key_ids(agent.trusted_keys)}" if agent.trusted_keys else ""
    text = f"{principal.name} registered the agent for {agent.arch}{trusts}"
    draft.event("agent.registered", text, principal=principal.name, data=data)
    return agent


def _agent_file_fault(path: Path) -> str:
    """Return why a file cannot be part of an agent, or an empty text."""
    try:
        mode = path.stat().st_mode if path.is_absolute() else 0
    except (OSError, ValueError):
        mode = 0
    if not stat.S_ISREG(mode):
        return f'"{path}" is not a file the server can read; give an absolute path on the server'
    # It is about to be served to every board: an admin of the lab gets no secrets of the host that way.
    if not mode & stat.S_IROTH:
        return f'"{path}" is not for everybody on the server to read, and so not for boards: chmod o+r'
    return ""


def trusted(keys: Iterable[str]) -> tuple[str, ...]:
    """Return public keys that an agent trusts, each once; raises InvalidError for what is none."""
    try:
        return tuple(dict.fromkeys(checked_key(key) for key in keys))
    except SignatureError as error:
        raise InvalidError(f"trusted_keys: {error}", kind="bad-agent") from error


def check_agent(
    principal: Principal, arch: str, paths: dict[str, Path], boot_files: Mapping[str, Path] | None = None
) -> None:
    """Raise a Refusal when an agent may not be registered from these files.

    Args:
        principal: Who asks.
        arch: The agent's architecture.
        paths: ``kernel`` and ``initrd``.
        boot_files: Further files, by the name firmware asks for.
    """
    admin_only(principal, "register agents")
    if arch not in ARCHITECTURES:
        raise InvalidError(f'there is no architecture "{arch}"; known: {", ".join(ARCHITECTURES)}')
    more = boot_files or {}
    wrong = sorted(name for name in more if name in paths or not _BOOT_FILE.fullmatch(name))
    if wrong:
        text = f'boot_files: "{wrong[0]}" is not a name a boot file can have; write it like start4.elf'
        raise InvalidError(text, kind="bad-agent")
    everything = {**paths, **{f"boot_files.{name}": path for name, path in more.items()}}
    faults = tuple(
        Fault(f"{key}: {fault}", key=key)
        for key, path in everything.items()
        if (fault := _agent_file_fault(path))
    )
    if faults:
        raise InvalidError("; ".join(fault.text for fault in faults), kind="bad-agent", faults=faults)
