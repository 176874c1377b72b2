"""Files on their way from a client: each goes on where it stopped, and only whoever began it can say so.

An upload is two files in a folder of the hub's: what has come so far, whose length is the offset, and what it
is to become. So an upload outlives the server. (ext4, XFS and btrfs lengthen a file on the disk only once its
data is there: what is found after a power cut is good.)
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from hostler.hub.access import member_only
from hostler.hub.errors import ConflictError, DamagedFileError, InvalidError, NoSpaceError, NotFoundError
from hostler.hub.image_desk import disk_refusal
from hostler.model.store_room import kept_free

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from hostler.hub.records import Principal

log = logging.getLogger(__name__)

LIFE_SECONDS = 24 * 3600.0
"""How long an upload waits for its next byte: over a night in which a laptop sleeps."""
MOST_EACH = 32
"""Uploads of one person that are not imported yet; a CI sends some images side by side."""
SILENCE_SECONDS = 60.0
"""Longest time without a byte in a request; then the client is taken for gone, and may come back."""
_SWEEP_SECONDS = 600.0
_DATA, _TERMS = ".data", ".json"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that comes.

    Attributes:
        key: Its id, which nobody guesses.
        owner: Name of whoever sends it.
        length: Its bytes.
        filename: What it is called there.
        fingerprint: What the client knows it by when it begins anew; empty: it does not look for it.
    """

    key: str
    owner: str
    length: int
    filename: str = ""
    fingerprint: str = ""


@dataclass(eq=False)
class _Writer:
    """A request whose body is being written; what ends it, and what tells that it has ended."""

    waiting: asyncio.Timeout | None
    ended: asyncio.Event
    unwanted: bool = False

    def stop(self) -> None:
        self.unwanted = True
        if self.waiting is not None:
            with suppress(RuntimeError):  # it is over at this very moment
                self.waiting.reschedule(asyncio.get_running_loop().time())


class Uploads:
    """Takes uploads in, and forgets those that nobody goes on with.

    Args:
        folder: Theirs alone.
        clock: Tells Unix time.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._writers: dict[str, _Writer] = {}
        self._used: set[str] = set()
        self._known: dict[str, Upload] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._find_again()

    def create(self, by: Principal, length: int, filename: str = "", fingerprint: str = "") -> Upload:
        """Begin an upload.

        Raises:
            ForbiddenError: They may not import images.
            ConflictError: They have begun too many.
            NoSpaceError: There is no room for it; the text has the numbers.
        """
        member_only(by, "import images")
        self.sweep()
        own = self.of(by)
        if len(own) >= MOST_EACH:
            raise ConflictError(
                f"{by.name} has {len(own)} unfinished uploads, and no more are kept; finish or remove some",
                kind="uploads",
            )
        upload = Upload(secrets.token_hex(16), by.name, length, filename, fingerprint)
        try:
            self._refuse_too_long(by, length, own)
            self._data(upload.key).touch(0o600)
            # The second file makes it an upload: one alone is what a crash left.
            scratch = self._folder / f"{upload.key}.new"
            scratch.write_text(json.dumps(asdict(upload)))
            scratch.replace(self._terms(upload.key))
        except OSError as error:
            raise disk_refusal(error) from error
        self._known[upload.key] = upload
        return upload

    def of(self, by: Principal) -> list[Upload]:
        """Return somebody's uploads."""
        return [upload for upload in self._there() if upload.owner == by.name]

    def find(self, by: Principal, key: str) -> Upload:
        """Return an upload of somebody's; raises NotFoundError, also for those of others."""
        upload = self._known.get(key)
        if upload is None or upload.owner != by.name or not self._is_there(upload):
            raise NotFoundError(
                f'there is no upload "{key[:40]}": it was imported or removed, or nothing came for '
                f"{LIFE_SECONDS / 3600:.0f} hours; send the file anew",
                kind="unknown-upload",
            )
        return upload

    def offset(self, upload: Upload) -> int:
        """Return how many bytes of it have come."""
        return self._data(upload.key).stat().st_size

    def expires(self, upload: Upload) -> float:
        """Return when it is forgotten, in Unix time, unless more of it comes."""
        return self._data(upload.key).stat().st_mtime + LIFE_SECONDS

    async def settled(self, by: Principal, key: str) -> Upload:
        """End a request that still writes to it, as of a connection that is no more, and return it."""
        upload = self.find(by, key)
        while (writer := self._writers.get(key)) is not None:
            writer.stop()
            await writer.ended.wait()
        return self.find(by, upload.key)

    async def append(self, by: Principal, key: str, offset: int, body: AsyncIterator[bytes]) -> int:
        """Write what comes; returns the new offset. What has come stays, however it ends.

        Raises:
            ConflictError: ``offset`` is not where it stopped, or it is being imported.
            InvalidError: It is more than it was to be.
        """
        upload = await self.settled(by, key)
        at = self.offset(upload)
        if offset != at:
            raise ConflictError(f"{at} bytes have come, so the next is not at {offset}", kind="offset")
        if key in self._used:
            raise ConflictError("it is being imported at this moment", kind="upload-in-use")
        writer = self._writers[key] = _Writer(None, asyncio.Event())
        try:
            with self._data(key).open("r+b") as file:
                file.seek(at)
                while (block := await _next(writer, body)) is not None:
                    if at + len(block) > upload.length:
                        raise InvalidError(f"it is longer than the {upload.length} bytes that it was to be")
                    await asyncio.to_thread(file.write, block)
                    at += len(block)
        except OSError as error:
            raise disk_refusal(error) from error
        finally:
            del self._writers[key]
            writer.ended.set()
        return at

    async def remove(self, by: Principal, key: str) -> None:
        """Forget an upload; raises ConflictError while it is imported."""
        upload = await self.settled(by, key)
        if key in self._used:
            raise ConflictError("it is being imported at this moment", kind="upload-in-use")
        try:
            self._drop(upload)
        except OSError as error:
            raise disk_refusal(error) from error

    def forget(self, owner: str) -> None:
        """Forget all that somebody who is no more has sent, or sends or imports now."""
        gone = [upload for upload in self._known.values() if upload.owner == owner]
        for upload in gone:
            if (writer := self._writers.get(upload.key)) is not None:
                writer.stop()
        self._forget(gone)

    @contextmanager
    def imported(self, by: Principal, keys: Sequence[str]) -> Iterator[list[Path]]:
        """Give out files that have come whole, in the block.

        They are gone after it, unless it ends with an error other than that one of them is damaged: then it
        can be tried again, with other terms too.

        Raises:
            ConflictError: One of them has not come whole, or is imported already.
        """
        found = [self.find(by, key) for key in keys]
        for upload in found:
            if (come := self.offset(upload)) < upload.length:
                raise ConflictError(
                    f"{come} of its {upload.length} bytes have come; send the others first", kind="unfinished"
                )
            if upload.key in self._used:
                raise ConflictError("the upload is being imported at this moment", kind="upload-in-use")
        if len(set(keys)) < len(keys):
            raise InvalidError("one upload cannot be two files of an import")
        self._used |= set(keys)
        try:
            yield [self._data(upload.key) for upload in found]
        except DamagedFileError:
            self._forget(found)
            raise
        else:
            self._forget(found)
        finally:
            self._used -= set(keys)

    async def run(self) -> None:
        """Forget what nobody goes on with, until cancelled."""
        while True:
            self.sweep()
            await asyncio.sleep(_SWEEP_SECONDS)

    def sweep(self) -> None:
        """Forget what nobody has gone on with."""
        now = self._clock()
        for upload in self._there():
            if upload.key in self._used or upload.key in self._writers:
                continue
            with _told(upload):
                if self.expires(upload) < now:
                    self._drop(upload)

    def _refuse_too_long(self, by: Principal, length: int, own: Sequence[Upload]) -> None:
        disk = shutil.disk_usage(self._folder)
        come = {upload: self.offset(upload) for upload in self._there()}
        awaited = sum(upload.length - there for upload, there in come.items())
        room = disk.free - kept_free(disk.total) - awaited
        if not by.admin:
            # An import needs about as much again for the image, and others want to send something too.
            room = min(room, (room + awaited + sum(come.values())) // 2 - sum(one.length for one in own))
        if length > room:
            raise NoSpaceError(
                f"the file has {length} bytes, and the server has room for {max(room, 0)} of what {by.name} "
                "sends; remove images or unfinished uploads, or give it a larger disk"
            )

    def _find_again(self) -> None:
        """Take up what was there when the server ended."""
        for path in self._folder.glob(f"*{_TERMS}"):
            try:
                upload = Upload(**json.loads(path.read_text()))
                self.offset(upload)
            except (ValueError, TypeError, OSError):
                continue
            if path == self._terms(upload.key):
                self._known[upload.key] = upload
        for path in self._folder.iterdir():
            if path.stem not in self._known or path.suffix not in (_DATA, _TERMS):
                path.unlink(missing_ok=True)

    def _there(self) -> list[Upload]:
        """Return the uploads; those whose data somebody has removed from the folder are forgotten."""
        self._forget([upload for upload in self._known.values() if not self._is_there(upload)])
        return list(self._known.values())

    def _is_there(self, upload: Upload) -> bool:
        try:
            return self._data(upload.key).exists()
        except OSError:
            return True  # a disk that does not say is no reason to forget

    def _forget(self, uploads: Sequence[Upload]) -> None:
        for upload in uploads:
            with _told(upload):
                self._drop(upload)

    def _drop(self, upload: Upload) -> None:
        """Forget an upload; raises OSError when its files stay: it is there again after a restart."""
        self._known.pop(upload.key, None)
        # The terms first: data alone is cleared away at the next start.
        self._terms(upload.key).unlink(missing_ok=True)
        self._data(upload.key).unlink(missing_ok=True)

    def _data(self, key: str) -> Path:
        return self._folder / f"{key}{_DATA}"

    def _terms(self, key: str) -> Path:
        return self._folder / f"{key}{_TERMS}"


@contextmanager
def _told(upload: Upload) -> Iterator[None]:
    """Log a disk that refuses: it costs this upload's room, and not the server."""
    try:
        yield
    except OSError as error:
        log.warning("the files of upload %s cannot be cleared away: %s", upload.key, error)


async def _next(writer: _Writer, body: AsyncIterator[bytes]) -> bytes | None:
    """Return the next of a body; None: it has ended, is silent, or somebody else goes on with the upload."""
    while not writer.unwanted:
        try:
            async with asyncio.timeout(SILENCE_SECONDS) as writer.waiting:
                block = await anext(body, None)
        except TimeoutError:
            return None
        finally:
            writer.waiting = None
        if block is None or block:
            return block
    return None
