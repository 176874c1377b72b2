"""What is replayed shows the same screen, and nothing of it can do harm."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.consoles.screen import FEED_BYTES, render

MENU = (
    b"SeaBIOS\r\n\x1b[2J\x1b[1;1H\x1b[=3h\x1b[1;31;44mGNU GRUB\x1b[0m\r\n\r\n"
    b"\x1b[4;3H\x1b[7m*Debian\x1b[0m\x1b[5;3H Memtest\x1b(0\x1b[7;1Hlqqk\x1b(B\x1b[?25l\x1b[4;5H"
)


def terminal(*parts: bytes, columns: int = 80, lines: int = 24) -> pyte.Screen:
    """Return a terminal that was shown this."""
    screen = pyte.Screen(columns, lines)
    stream = pyte.ByteStream(screen)
    for part in parts:
        stream.feed(part)
    return screen


def test_a_menu_is_shown_as_it_stands():
    """Text, colours, line drawing, the hidden cursor's place: as on a terminal that saw it all."""
    shown = terminal(render(MENU, whole=True))
    assert shown.display[0].rstrip() == "GNU GRUB"
    assert shown.display[3].rstrip() == "  *Debian"
    assert shown.display[6].rstrip() == "┌──┐"
    assert shown.buffer[0][0].fg == "red"
    assert shown.buffer[0][0].bg == "blue"
    assert shown.buffer[3][2].reverse
    assert (shown.cursor.y, shown.cursor.x, shown.cursor.hidden) == (3, 4, True)
    assert "SeaBIOS" not in "".join(shown.display)


def test_what_follows_lands_where_it_belongs():
    """After the replay the board's next bytes do what they would have done."""
    after = b"\x1b[5;3H\x1b[7m*Memtest\x1b[0m"
    assert terminal(render(MENU, whole=True), after).display == [
        line.replace("lqqk", "┌──┐") for line in terminal(MENU.replace(b"\x1b[=3h", b""), after).display
    ]


def test_lines_that_left_the_screen_are_above_it():
    """What scrolled away before a menu is still there to scroll back to."""
    said = b"".join(b"line %d\r\n" % number for number in range(60))
    replay = render(said + b"\x1b[24;1H\x1b[1mprompt", whole=True)
    assert b"line 3\r\n" in replay.partition(b"\x1b[2J")[0]
    assert terminal(replay).display == terminal(said + b"\x1b[24;1H\x1b[1mprompt").display


def test_plain_text_is_replayed_as_it_came():
    """A text of lines in colours keeps its bytes, so that long lines are not cut."""
    text = b"\x1b[32m[  OK  ]\x1b[0m Started " + b"x" * 300 + b".\r\nhost login: "
    assert render(text, whole=True) == text


@pytest.mark.parametrize(
    "question", [b"\x1b[6n", b"\x1b[c", b"\x1b[>c", b"\x1bZ", b"\x05", b"\x1bP$q m\x1b\\", b"\x1b]11;?\x07"]
)
def test_no_question_is_replayed(question: bytes):
    """What a terminal answers is left out: the answer would be typed on the board."""
    replay = render(b"a" + question + b"b\x1b[2;2Hc", whole=True)
    assert question not in replay
    assert question not in render(b"a" + question + b"b", whole=True)


def test_a_cut_is_behind_a_line():
    """What begins anywhere is shown from its first whole line on."""
    assert render(b"31mred\x1b[0m rest\r\nwhole line\r\n", whole=False) == b"whole line\r\n"
    assert render(b"x" * FEED_BYTES + b"\r\nend", whole=True) == b"end"


@pytest.mark.parametrize("torn", [b"\x1b", b"\x1b[", b"\x1b[3", b"\x1b[31;4", b"\xe2\x94", b"\x1b]0;tit"])
def test_an_unfinished_end_is_finished_by_what_comes(torn: bytes):
    """A sequence or letter that is still on its way is handed on as it is."""
    for before in (b"text ", MENU):
        assert render(before + torn, whole=True).endswith(torn)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from([b"\x1b[", b"\x1b[?", b"\x1b[9999;9999H", b"\x1b[3;2r", b"\x1b(0", b"\x1b[2J",
                             b"\x1b[1;1;1;1;1H", b"\x1b[?7l", b"\r\n", b"\x1b[38;5;999m", b"\x1b[38;2m"]),
        ),
        max_size=40,
    ),
    st.booleans(),
    st.integers(0, 700),
)  # fmt: skip
def test_no_bytes_are_an_error(pieces: list[bytes], whole: bool, columns: int):
    """Whatever a board says, who joins is shown something."""
    assert isinstance(render(b"".join(pieces), whole=whole, columns=columns), bytes)
