"""What a table of boards shows of their consoles: one line, of which nothing acts on a terminal or a page."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.consoles.last_line import LONGEST, last_line


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (b"", ""),
        (b"\r\n \r\n", ""),
        (b"Linux version 6.1\r\nlogin: ", "login:"),
        (b"one\r\n\x1b[31;1mred\x1b[0m alert\r\n\r\n", "red alert"),
        (b"10 %\r20 %\r30 %", "30 %"),
        (b"$ lx\b \bs -l", "$ ls -l"),
        (b"\x1b[2J\x1b[1;1HBoot menu\x1b[5;3HDebian\x1b[7m\x1b[6;3HRescue\x1b[0m", "Rescue"),
        (b"\x1b]0;title\x07# ", "#"),
        (b"\x1b]0;a title that does not end", ""),
        (b"cut \x1b[3", "cut"),
        (b"a\x00b\x9bc\x7fd", "ab\ufffdcd"),
        ("left\u202eright\u200b\ufeff".encode(), "leftright"),
        (b"<b>&amp;", "<b>&amp;"),
        (b"x" * 5000, "x" * LONGEST),
        (b"\xff\xfe\xfd", "\ufffd" * 3),
    ],
)
def test_the_last_line_that_has_something_on_it(said: bytes, line: str):
    """Colours, moves, titles, rubbed out signs and empty lines are left out; progress is as it stands."""
    assert last_line(said) == line


@given(
    st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_no_bytes_come_through_that_act(said: bytes):
    """Whatever a board says: one line, no control or format character, no longer than told."""
    line = last_line(b"\x1b[" + said)
    assert len(line) <= LONGEST
    assert not [sign for sign in line if unicodedata.category(sign)[0] == "C"]
    assert line.splitlines() in ([line], [])
