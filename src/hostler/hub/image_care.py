"""Care of the stored images: looking through them, comparing them, clearing up, giving them out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.hub.access import admin_only, member_only
from hostler.hub.errors import ConflictError, InvalidError
from hostler.hub.image_home import refuse_elsewhere
from hostler.hub.image_records import ImageKind, ImageRecord
from hostler.hub.image_sight import find_image, seen_images, sees
from hostler.model.stored_images import Swept, Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hostler.hub.hub import Hub
    from hostler.hub.image_store import Chunks, Exported
    from hostler.hub.images import ImageFiles, Progress
    from hostler.hub.records import Principal
    from hostler.hub.state import Draft, State
    from hostler.model.stored_images import ImageDiff, StoreFault


@dataclass(frozen=True, slots=True)
class FaultReport:
    """A fault, and whose it is.

    Attributes:
        kind: ``missing``, ``damaged`` or ``unreadable``.
        chunk: Whether it is a chunk, which images share; else a file of its own.
        id: SHA-256 it should have.
        images: Images that need it, by name.
        agents: Agents that need it, by architecture.
        text: What was found, where there is more to say.
    """

    kind: str
    chunk: bool
    id: str
    images: tuple[str, ...]
    agents: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a look through images found.

    Attributes:
        images: Their names.
        chunks: Chunks decompressed and hashed.
        files: Files hashed.
        read_bytes: Bytes read, as stored.
        faults: What is wrong.
        removed: Damaged chunks of images at home elsewhere: they are fetched anew when they are needed.
    """

    images: tuple[str, ...]
    chunks: int
    files: int
    read_bytes: int
    faults: tuple[FaultReport, ...]
    removed: int = 0


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What was, or would be, cleared away.

    Attributes:
        swept: Of what, how much.
        waiting: Files that may be of an import under way; those that are not go when it has ended.
        dry_run: Whether nothing was removed.
    """

    swept: Swept
    waiting: int
    dry_run: bool


class ImageCare:
    """Looks after the images of a hub."""

    def __init__(self, hub: Hub, files: ImageFiles) -> None:
        self._hub = hub
        self._files = files
        self._verifying = False
        files.limit_to(lambda: hub.state.inventory.image_limit)

    async def diff(self, by: Principal, first: str, second: str) -> ImageDiff:
        """Compare two images of disks; raises a Refusal when one is not there or is none."""
        indexes = [self._disk(by, name).index for name in (first, second)]
        return await self._hub.images.in_thread(lambda: self._files.diff(*indexes))

    async def export(self, by: Principal, name: str, form: str) -> Exported:
        """Open an image of a disk to be given out; for members, as it is theirs to deploy."""
        member_only(by, "export images")
        index = self._disk(by, name).index
        return await self._hub.images.in_thread(lambda: self._files.export(index, form))

    async def block_map(self, by: Principal, name: str) -> bytes:
        """Return the block map of an image of a disk."""
        member_only(by, "export images")
        index = self._disk(by, name).index
        return await self._hub.images.in_thread(lambda: self._files.block_map(index))

    async def chunks(self, by: Principal, name: str, digests: Sequence[str]) -> Chunks:
        """Open chunks of an image of a disk, for another server; for members, as an export is."""
        member_only(by, "fetch chunks of images")
        index = self._disk(by, name).index
        return await self._hub.images.in_thread(lambda: self._files.chunks(index, digests))

    def may_fetch(self, by: Principal, name: str) -> ImageRecord:
        """Return an image that somebody wants to have here; raises a Refusal."""
        member_only(by, "fetch images")
        return find_image(self._hub.state, name, by)

    async def fetch(self, image: ImageRecord, progress: Callable[[Progress], None]) -> None:
        """Have all of an image of the upstream here, before boards ask for it; one that is here, is."""
        if image.upstream:
            await self._hub.upstream.index(image)
            await self._hub.upstream.fetch(image, progress)

    def may_verify(self, by: Principal, name: str | None) -> list[str]:
        """Return the names of the images ``verify`` would look through; raises as that does."""
        member_only(by, "verify images")
        state = self._hub.state
        found = seen_images(state, by) if name is None else [find_image(state, name, by)]
        if self._verifying:
            raise ConflictError("the images are being verified at this moment", kind="verifying")
        return [image.name for image in found]

    async def verify(
        self, by: Principal, name: str | None, progress: Callable[[Progress], None]
    ) -> VerifyReport:
        """Look through an image, or all images and agents; an event tells what is wrong.

        Args:
            by: Who asks; a member.
            name: Which image; None: all of them.
            progress: Called from another thread; what it raises ends the work.

        Raises:
            NotFoundError: there is no such image.
            ConflictError: somebody does so at this moment.
        """
        chosen = self.may_verify(by, name)
        state = self._hub.state
        here = [state.images[one] for one in chosen if not state.images[one].upstream]
        wanted = frozenset().union(*(image.artefacts for image in here))
        if name is None:
            wanted |= self._hub.images.artefacts()
        self._verifying = True
        try:
            heeded = self._hub.images.heeding(progress)
            found = await self._hub.images.at_length(lambda: self._files.verify(wanted, heeded))
            cached = Verified(0, 0, 0, ())
            if len(here) < len(chosen):
                cached = await self._hub.upstream.verify(progress)
        finally:
            self._verifying = False
        if found.faults:
            await self._hub.change(lambda draft: _tell(draft, by, found.faults))
        faults = _reports(self._hub.state, found.faults, lambda image: sees(by, image))
        return VerifyReport(
            tuple(chosen), found.chunks + cached.chunks, found.artefacts,
            found.read_bytes + cached.read_bytes, faults, len(cached.faults),
        )  # fmt: skip

    async def sweep(self, by: Principal, *, dry_run: bool) -> SweepReport:
        """Clear away what no image and no agent needs; imports under way lose nothing.

        Args:
            by: Who asks; an admin.
            dry_run: Only tell what would go.
        """
        admin_only(by, "clear the image store")
        desk = self._hub.images
        async with desk.still() as quiet:
            lost = frozenset(await desk.in_thread(self._files.kept)) - desk.artefacts()
            going = lost if quiet else frozenset()
            found = await desk.in_thread(lambda: self._files.sweep(going, dry_run=dry_run))
        if not dry_run:
            desk.give_up(lost - going)
        if found.freed_bytes and not dry_run:
            text = f"{by.name} cleared {found.freed_bytes} bytes from the image store"
            data = {"freed_bytes": found.freed_bytes}
            await self._hub.change(
                lambda draft: draft.event("image.swept", text, principal=by.name, data=data)
            )
        return SweepReport(found, len(lost - going), dry_run)

    def _disk(self, by: Principal, name: str) -> ImageRecord:
        image = find_image(self._hub.state, name, by)
        if image.kind is not ImageKind.DISK:
            raise InvalidError(
                f'image "{name}" is a system that comes over the network; this is for images of disks',
                kind="not-a-disk",
            )
        refuse_elsewhere(image, "do so")
        return image


def _tell(draft: Draft, by: Principal, faults: Iterable[StoreFault]) -> None:
    """Tell of faults by an event, and by one more for each project that has images of its own."""
    for project in sorted({"", *(image.project for image in draft.images.values())}):
        told = _reports(draft, faults, lambda image, whose=project: image.project == whose)  # type: ignore[misc]
        if project:
            told = tuple(report for report in told if report.images)
        if told:
            images = sorted({image for report in told for image in report.images})
            draft.event(
                "image.damaged", _faults_text(told), principal=by.name,
                data={"images": images, "project": project},
            )  # fmt: skip


def _reports(
    known: Draft | State, faults: Iterable[StoreFault], told_of: Callable[[ImageRecord], bool]
) -> tuple[FaultReport, ...]:
    """Return of each fault which of some images, and which agents, need what is at fault."""
    reports = []
    for fault in faults:
        needed = frozenset(fault.artefacts)
        images = sorted(
            image.name for image in known.images.values() if image.artefacts & needed and told_of(image)
        )
        agents = sorted(
            agent.arch
            for agent in known.agents.values()
            if needed & {agent.kernel, agent.initrd, *agent.boot_files.values()}
        )
        if images or agents:
            reports.append(
                FaultReport(str(fault.kind), fault.chunk, fault.id, tuple(images), tuple(agents), fault.text)
            )
    return tuple(reports)


def _faults_text(faults: tuple[FaultReport, ...]) -> str:
    images = sorted({image for fault in faults for image in fault.images})
    agents = sorted({agent for fault in faults for agent in fault.agents})
    whose = [*(f'image "{name}"' for name in images), *(f"the agent for {name}" for name in agents)]
    return f"{len(faults)} stored pieces are missing or damaged, of {', '.join(whose)}"
