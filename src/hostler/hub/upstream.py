"""Images of another server that can be deployed here: the catalogue follows what it offers.

What is here under a name of its own stays; an image of the upstream that has the same name is not seen. One
that the upstream offers no more goes, once no run uses it. While the upstream cannot be reached, what it
offered last stays: what is in the cache can be deployed.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import BaseModel, Field, ValidationError

from hostler.hub.errors import ConflictError, Refusal, UnavailableError
from hostler.hub.image_names import being_captured
from hostler.hub.image_records import ImageKind, ImageRecord, Provenance
from hostler.hub.images import term_faults
from hostler.model.chunkindex import MAX_CHUNK_SIZE, MAX_SIZE, MIN_CHUNK_SIZE
from hostler.model.signature import Signature, SignatureError
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from hostler.hub.hub import Hub
    from hostler.hub.images import Progress
    from hostler.hub.inventory import UpstreamPlan
    from hostler.hub.state import Draft
    from hostler.model.stored_images import Verified

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often the upstream is asked what it offers."""
_CHANGE_SECONDS = 1.0  # how late a change of lab.toml is seen
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class UpstreamTerms:
    """Whom to ask, with the secrets themselves.

    Attributes:
        url: Its address.
        token: By what right.
        ca: Certificates that vouch for it (PEM); None: the system's.
        cache: Bytes to keep here.
    """

    url: str
    token: str
    ca: str | None
    cache: int


class UpstreamFiles(Protocol):
    """Where the bytes of the upstream's images come from. Methods block, and are called from a thread."""

    @property
    def unreachable(self) -> tuple[type[Exception], ...]:
        """What ``offered`` raises while the upstream cannot be asked; the text says why."""
        ...

    def follow(self, terms: UpstreamTerms | None, names: Mapping[str, str]) -> None:
        """Have this upstream from now on; names by the ids of the indexes it offers, as far as is known."""
        ...

    def offered(self) -> list[object]:
        """Return the documents of its images."""
        ...

    def offers(self, names: Mapping[str, str]) -> None:
        """Take note of which images may be deployed here: names by the ids of their indexes."""
        ...

    def bring_index(self, index: str) -> Future[Path]:
        """Ask for the index of one of them, and where it is; takes moments. Not to be cancelled."""
        ...

    def fetch(self, index: str, progress: Callable[[Progress], None]) -> None:
        """Fetch all of an image; what ``progress`` raises ends that."""
        ...

    def verify_cache(self, progress: Callable[[Progress], None]) -> Verified:
        """Look through what is kept here; damaged chunks are removed, and fetched anew when needed."""
        ...


class _Done(BaseModel):
    console: str = Field(max_length=1000)
    seconds: float = Field(gt=0, le=86400)


class _Signed(BaseModel):
    key: str
    signature: str


class _Provenance(BaseModel):
    sha256: str | None = Field(None, max_length=64)
    version: str | None = Field(None, max_length=100)
    chunks: int = Field(0, ge=0)


class _Offer(BaseModel):
    """What is needed of an image's document; anything else may be there as well."""

    name: str
    arch: str
    platforms: list[str] = Field(max_length=100)
    index: _Digest
    size: int = Field(ge=0, le=MAX_SIZE)
    data_bytes: int = Field(ge=0, le=MAX_SIZE)
    chunk_size: int = Field(ge=MIN_CHUNK_SIZE, le=MAX_CHUNK_SIZE)
    done: _Done
    source: str = Field(max_length=4000)
    provenance: _Provenance
    signatures: list[_Signed] = Field(max_length=16)


def offered(documents: Iterable[object], url: str, now: float, told: set[str]) -> dict[str, ImageRecord]:
    """Return the images that can be taken over, by name.

    Only images of disks that are the upstream's own and there for everybody are. What is wrong with others
    is logged, unless it is among ``told``, which has it all afterwards.
    """
    found: dict[str, ImageRecord] = {}
    wrong: set[str] = set()
    for document in documents:
        if not isinstance(document, dict) or document.get("kind") != ImageKind.DISK.value:
            continue
        if document.get("upstream") or document.get("project"):
            continue
        try:
            offer = _Offer.model_validate(document)
            signatures = tuple(Signature.of(one.key, one.signature) for one in offer.signatures)
            fault = "; ".join(
                one.text
                for one in term_faults(
                    offer.name, offer.arch, offer.platforms, offer.done.console, offer.done.seconds
                )
            )
        except (ValidationError, SignatureError) as error:
            fault = str(error)
        if fault:
            name = printable(str(document.get("name")), 100)
            wrong.add(f"image {name} of {url} cannot be taken over: {printable(fault, 300)}")
            continue
        found[offer.name] = ImageRecord(
            offer.name, offer.arch, tuple(offer.platforms), offer.index, offer.size, offer.data_bytes,
            offer.chunk_size, offer.done.console, offer.done.seconds, now, printable(offer.source, 4000),
            signatures=signatures,
            provenance=Provenance(
                offer.provenance.sha256 or "", offer.provenance.version or "", offer.provenance.chunks
            ),
            upstream=url,
        )  # fmt: skip
    for text in sorted(wrong - told):
        log.warning("%s", text)
    told.clear()
    told |= wrong
    return found


def take_over(draft: Draft, found: Mapping[str, ImageRecord]) -> None:
    """Let the catalogue have exactly these images of an upstream, as far as names and runs allow."""
    used = {
        str(step.params.get("index"))
        for run in draft.runs.values()
        if not run.status.state.ended
        for step in run.order.steps
    }
    for old in [image for image in draft.images.values() if image.upstream]:
        new = found.get(old.name)
        gone = new is None or new.upstream != old.upstream
        if old.index in used and (gone or (new is not None and new.index != old.index)):
            continue
        if gone:
            draft.images.remove(old.name)
            _tell(draft, "image.removed", f'image "{old.name}" is offered by {old.upstream} no more', old)
    captured = being_captured(draft)
    for name, image in found.items():
        known = draft.images.get(name)
        if (known is not None and (not known.upstream or known.index in used)) or name in captured:
            continue
        if known is None or replace(image, created=known.created) != known:
            draft.images.put(name, image)
            if known is None or known.index != image.index:
                _tell(draft, "image.offered", f'image "{name}" is offered by {image.upstream}', image)


def _tell(draft: Draft, kind: str, text: str, image: ImageRecord) -> None:
    draft.event(kind, text, data={"image": image.name, "index": image.index, "project": ""})


class UpstreamImages:
    """Follows the upstream that the inventory names.

    Args:
        hub: The lab.
        files: What fetches; None: this server follows nobody.
        reveal: Returns a secret by its reference; raises ValueError.
    """

    def __init__(self, hub: Hub, files: UpstreamFiles | None, reveal: Callable[[str], str]) -> None:
        self._hub = hub
        self._own = files
        self._reveal = reveal
        self._problem = ""
        self._told: set[str] = set()
        self._followed: UpstreamTerms | None = None
        self._settled = False
        self._due = 0.0

    async def run(self) -> None:
        """Follow until cancelled."""
        if self._own is None:
            return
        while True:
            try:
                await self._round()
            except Exception as error:  # a cache that cannot be written costs its images, and not the lab
                if self._problem != str(error):
                    log.exception("the upstream is not followed")
                self._problem = str(error)
            await asyncio.sleep(_CHANGE_SECONDS)

    async def _round(self) -> None:
        plan = self._hub.state.inventory.upstream
        terms = await asyncio.to_thread(self._terms, plan) if plan is not None else None
        # One whose secret cannot be read just now is followed as before.
        if (terms is not None or plan is None) and (terms != self._followed or not self._settled):
            self._settled = False
            await asyncio.to_thread(self._files.follow, terms, self._names())
            self._followed, self._settled, self._due = terms, True, 0.0
        if self._settled and time.monotonic() >= self._due:
            await self._look(self._followed)
            self._due = time.monotonic() + LOOK_SECONDS

    async def index(self, image: ImageRecord) -> None:
        """Have the index of an image of the upstream here, and see that its signatures hold for it.

        Raises:
            UnavailableError: it cannot be had.
            ConflictError: a signature is of something else.
        """
        desk = self._hub.images
        path = await desk.in_time(await desk.in_thread(lambda: self._files.bring_index(image.index)))
        encoded = await desk.in_thread(path.read_bytes)
        if not all(signature.holds(encoded) for signature in image.signatures):
            raise ConflictError(
                f'a signature of image "{image.name}" at {image.upstream} is not of this image; '
                "look into it there",
                kind="bad-signature",
            )

    async def fetch(self, image: ImageRecord, progress: Callable[[Progress], None]) -> None:
        """Fetch all of an image of the upstream, for boards to find it here."""
        desk = self._hub.images
        heeded = desk.heeding(progress)
        await desk.at_length(lambda: self._files.fetch(image.index, heeded))

    async def verify(self, progress: Callable[[Progress], None]) -> Verified:
        """Look through what is kept here."""
        desk = self._hub.images
        heeded = desk.heeding(progress)
        return await desk.at_length(lambda: self._files.verify_cache(heeded))

    @property
    def _files(self) -> UpstreamFiles:
        if self._own is None:
            raise UnavailableError("this server follows no upstream", kind="no-upstream")
        return self._own

    def _terms(self, plan: UpstreamPlan) -> UpstreamTerms | None:
        try:
            token = self._reveal(plan.token).strip()
            ca = Path(plan.ca.removeprefix("file:")).read_text() if plan.ca else None
        except (OSError, ValueError) as error:
            self._say(f"{plan.url} cannot be asked: {error}")
            return None
        # What no header takes would come back in an error, and so in the log.
        if not re.fullmatch(r"[!-~]+", token):
            self._say(f"{plan.url} cannot be asked: token in lab.toml must be one word of ASCII, in one line")
            return None
        return UpstreamTerms(plan.url, token, ca, plan.cache)

    async def _look(self, terms: UpstreamTerms | None) -> None:
        """Take over what is offered now; keep what was offered while that cannot be known."""
        found: Mapping[str, ImageRecord] = {}
        if terms is not None:
            try:
                documents = await asyncio.to_thread(self._files.offered)
            except self._files.unreachable as error:
                self._say(f"{terms.url} cannot be asked for its images: {error}")
                return
            self._say("")
            found = offered(documents, terms.url, time.time(), self._told)
            # Before they are seen: who sees one may deploy it.
            coming = self._names() | {image.index: image.name for image in found.values()}
            await asyncio.to_thread(self._files.offers, coming)
        if found or any(image.upstream for image in self._hub.state.images.values()):
            try:
                await self._hub.change(lambda draft: take_over(draft, found))
            except Refusal as error:
                log.warning("the images of the upstream are not taken over: %s", error)
        await asyncio.to_thread(self._files.offers, self._names())

    def _names(self) -> dict[str, str]:
        return {one.index: one.name for one in self._hub.state.images.values() if one.upstream}

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem
