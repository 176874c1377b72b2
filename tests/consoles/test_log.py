"""The console log: everything is there, in bounds, and says what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.consoles.log import Bounds, ConsoleLog


def whole(log: ConsoleLog, boot: str, limit: int = 65536) -> bytes:
    found, offset = b"", 0
    while (piece := log.read(boot, offset, limit)).data:
        found += piece.data
        offset = piece.next
    return found


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(1, 500))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], limit: int):
    """Whatever the pieces and the steps of reading, the bytes are those of the board."""
    log = ConsoleLog(tmp_path_factory.mktemp("log"), Bounds(segment_bytes=256, segments=1000))
    log.begin("b1")
    for number, piece in enumerate(pieces):
        log.append(piece, 1000.0 + number)
    assert whole(log, "b1", limit) == b"".join(pieces)
    assert log.size == log.read("b1").size == sum(map(len, pieces))
    log.close()


def test_a_boot_goes_on_after_a_restart(tmp_path: Path):
    """A log that is opened again continues where it ended; a torn index is cut."""
    log = ConsoleLog(tmp_path)
    log.begin("b1")
    log.append(b"before ", 1.0)
    log.close()
    with next((tmp_path / "b1").glob("*.idx")).open("ab") as index:
        index.write(b"torn")
    log = ConsoleLog(tmp_path)
    log.begin("b1")
    log.append(b"after", 2.0)
    assert whole(log, "b1") == b"before after"
    assert log.times("b1") == [(1.0, 0), (2.0, 7)]


def test_a_talkative_boot_keeps_its_beginning_and_its_end(tmp_path: Path):
    """Of too many segments the middle goes, and reading says how much is missing."""
    log = ConsoleLog(tmp_path, Bounds(segment_bytes=100, segments=4))
    log.begin("b1")
    for number in range(100):
        log.append(b"%049d\n" % number, float(number))
    assert len(list((tmp_path / "b1").glob("*.log"))) <= 4
    first = log.read("b1", 0)
    assert first.data.startswith(b"%049d\n" % 0)
    second = log.read("b1", first.next)
    assert second.missing == second.offset - first.next > 0
    assert log.read("b1", -50).data == b"%049d\n" % 99
    assert log.read("b1").size == 5000


def test_boots_are_apart_and_old_ones_go(tmp_path: Path):
    """Each boot has its own log; the oldest are forgotten, the present one never."""
    log = ConsoleLog(tmp_path, Bounds(boots=3))
    for number in range(6):
        log.begin(f"b{number}")
        log.append(b"boot %d" % number, float(number))
    assert log.boots() == ["b3", "b4", "b5"]
    assert whole(log, "b4") == b"boot 4"
    with pytest.raises(FileNotFoundError):
        log.read("b0")


@pytest.mark.parametrize("boot", ["", "..", "a/b", "/etc", ".hidden", "x" * 200])
def test_a_boots_id_is_no_path(tmp_path: Path, boot: str):
    """An id that could leave the folder is refused."""
    log = ConsoleLog(tmp_path)
    with pytest.raises(ValueError, match="cannot be the id"):
        log.begin(boot)
    with pytest.raises(ValueError, match="cannot be the id"):
        log.read(boot)


def test_a_full_disk_loses_log_and_nothing_else(tmp_path: Path):
    """When writing fails the log goes on later; nobody is bothered by an exception."""
    log = ConsoleLog(tmp_path, Bounds(segment_bytes=10))
    log.begin("b1")
    log.append(b"0123456789", 1.0)
    (tmp_path / "b1").rename(tmp_path / "away")  # the next segment cannot be made
    log.append(b"lost", 2.0)
    (tmp_path / "away").rename(tmp_path / "b1")
    log.append(b"again", 3.0)
    assert whole(log, "b1") == b"0123456789again"
