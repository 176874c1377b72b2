"""What a board said is found again: by claim, by time, by words, over the gaps of a long log."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.consoles.log import Bounds, ConsoleLog
from hostler.consoles.marks import MOST_MARKS, Mark, Marks
from hostler.consoles.search import search, select, tail
from hostler.model.search_pattern import SearchPatternError

BOUNDS = Bounds()


def said(folder: Path, *words: tuple[float, bytes], bounds: Bounds = BOUNDS) -> ConsoleLog:
    log = ConsoleLog(folder, bounds)
    log.begin("b1")
    for at, data in words:
        log.append(data, at)
    return log


WHOLE: list[tuple[str, int, int | None]] = [("b1", 0, None)]


def test_since_begins_where_the_time_began(tmp_path: Path):
    """Only what was said at that time or later is read; a time that has not come yet leaves nothing."""
    log = said(tmp_path, (100.0, b"one\n"), (200.0, b"two\n"), (300.0, b"three\n"))
    for since, wanted in (
        (0.0, b"one\ntwo\nthree\n"),
        (150.0, b"two\nthree\n"),
        (300.0, b"three\n"),
        (301.0, b""),
    ):
        parts = select(log, [], boot="b1", claims=None, since=since)
        assert tail(log, parts, 1000) == wanted


def test_a_match_tells_when_it_was_said(tmp_path: Path):
    """Time and offset are those of the line, whichever piece it came in."""
    log = said(tmp_path, (100.0, b"one\nerr"), (200.0, b"or 1\n"), (300.0, b"two\nerror 2"))
    found = search(log, WHOLE, "^error")
    assert [(m.at, m.offset, m.line) for m in found.matches] == [
        (100.0, 4, "error 1"),
        (300.0, 16, "error 2"),
    ]
    assert found.complete


def test_a_match_has_nothing_that_speaks_to_a_terminal(tmp_path: Path):
    """Colours, titles and controls of either kind are left out, of what is searched and of what is shown."""
    line = b"\x1b]0;a title\x1b\\\x1b]2;another\x07er\x1b[31mror\x1b[0m\xc2\x9b5n\x07 caf\xc3\xa9\r\n"
    found = search(said(tmp_path, (1.0, line)), WHOLE, "^error")
    assert [m.line for m in found.matches] == ["error5n caf\u00e9"]


def test_a_gap_is_told_and_searched_over(tmp_path: Path):
    """What was rotated away is named where it was; what is kept behind it is found."""
    bounds = Bounds(segment_bytes=100, segments=3)
    log = said(tmp_path, *((float(n), b"%049d\n" % n) for n in range(40)), bounds=bounds)
    assert b"bytes not kept" in tail(log, WHOLE, 10_000)
    assert [m.line for m in search(log, WHOLE, "0(0|39)$").matches] == [f"{0:049}", f"{39:049}"]


def test_a_search_is_bounded(tmp_path: Path):
    """Too many matches, too little time and a line without end are bounded, and said."""
    log = said(tmp_path, (1.0, b"hit\n" * 50), (2.0, b"x" * 100_000))
    found = search(log, WHOLE, "hit", most=7)
    assert (len(found.matches), found.complete) == (7, False)
    clock = iter(range(1000))
    assert not search(log, WHOLE, "hit", seconds=3, clock=lambda: float(next(clock))).complete
    assert max(len(m.line) for m in search(log, WHOLE, "x").matches) == 4096


def test_a_pattern_that_would_never_end_ends(tmp_path: Path):
    """A pattern that keeps a backtracking engine busy for ever is searched in the time the text takes."""
    log = said(tmp_path, (1.0, b"a" * 4000 + b"\n"))
    assert search(log, WHOLE, "(a+)+$").matches
    assert search(log, WHOLE, "(a|a)*b").matches == []


@pytest.mark.parametrize("pattern", ["(", "[", "(?<=a)b", "a{100000}"])
def test_a_bad_pattern_is_named(tmp_path: Path, pattern: str):
    """What cannot be searched for is refused with its reason."""
    with pytest.raises(SearchPatternError, match="is not a pattern"):
        search(said(tmp_path), WHOLE, pattern)


@given(
    st.lists(
        st.one_of(st.sampled_from([None, "c1", "c2", "boot"]), st.binary(min_size=1, max_size=9)),
        max_size=30,
    )
)  # fmt: skip
def test_every_byte_belongs_to_who_held_the_board(
    tmp_path_factory: pytest.TempPathFactory, steps: list[object]
):
    """However claims, boots and restarts follow each other, a claim's log is what was said under it."""
    folder = tmp_path_factory.mktemp("log")
    log, marks = ConsoleLog(folder), Marks(folder / "claims")
    claim: str | None = None
    boots = 0
    told: dict[str | None, bytes] = {None: b"", "c1": b"", "c2": b""}
    log.begin("b0")
    marks.add(Mark(0.0, claim, "b0", 0))
    for number, step in enumerate(steps):
        if isinstance(step, bytes):
            log.append(step, float(number))
            told[claim] += step
        elif step == "boot":
            boots += 1
            log.begin(f"b{boots}")
            marks.add(Mark(float(number), claim, f"b{boots}", 0))
        else:
            claim = step if step is None else str(step)
            marks = Marks(folder / "claims")  # as after a restart
            marks.add(Mark(float(number), claim, f"b{boots}", log.size))
    for name, wanted in told.items():
        parts = [(e.boot, e.start, e.end) for e in Marks(folder / "claims").extents() if e.claim == name]
        assert tail(log, parts, 10_000) == wanted
    log.close()


def test_torn_marks_cost_only_themselves(tmp_path: Path):
    """A line torn by a crash is passed over, and what is written next is a line of its own."""
    path = tmp_path / "claims"
    marks = Marks(path)
    marks.add(Mark(1.0, "c1", "b1", 0))
    with path.open("ab") as file:
        file.write(b'{"at": 2.0, "cla')
    Marks(path).add(Mark(3.0, "c3", "b1", 9))
    assert [(e.claim, e.start, e.end) for e in Marks(path).extents()] == [("c1", 0, 9), ("c3", 9, None)]


def test_marks_are_bounded(tmp_path: Path):
    """Marks of boots that are not kept are forgotten once there are many."""
    marks = Marks(tmp_path / "claims")
    for number in range(MOST_MARKS + 1):
        marks.add(Mark(1.0, f"c{number}", f"b{number}", 0))
    marks.keep({f"b{MOST_MARKS}"})
    assert [e.claim for e in Marks(tmp_path / "claims").extents()] == [f"c{MOST_MARKS}"]
