"""Blocks lie back to back as they go on the wire, and transfers at the same place share them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.netboot.virtual_file import FilePart, VirtualFile
from hostler.wire.tftp_blocks import Blocks, BlockShare, ShortSourceError

if TYPE_CHECKING:
    from pathlib import Path


@given(size=st.integers(0, 600), block=st.integers(8, 100), count=st.integers(1, 9), first=st.integers(1, 80))
def test_each_packet_is_header_and_data(size: int, block: int, count: int, first: int) -> None:
    """Any stretch of any file is its blocks in order, and its runs are the same bytes back to back."""
    content = bytes(index % 251 for index in range(size))
    last = size // block + 1
    first = min(first, last)
    count = min(count, last - first + 1)
    blocks = Blocks(VirtualFile(content), block, first, count)
    expected = [
        b"\0\3" + number.to_bytes(2) + content[(number - 1) * block : number * block]
        for number in range(first, first + count)
    ]
    assert [bytes(packet) for packet in blocks.packets] == expected
    assert b"".join(blocks.runs(first, first + count - 1)) == b"".join(expected)
    assert blocks.awaits[-1] == (None if first + count > last else b"\0\4" + (first + count - 1).to_bytes(2))


def test_transfers_at_the_same_place_share(tmp_path: Path) -> None:
    """The common part of two boards' files is read once; what differs is not shared; unused blocks go."""
    (tmp_path / "initrd").write_bytes(bytes(range(256)) * 16)
    share = BlockShare()
    one = VirtualFile(tmp_path / "initrd", b"board one")
    two = VirtualFile(tmp_path / "initrd", b"board two")
    assert share.get(one, 512, 1, 4) is share.get(two, 512, 1, 4)
    held = share.get(one, 512, 1, 4)
    assert share.get(two, 512, 1, 4) is held
    assert share.get(two, 256, 1, 4) is not held
    assert bytes(share.get(one, 512, 9, 1).packets[0][4:]) == b"board one"
    assert bytes(share.get(two, 512, 9, 1).packets[0][4:]) == b"board two"


def test_the_end_of_one_file_is_not_the_middle_of_another(tmp_path: Path) -> None:
    """Two slices that begin alike and end differently keep their own ends."""
    (tmp_path / "f").write_bytes(bytes(4096))
    share = BlockShare()
    whole, slice_ = VirtualFile(tmp_path / "f"), VirtualFile(FilePart(tmp_path / "f", 0, 1024))
    long, short = share.get(whole, 512, 1, 3), share.get(slice_, 512, 1, 3)
    assert [len(packet) for packet in long.packets] == [516, 516, 516]
    assert [len(packet) for packet in short.packets] == [516, 516, 4]


def test_a_file_that_was_cut_short_is_an_error(tmp_path: Path) -> None:
    """Missing bytes are never made up."""
    path = tmp_path / "f"
    path.write_bytes(bytes(1000))
    file = VirtualFile(path)
    path.write_bytes(bytes(10))
    with pytest.raises(ShortSourceError, match="only 10 of 1000 bytes"):
        Blocks(file, 512, 1, 2)
