"""Taking images in: checked before a byte is read, kept only when whole, gone without a trace otherwise."""

from __future__ import annotations

import asyncio
import errno
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from urllib.parse import urlsplit

from hostler.hub import images
from hostler.hub.errors import ConflictError, InvalidError, NoSpaceError, NotFoundError, UnavailableError
from hostler.hub.records import Agent, ImageRecord, Principal
from hostler.hub.runs import BOOT_PATTERN, BOOT_SECONDS
from hostler.hub.state import Draft

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from hostler.hub.hub import Hub
    from hostler.hub.images import ImageFiles, Imported, Progress
    from hostler.hub.inventory import Inventory

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ImageTerms:
    """What an image is to be called and where it may run; see ``ImageRecord``."""

    name: str
    arch: str
    platforms: tuple[str, ...] = ()
    pattern: str = BOOT_PATTERN
    seconds: float = BOOT_SECONDS


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
        if terms.name in self._importing:
            raise ConflictError(f'image "{terms.name}" is being imported at this moment')
        self._importing.add(terms.name)
        try:
            yield
        finally:
            self._importing.discard(terms.name)

    async def spool(self, body: AsyncIterator[bytes], into: BinaryIO) -> None:
        """Write an upload to a file; raises NoSpaceError."""
        try:
            async for block in body:
                await asyncio.to_thread(into.write, block)
            await asyncio.to_thread(into.flush)
        except OSError as error:
            raise _disk(error) from error

    def spool_file(self) -> tempfile._TemporaryFileWrapper[bytes]:
        """Open a file for an upload; gone when it is closed."""
        return tempfile.NamedTemporaryFile(dir=self._spool, prefix="upload-")

    async def take(
        self, by: Principal, terms: ImageTerms, source: Path | str, told: str,
        progress: Callable[[Progress], None],
    ) -> ImageRecord:  # fmt: skip
        """Import an image under reserved terms.

        Args:
            by: Who imports it.
            terms: As given to ``reserve``.
            source: Path or URL.
            told: What the source is called in the catalogue and in errors.
            progress: Called from another thread; what it raises ends the import.

        Raises:
            InvalidError: the source is at fault.
            NoSpaceError: the disk is full.
        """
        barred = None if by.admin else equipment_hosts(self._hub.state.inventory)
        async with self._dropping:
            self._taking += 1
        try:
            imported = await self._in_thread(
                lambda: self._files.take(source, progress, barred), str(source), told
            )
            image = _record(by, terms, imported, told)
            try:
                return await self._hub.change(lambda draft: images.add(draft, by, _dated(image, draft.now)))
            except BaseException:
                self._unwanted.add(imported.index)
                raise
        finally:
            self._taking -= 1
            await self._drop()

    async def remove(self, by: Principal, name: str) -> None:
        """Remove an image; raises ConflictError while a run uses it."""
        index = await self._hub.change(lambda draft: images.remove(draft, by, name))
        if index is not None:
            self._unwanted.add(index)
            await self._drop()

    async def register_agent(
        self,
        by: Principal,
        arch: str,
        kernel: Path,
        initrd: Path,
        boot_files: Mapping[str, Path] | None = None,
    ) -> Agent:
        """Keep an agent's files and let boards boot it from now on.

        Args:
            by: Who asks; an admin.
            arch: Its architecture.
            kernel: Kernel file on this host.
            initrd: Initramfs file on this host.
            boot_files: What firmware fetches besides, by the name it asks for.

        Raises:
            Refusal: Who asks may not, or a file is not there.
        """
        more = dict(boot_files or {})
        images.check_agent(by, arch, {"kernel": kernel, "initrd": initrd}, more)
        kept = {
            name: await self._in_thread(lambda path=path: self._files.keep(path))  # type: ignore[misc]
            for name, path in {**more, "kernel": kernel, "initrd": initrd}.items()
        }
        agent = Agent(arch, kept.pop("kernel"), kept.pop("initrd"), kept)
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

    async def _drop(self) -> None:
        """Remove bytes nobody speaks of any more; what cannot be removed now is swept later.

        Not while an image is taken: one of the same bytes finds them there and does not store them again.
        """
        async with self._dropping:
            while self._unwanted and not self._taking:
                index = self._unwanted.pop()
                if any(image.index == index for image in self._hub.state.images.values()):
                    continue
                try:
                    await self._in_thread(lambda index=index: self._files.drop(index))  # type: ignore[misc]
                except UnavailableError:
                    continue

    async def _in_thread(self, work: Callable[[], T], path: str = "", told: str = "") -> T:
        def plain(error: Exception) -> str:
            return str(error).replace(path, told) if path else str(error)

        try:
            return await asyncio.to_thread(work)
        except self._files.bad_source as error:
            raise InvalidError(plain(error), kind="bad-source") from error
        except self._files.no_space as error:
            raise NoSpaceError(plain(error)) from error
        except self._files.bad_store as error:
            raise UnavailableError(plain(error), kind="store") from error
        except OSError as error:
            raise _disk(error) from error


def _disk(error: OSError) -> NoSpaceError | UnavailableError:
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
    )  # fmt: skip


def _dated(image: ImageRecord, now: float) -> ImageRecord:
    return replace(image, created=now)
