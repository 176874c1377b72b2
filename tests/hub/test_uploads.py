"""Uploads that wait on the server: how many, how long, and for whom."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from hostler.hub.errors import (
    ConflictError,
    DamagedFileError,
    InvalidError,
    NoSpaceError,
    NotFoundError,
    UnavailableError,
)
from hostler.hub.records import Principal, Role
from hostler.hub.uploads import LIFE_SECONDS, MOST_EACH, Uploads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ANNA, BERT, ADMIN = (
    Principal("anna", Role.MEMBER),
    Principal("bert", Role.MEMBER),
    Principal("root", Role.ADMIN),
)


async def body(*blocks: bytes) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


async def test_what_has_come_outlives_the_server(tmp_path: Path) -> None:
    """A second server on the same folder knows each upload and its offset; what a crash left is cleared."""
    before = Uploads(tmp_path)
    upload = before.create(ANNA, 10, "disk.raw", "print")
    assert await before.append(ANNA, upload.key, 0, body(b"abc", b"de")) == 5
    (tmp_path / "half.data").write_bytes(b"x")
    (tmp_path / "half.new").write_bytes(b"{")
    (tmp_path / "bad.json").write_text("{")
    after = Uploads(tmp_path)
    assert after.of(ANNA) == [upload]
    assert after.offset(upload) == 5
    assert {path.stem for path in tmp_path.iterdir()} == {upload.key}
    assert await after.append(ANNA, upload.key, 5, body(b"fghij")) == 10
    with after.imported(ANNA, [upload.key]) as (path,):
        assert path.read_bytes() == b"abcdefghij"
    assert list(tmp_path.iterdir()) == []


async def test_pieces_fit_together(tmp_path: Path) -> None:
    """A piece from elsewhere, or beyond the end, is refused; what had come stays."""
    uploads = Uploads(tmp_path)
    key = uploads.create(ANNA, 4).key
    await uploads.append(ANNA, key, 0, body(b"ab"))
    with pytest.raises(ConflictError, match="2 bytes have come"):
        await uploads.append(ANNA, key, 0, body(b"ab"))
    with pytest.raises(InvalidError, match="longer than the 4 bytes"):
        await uploads.append(ANNA, key, 2, body(b"c", b"de"))
    assert uploads.offset(uploads.find(ANNA, key)) == 3


async def test_an_import_that_fails_by_no_fault_of_the_file_keeps_it(tmp_path: Path) -> None:
    """Nothing has to be sent anew where the disk was full or the terms were wrong; a spoiled file is gone."""
    uploads = Uploads(tmp_path)
    key = uploads.create(ANNA, 1).key
    with pytest.raises(ConflictError, match="0 of its 1 bytes"), uploads.imported(ANNA, [key]):
        pass
    await uploads.append(ANNA, key, 0, body(b"x"))
    with contextlib.suppress(NoSpaceError), uploads.imported(ANNA, [key]):
        with pytest.raises(ConflictError, match="imported at this moment"):
            await uploads.remove(ANNA, key)
        with pytest.raises(ConflictError, match="imported at this moment"), uploads.imported(ANNA, [key]):
            pass
        raise NoSpaceError("full")
    with pytest.raises(InvalidError), uploads.imported(ANNA, [key]):
        raise InvalidError("it has no kernel; import it with --kernel debian")
    assert uploads.of(ANNA)
    with pytest.raises(DamagedFileError), uploads.imported(ANNA, [key]):
        raise DamagedFileError("ends too early")
    with pytest.raises(NotFoundError):
        uploads.find(ANNA, key)


async def test_an_upload_is_its_owners(tmp_path: Path) -> None:
    """To everybody else, an admin too, it is not there."""
    uploads = Uploads(tmp_path)
    key = uploads.create(ANNA, 1).key
    for other in (BERT, ADMIN):
        assert uploads.of(other) == []
        with pytest.raises(NotFoundError):
            await uploads.append(other, key, 0, body(b"x"))
        with pytest.raises(NotFoundError):
            await uploads.remove(other, key)
        with pytest.raises(NotFoundError), uploads.imported(other, [key]):
            pass


def test_what_nobody_goes_on_with_is_forgotten(tmp_path: Path) -> None:
    """A day after its last byte, and not before."""
    now = time.time()
    uploads = Uploads(tmp_path, lambda: now)
    old, new = uploads.create(ANNA, 1), uploads.create(ANNA, 1)
    os.utime(tmp_path / f"{old.key}.data", (now, now - LIFE_SECONDS - 60))
    os.utime(tmp_path / f"{new.key}.data", (now, now - LIFE_SECONDS + 60))
    uploads.sweep()
    assert uploads.of(ANNA) == [new]
    assert {path.stem for path in tmp_path.iterdir()} == {new.key}


async def test_files_that_somebody_removed_cost_their_uploads_alone(tmp_path: Path) -> None:
    """An admin who makes room in the folder by hand ends no server: the rest goes on, new ones begin."""
    uploads = Uploads(tmp_path)
    gone, left = uploads.create(ANNA, 1), uploads.create(ANNA, 1)
    (tmp_path / f"{gone.key}.data").unlink()
    assert uploads.of(ANNA) == [left]
    (tmp_path / f"{left.key}.data").unlink()
    uploads.sweep()
    assert list(tmp_path.iterdir()) == []
    new = uploads.create(ANNA, 1)
    (tmp_path / f"{new.key}.data").unlink()
    with pytest.raises(NotFoundError):
        await uploads.append(ANNA, new.key, 0, body(b"x"))
    assert uploads.create(BERT, 1) in uploads.of(BERT)


async def test_a_folder_that_cannot_be_cleared_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What refuses to go is told in the log, and in words to whoever wants it removed."""
    now = time.time()
    uploads = Uploads(tmp_path, lambda: now)
    old, new = uploads.create(ANNA, 1), uploads.create(ANNA, 1)
    for upload in (old, new):  # a folder in its place cannot be unlinked, not even by root
        (tmp_path / f"{upload.key}.json").unlink()
        (tmp_path / f"{upload.key}.json").mkdir()
    with pytest.raises(UnavailableError, match="the server's disk refused"):
        await uploads.remove(ANNA, new.key)
    now += LIFE_SECONDS + 60
    uploads.sweep()
    assert f"the files of upload {old.key} cannot be cleared away" in caplog.text


async def test_many_who_ask_end_one_request_once(tmp_path: Path) -> None:
    """Questions that come while the silent request is ending are all answered."""
    uploads = Uploads(tmp_path)
    key = uploads.create(ANNA, 4).key
    reading = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        yield b"ab"
        try:
            reading.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(16):  # a connection does not end in an instant
                await asyncio.sleep(0)

    async def ask(later: int) -> int:
        for _ in range(later):
            await asyncio.sleep(0)
        return uploads.offset(await uploads.settled(ANNA, key))

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(uploads.append(ANNA, key, 0, silent()))
        await reading.wait()
        asked = [tasks.create_task(ask(later)) for later in range(8)]
    assert sending.result() == 2
    assert {one.result() for one in asked} == {2}


async def test_uploads_go_with_their_owner(tmp_path: Path) -> None:
    """Whoever gets the name of somebody who was removed has none of their files."""
    uploads = Uploads(tmp_path)
    uploads.create(ANNA, 1)
    left = uploads.create(BERT, 1)
    uploads.forget("anna")
    assert uploads.of(ANNA) == []
    assert {path.stem for path in tmp_path.iterdir()} == {left.key}


def test_uploads_are_bounded(tmp_path: Path) -> None:
    """In number for each person, and in bytes by what the disk has beyond all that was promised."""
    uploads = Uploads(tmp_path)
    for _ in range(MOST_EACH):
        uploads.create(ANNA, 1)
    with pytest.raises(ConflictError, match=f"has {MOST_EACH} unfinished uploads"):
        uploads.create(ANNA, 1)
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(NoSpaceError, match=f"the file has {2 * free} bytes"):
        uploads.create(ADMIN, 2 * free)
    uploads.create(ADMIN, free * 6 // 10)
    with pytest.raises(NoSpaceError):
        uploads.create(ADMIN, free * 6 // 10)


def test_one_person_leaves_room_for_others(tmp_path: Path) -> None:
    """All that a member sends together has half of the room; an admin may have all of it."""
    uploads = Uploads(tmp_path)
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(NoSpaceError, match="of what bert sends"):
        uploads.create(BERT, free * 6 // 10)
    uploads.create(BERT, free * 3 // 10)
    with pytest.raises(NoSpaceError):
        uploads.create(BERT, free * 3 // 10)
    uploads.create(ANNA, free * 3 // 10)
