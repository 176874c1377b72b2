"""Virtual files read as their parts would, one after the other."""

from __future__ import annotations

import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.netboot.virtual_file import FilePart, MissingFileError, ShortFileError, VirtualFile

BASE = bytes(range(256)) * 8


@given(
    parts=st.lists(
        st.one_of(st.binary(max_size=300), st.tuples(st.integers(0, 2048), st.integers(0, 2048))), max_size=5
    ),
    offset=st.integers(0, 5000),
    sizes=st.lists(st.integers(0, 700), max_size=6),
)
def test_any_cut_reads_as_the_parts_in_order(
    parts: list[bytes | tuple[int, int]], offset: int, sizes: list[int]
) -> None:
    """Bytes and slices of files, read anywhere into any buffers, are the concatenation of the parts."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "base")
        path.write_bytes(BASE)
        real: list[bytes | FilePart] = []
        content = b""
        for part in parts:
            if isinstance(part, bytes):
                real.append(part)
                content += part
            else:
                start, length = part[0], min(part[1], 2048 - part[0])
                real.append(FilePart(path, start, length))
                content += BASE[start : start + length]
        with VirtualFile(*real) as file:
            assert file.size == len(content)
            assert file.read_at(offset, sum(sizes)) == content[offset : offset + sum(sizes)]
            buffers = [memoryview(bytearray(size)) for size in sizes]
            got = file.read_into(buffers, offset)
            assert b"".join(buffers)[:got] == content[offset : offset + sum(sizes)]


def test_a_whole_file_and_the_rest_of_one(tmp_path: Path) -> None:
    """A path is the whole file, a slice without a length its rest."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with VirtualFile(path, b"-", FilePart(path, 7)) as file:
        assert file.read_at(0, 100) == b"0123456789-789"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A part that is not there is an error that names it; what was opened before is closed again."""
    (tmp_path / "there").write_bytes(b"x")
    with pytest.raises(MissingFileError, match="gone: No such file"):
        VirtualFile(tmp_path / "there", tmp_path / "gone")


def test_a_slice_beyond_the_end_is_named(tmp_path: Path) -> None:
    """A slice longer than its file is an error when the file is made, not in mid-transfer."""
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(ShortFileError, match="short: 2 bytes from 1, not 9"):
        VirtualFile(FilePart(tmp_path / "short", 1, 9))


def test_a_file_cut_short_later_reads_short(tmp_path: Path) -> None:
    """Bytes that went away after opening are missing from the count, never made up."""
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    with VirtualFile(path) as file:
        with path.open("r+b") as cut:
            cut.truncate(300)
        assert file.read_into([memoryview(bytearray(500)), memoryview(bytearray(500))], 0) == 300


def test_its_tag_costs_no_more_memory_for_much_content() -> None:
    """A disk in memory has megabytes of zeros, and whoever asks by HTTP has a tag made of them."""
    with VirtualFile(bytes(8 << 20)) as large, VirtualFile(bytes((8 << 20) - 1), b"1") as other:
        tracemalloc.start()
        try:
            assert large.tag != other.tag
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()


def test_its_tag_tells_parts_apart() -> None:
    """What has the same bytes in other places is another file."""
    with VirtualFile(b"ab", b"c") as one, VirtualFile(b"ab", b"c") as same, VirtualFile(b"ab", b"d") as other:
        assert one.tag == same.tag != other.tag
