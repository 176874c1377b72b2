"""Uploads that wait on the server: how many, how long, and for whom."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from hostler.hub.errors import ConflictError, InvalidError, NoSpaceError, NotFoundError
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
    """Nothing has to be sent anew where the name was taken or the disk full; a bad file is gone."""
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
        raise InvalidError("damaged")
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


def test_uploads_are_bounded(tmp_path: Path) -> None:
    """In number for each person, and in bytes by what the disk has beyond all that was promised."""
    uploads = Uploads(tmp_path)
    for _ in range(MOST_EACH):
        uploads.create(ANNA, 1)
    with pytest.raises(ConflictError, match=f"has {MOST_EACH} unfinished uploads"):
        uploads.create(ANNA, 1)
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(NoSpaceError, match=f"the file has {free} bytes"):
        uploads.create(ADMIN, free)
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
