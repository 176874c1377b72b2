"""Taking images in: checked before a byte is read, kept only when whole, gone without a trace otherwise."""

from __future__ import annotations

import asyncio
import errno
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from urllib.parse import urlsplit

from hostler import __version__
from hostler.hub import images
from hostler.hub.errors import (
    ConflictError,
    DamagedFileError,
    InvalidError,
    NoSpaceError,
    NotFoundError,
    UnavailableError,
)
from hostler.hub.image_limits import share_left
from hostler.hub.image_names import being_captured
from hostler.hub.image_records import ImageRecord, Provenance
from hostler.hub.image_sight import seen_images
from hostler.hub.records import Agent, Principal
from hostler.hub.runs import BOOT_PATTERN, BOOT_SECONDS
from hostler.hub.state import Draft
from hostler.model.bootable import DiskTerms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from hostler.hub.hub import Hub
    from hostler.hub.images import ImageFiles, Imported, Progress
    from hostler.hub.inventory import Inventory

T = TypeVar("T")

_THREADS = 4
"""Imports, verifications and shrinks at once; others wait for their turn."""
_SHRINKS = 2
"""Images being shrunk at once: each takes a core, and twice its bytes on the disk, for minutes to hours."""


@dataclass(frozen=True, slots=True)
class ImageTerms:
    """What an image is to be called and where it may run; see ``ImageRecord``.

    Attributes:
        name: Its name.
        arch: Its architecture.
        platforms: What it boots on.
        pattern: What its console shows when it has booted.
        seconds: Longest time until then.
        size: Bytes of the disk that a root file system becomes; None: as it needs.
        append: More for the command line of its kernel.
    """

    name: str
    arch: str
    platforms: tuple[str, ...] = ()
    pattern: str = BOOT_PATTERN
    seconds: float = BOOT_SECONDS
    size: int | None = None
    append: str = ""


class ImageDesk:
    """Imports and removes images, and registers agents."""

    def __init__(self, hub: Hub, files: ImageFiles, spool: Path) -> None:
        self._hub = hub
        self._files = files
        self._spool = spool
        self._importing: set[str] = set()
        self._taking = 0
        self._unwanted: set[str] = set()
        self._dropping = asyncio.Lock()
        # Threads of its own: those that everybody shares are for what takes moments.
        self._threads = ThreadPoolExecutor(_THREADS, "images")
        self._closed = threading.Event()
        self._shrinking = 0
        shutil.rmtree(spool, ignore_errors=True)  # uploads that a crash cut off
        spool.mkdir(parents=True)

    @contextmanager
    def reserve(self, by: Principal, terms: ImageTerms) -> Iterator[None]:
        """Check the terms and keep the name for this import; raises a Refusal with every reason."""
        draft = Draft(self._hub.state, 0.0)
        images.check_new(
            draft, by, name=terms.name, arch=terms.arch, platforms=terms.platforms,
            pattern=terms.pattern, seconds=terms.seconds,
        )  # fmt: skip
        with self._named(terms.name):
            yield

    @contextmanager
    def reserve_name(self, by: Principal, name: str) -> Iterator[None]:
        """Keep a name for an import whose other terms are in what is imported; raises a Refusal."""
        images.check_name(Draft(self._hub.state, 0.0), by, name)
        with self._named(name):
            yield

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        if name in self._importing:
            raise ConflictError(f'image "{name}" is being imported at this moment')
        self._importing.add(name)
        try:
            yield
        finally:
            self._importing.discard(name)

    async def spool(self, body: AsyncIterator[bytes], into: BinaryIO) -> None:
        """Write an upload to a file; raises NoSpaceError."""
        try:
            async for block in body:
                await asyncio.to_thread(into.write, block)
            await asyncio.to_thread(into.flush)
        except OSError as error:
            raise disk_refusal(error) from error

    @property
    def files(self) -> ImageFiles:
        """Where the bytes are."""
        return self._files

    def spool_file(self) -> tempfile._TemporaryFileWrapper[bytes]:
        """Open a file for an upload; gone when it is closed."""
        return tempfile.NamedTemporaryFile(dir=self._spool, prefix="upload-")

    async def take(
        self, by: Principal, terms: ImageTerms, source: Path | str, told: str,
        progress: Callable[[Progress], None], block_map: Path | str | None = None,
        kernel: Path | None = None,
    ) -> ImageRecord:  # fmt: skip
        """Import an image under reserved terms.

        Args:
            by: Who imports it.
            terms: As given to ``reserve``.
            source: Path or URL.
            told: What the source is called in the catalogue and in errors.
            progress: Called from another thread; what it raises ends the import.
            block_map: Path or URL of a ``.bmap`` of it.
            kernel: A tar with the kernel of a root file system that has none.

        Raises:
            InvalidError: the source is at fault.
            NoSpaceError: the disk is full, or it is more than the store, or whoever imports it, may have.
        """
        barred = self.barred(by)
        left = share_left(Draft(self._hub.state, 0.0), by)
        disk = DiskTerms(
            terms.arch, terms.platforms, terms.size, terms.append, self._boot_files(terms.arch), kernel
        )
        async with self.taking():
            heeded = self.heeding(progress)
            imported = await self.at_length(
                lambda: self._files.take(source, heeded, barred, block_map, left, disk), str(source), told
            )
            image = _record(by, terms, imported, told)
            try:
                least = await self.at_length(lambda: self._files.shrinks_to(imported.index))
                image = replace(image, shrinks_to=least)
                return await self._hub.change(lambda draft: images.add(draft, by, _dated(image, draft.now)))
            except BaseException:
                self.give_up([imported.index])
                raise

    def barred(self, by: Principal) -> frozenset[str] | None:
        """Return from which hosts, besides this one, nothing is fetched for somebody; None: all are good."""
        return None if by.admin else equipment_hosts(self._hub.state.inventory)

    async def remove(self, by: Principal, name: str) -> None:
        """Remove an image; raises ConflictError while a run uses it."""
        self._unwanted |= await self._hub.change(lambda draft: images.remove(draft, by, name))
        await self._drop()

    async def register_agent(
        self,
        by: Principal,
        arch: str,
        kernel: Path,
        initrd: Path,
        boot_files: Mapping[str, Path] | None = None,
        *,
        trusted_keys: Iterable[str] = (),
        require_signed: bool = False,
    ) -> Agent:
        """Keep an agent's files and let boards boot it from now on.

        Args:
            by: Who asks; an admin.
            arch: Its architecture.
            kernel: Kernel file on this host.
            initrd: Initramfs file on this host.
            boot_files: What firmware fetches besides, by the name it asks for.
            trusted_keys: Public keys it was built to trust, hex.
            require_signed: Whether it was built to write signed images only.

        Raises:
            Refusal: Who asks may not, a file is not there, or what is to be trusted is no key.
        """
        more = dict(boot_files or {})
        images.check_agent(by, arch, {"kernel": kernel, "initrd": initrd}, more)
        keys = images.trusted(trusted_keys)
        async with self.taking():
            kept = {
                name: await self.in_thread(lambda path=path: self._files.keep(path))  # type: ignore[misc]
                for name, path in {**more, "kernel": kernel, "initrd": initrd}.items()
            }
            agent = Agent(
                arch, kept.pop("kernel"), kept.pop("initrd"), kept, keys, require_signed=require_signed
            )
            return await self._hub.change(lambda draft: images.set_agent(draft, by, agent))

    def agent_file(self, arch: str, name: str) -> Path:
        """Return where a file of a registered agent is: its ``kernel``, its ``initrd`` or a boot file.

        Raises:
            NotFoundError: There is no such agent, or it has no such file.
            UnavailableError: The store has lost it.
        """
        agent = self._hub.state.agents.get(arch)
        if agent is None:
            raise NotFoundError(f"there is no agent for {arch}; run: hostler agent build", kind="no-agent")
        files = {**agent.boot_files, "kernel": agent.kernel, "initrd": agent.initrd}
        if name not in files:
            raise NotFoundError(f'the agent for {arch} has no file "{name}"', kind="no-agent-file")
        path = self._files.file(files[name])
        if not path.is_file():
            raise UnavailableError(f'the store has lost the file "{name}" of the agent', kind="store")
        return path

    def _boot_files(self, arch: str) -> dict[str, Path]:
        """Return where the boot files of the registered agent are, by name; nothing without an agent."""
        agent = self._hub.state.agents.get(arch)
        return {name: self._files.file(one) for name, one in (agent.boot_files if agent else {}).items()}

    def artefacts(self) -> frozenset[str]:
        """Return every artefact that an agent or an image consists of, those at home elsewhere aside."""
        state = self._hub.state
        found: set[str] = set()
        for image in state.images.values():
            if not image.upstream:
                found |= image.artefacts
        for agent in state.agents.values():
            found |= {agent.kernel, agent.initrd, *agent.boot_files.values()}
        return frozenset(found)

    async def refuse_absent(self, by: Principal, names: Iterable[str]) -> None:
        """Raise ConflictError when files of one of these images, if it is there for somebody, are gone.

        Of one that is at home elsewhere the index is fetched; UnavailableError: that cannot be.
        """
        wanted = set(names)
        for image in [one for one in seen_images(self._hub.state, by) if one.name in wanted]:
            if image.upstream:
                await self._hub.upstream.index(image)
                continue
            absent = await self.in_thread(lambda image=image: sorted(filter(self._lacks, image.artefacts)))  # type: ignore[misc]
            if absent:
                raise ConflictError(
                    f'image "{image.name}" is not whole: {absent[0]} is missing from the server\'s store; '
                    "remove the image and import it again",
                    kind="artefact-missing",
                )

    def _lacks(self, artefact: str) -> bool:
        return not self._files.file(artefact).is_file()

    @asynccontextmanager
    async def still(self) -> AsyncIterator[bool]:
        """Let no import begin; yields whether it is ``quiet``."""
        async with self._dropping:
            yield self.quiet

    @property
    def quiet(self) -> bool:
        """Whether nothing in the store is of an import or a capture that is not in the catalogue yet."""
        return not self._taking and not being_captured(Draft(self._hub.state, 0.0))

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[None]:
        """Keep what nobody speaks of yet from being dropped while something is imported."""
        async with self._dropping:
            self._taking += 1
        try:
            yield
        finally:
            self._taking -= 1
            await self._drop()

    def give_up(self, artefacts: Iterable[str]) -> None:
        """Have these dropped, unless an image or an agent has them, once it is ``quiet``."""
        self._unwanted |= set(artefacts)

    async def _drop(self) -> None:
        """Remove bytes nobody speaks of any more; what cannot be removed now is swept later.

        Not while an image is taken: one of the same bytes finds them there and does not store them again.
        """
        async with self._dropping:
            while self._unwanted and self.quiet:
                artefact = self._unwanted.pop()
                if artefact in self.artefacts():
                    continue
                try:
                    await self.in_thread(lambda artefact=artefact: self._files.drop(artefact))  # type: ignore[misc]
                except UnavailableError:
                    continue

    def close(self) -> None:
        """End work that takes long, and take on no more; does not wait."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def heeding(self, progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """Return what takes progress and ends the work once the desk is closed."""

        def heeded(now: Progress) -> None:
            if self._closed.is_set():
                raise _stopping()
            progress(now)

        return heeded

    def may_shrink(self) -> None:
        """Raise ConflictError while as many images are being shrunk as may be at once."""
        if self._shrinking >= _SHRINKS:
            raise ConflictError(
                f"{self._shrinking} images are being shrunk at this moment, and no more are at once; "
                "wait until one of them is done",
                kind="shrinking",
            )

    @contextmanager
    def shrinking(self) -> Iterator[None]:
        """Take one of the places for shrinks; raises as ``may_shrink``."""
        self.may_shrink()
        self._shrinking += 1
        try:
            yield
        finally:
            self._shrinking -= 1

    async def in_thread(self, work: Callable[[], T], path: str = "", told: str = "") -> T:
        """Do what blocks for moments; its errors become refusals, with ``told`` in place of ``path``."""
        return await self._refusing(asyncio.to_thread(work), path, told)

    async def in_time(self, coming: Future[T]) -> T:
        """Wait for what others may wait for too; its errors become refusals."""
        return await self._refusing(asyncio.shield(asyncio.wrap_future(coming)), "", "")

    async def at_length(self, work: Callable[[], T], path: str = "", told: str = "") -> T:
        """Do what may take minutes to hours, as ``in_thread``; what it tells progress to is ``heeding``."""
        if self._closed.is_set():
            raise _stopping()
        doing = asyncio.get_running_loop().run_in_executor(self._threads, work)
        return await self._refusing(doing, path, told)

    async def _refusing(self, doing: Awaitable[T], path: str, told: str) -> T:
        def plain(error: Exception) -> str:
            return str(error).replace(path, told) if path else str(error)

        try:
            return await doing
        except self._files.damaged_source as error:
            raise DamagedFileError(plain(error), kind="bad-source") from error
        except self._files.bad_source as error:
            raise InvalidError(plain(error), kind="bad-source") from error
        except self._files.no_space as error:
            raise NoSpaceError(plain(error)) from error
        except self._files.bad_store as error:
            raise UnavailableError(plain(error), kind="store") from error
        except OSError as error:
            raise disk_refusal(error) from error


def _stopping() -> UnavailableError:
    return UnavailableError(
        "the server is being stopped; nothing was kept: do it again later", kind="stopping"
    )


def disk_refusal(error: OSError) -> NoSpaceError | UnavailableError:
    """Return what is said when a disk of the server's refuses."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(f"there is no space left on the server's disk: {error}")
    return UnavailableError(f"the server's disk refused: {error}", kind="disk")


def equipment_hosts(inventory: Inventory) -> frozenset[str]:
    """Return the hosts that switch boards and carry their consoles: some do what any request says."""
    wires = [wire for board in inventory.boards.values() for wire in (*board.power, board.console) if wire]
    tables = [unit.params for unit in inventory.equipment.values()] + [wire.params for wire in wires]
    named = (table[key] for table in tables for key in ("host", "address") if isinstance(table.get(key), str))
    return frozenset(host for name in named if (host := urlsplit(f"//{name}").hostname))


def _record(by: Principal, terms: ImageTerms, imported: Imported, told: str) -> ImageRecord:
    return ImageRecord(
        terms.name, terms.arch, terms.platforms, imported.index, imported.size, imported.data_bytes,
        imported.chunk_size, terms.pattern, terms.seconds, 0.0, told, by.name,
        provenance=Provenance(
            imported.source_sha256, __version__, imported.chunks_new + imported.chunks_known,
            imported.chunks_new, imported.stored_bytes,
        ),
    )  # fmt: skip


def _dated(image: ImageRecord, now: float) -> ImageRecord:
    return replace(image, created=now)
