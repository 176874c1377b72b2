"""The newc writer makes archives that other programs read, the same bytes every time."""

from __future__ import annotations

import random
import shutil
import stat
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.wire import newc

names = st.lists(
    st.text("abcXYZ-_.09", min_size=1, max_size=8).filter(lambda s: s != ".."), min_size=1, max_size=4
)


def listed(data: bytes) -> list[tuple[str, int, bytes]]:
    """A reader written from the format's description alone."""
    found, at = [], 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        at = (at + 110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            assert at == len(data)
            return found
        found.append((name, fields[1], data[at : at + size]))
        at = (at + size + 3) // 4 * 4


@given(st.dictionaries(names.map("/".join), st.binary(max_size=50)))
def test_what_is_written_can_be_read(contents: dict[str, bytes]) -> None:
    """Every file comes back with its mode and bytes; the archive ends on a multiple of four."""
    data = newc.archive(newc.file(name, content, 0o640) for name, content in contents.items())
    assert len(data) % newc.ALIGNMENT == 0
    assert {name: (mode, content) for name, mode, content in listed(data)} == {
        name: (stat.S_IFREG | 0o640, content) for name, content in contents.items()
    }


@given(st.randoms(use_true_random=False))
def test_order_of_entries_does_not_matter(shuffler: random.Random) -> None:
    """Same entries in any order, same bytes; a directory stands before what is in it."""
    entries = newc.with_parents([newc.file("a/b/c", b"1"), newc.file("a-b", b"2"), newc.symlink("a/l", "b")])
    expected = newc.archive(entries)
    shuffler.shuffle(entries)
    assert newc.archive(entries) == expected
    assert [name for name, _, _ in listed(expected)] == ["a", "a/b", "a/b/c", "a/l", "a-b"]


def test_cpio_reads_it(tmp_path) -> None:
    """GNU cpio unpacks files, links and directories as they were meant."""
    if shutil.which("cpio") is None:
        pytest.skip("cpio is not installed")
    entries = [newc.file("etc/boot.json", b"{}", 0o600), newc.symlink("etc/link", "boot.json")]
    data = newc.archive(newc.with_parents(entries), mtime=86400)
    subprocess.run(["cpio", "-idm", "--quiet"], input=data, cwd=tmp_path, check=True)
    assert (tmp_path / "etc/link").read_bytes() == b"{}"
    assert stat.S_IMODE((tmp_path / "etc/boot.json").stat().st_mode) == 0o600
    assert (tmp_path / "etc/boot.json").stat().st_mtime == 86400


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../b", "a\0b"])
def test_a_name_outside_is_refused(name: str) -> None:
    """No archive of ours can write outside the place it is unpacked in."""
    with pytest.raises(newc.NewcError):
        newc.archive([newc.file(name, b"")])


def test_twice_the_same_name_is_refused() -> None:
    """Which of the two would win is the unpacker's secret."""
    with pytest.raises(newc.NewcError, match="twice"):
        newc.archive([newc.file("a", b"1"), newc.file("a", b"2")])
