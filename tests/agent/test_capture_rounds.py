"""How long the agent sends a capture's chunks again that the rack does not have."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from hostler.agent.capture import capture
from hostler.agent.media import Media
from hostler.agent.picture import Picture
from hostler.agent.work import StepError, Work
from hostler.model.chunkindex import ChunkIndex

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

GRID = 4096
CELLS = 12


class Forgetful:
    """A rack that forgets all it has when the index comes first, and names one missing chunk at a time.

    Args:
        keeps: Whether it keeps what is sent to it afterwards.
    """

    def __init__(self, *, keeps: bool) -> None:
        self.keeps = keeps
        self.there: set[str] = set()
        self.indexes = 0

    def lacking(self, digests: Sequence[str]) -> Collection[str]:
        """Tell what is not there."""
        return [digest for digest in digests if digest not in self.there]

    def take_chunk(self, digest: str, frame: bytes) -> None:
        """Take a chunk."""
        assert frame
        self.there.add(digest)

    def take_index(self, encoded: bytes) -> Collection[str]:
        """Forget, and name one."""
        if not self.indexes or not self.keeps:
            self.there.clear()
        self.indexes += 1
        return self.lacking(ChunkIndex.decode(encoded).distinct())[:1]

    def finish(self, _index: str) -> bool:
        """Take it as it is."""
        return True


def sent(tmp_path: Path, rack: Forgetful) -> int:
    """Capture a small disk; returns how many chunks travelled."""
    disk = tmp_path / "disk"
    disk.write_bytes(random.Random(1).randbytes(CELLS * GRID))
    with Media(disk, write=False) as media:
        picture = Picture(media, CELLS * GRID, [(0, CELLS * GRID)])
        return capture(picture, rack, Work(lambda _: None), GRID).sent_chunks


def test_all_of_a_large_image_is_sent_again_when_the_rack_lost_all(tmp_path: Path) -> None:
    """However many answers it takes to name it: each names others than before."""
    rack = Forgetful(keeps=True)
    assert sent(tmp_path, rack) == 2 * CELLS
    assert rack.indexes == CELLS + 1


def test_a_rack_that_keeps_nothing_is_given_up(tmp_path: Path) -> None:
    """What was sent again and is lacking once more tells that it is of no use."""
    rack = Forgetful(keeps=False)
    with pytest.raises(StepError, match="has lost chunks of the image 5 times"):
        sent(tmp_path, rack)
    assert rack.indexes == 6
