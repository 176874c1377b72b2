"""What is typed at a console: for the board, or for the console itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.wire.console_keys import EscapeKeys, Key


@given(st.lists(st.binary(max_size=8)))
def test_no_typed_byte_is_lost(pieces: list[bytes]) -> None:
    """Without the escape key every byte typed reaches the board, in order, however it arrives."""
    keys = EscapeKeys()
    typed = b"".join(pieces).replace(b"\x1d", b"")
    sent = [part for piece in pieces for part in keys.feed(piece.replace(b"\x1d", b""))]
    assert b"".join(part for part in sent if isinstance(part, bytes)) == typed
    assert all(isinstance(part, bytes) for part in sent)


@pytest.mark.parametrize(
    ("pieces", "yields"),
    [
        ([b"ab\x1dqcd"], [b"ab", Key.LEAVE, b"cd"]),
        ([b"ab\x1d", b"q"], [b"ab", Key.LEAVE]),
        ([b"\x1d\x1dx"], [b"\x1dx"]),
        ([b"\x1dt"], [Key.TAKE]),
        ([b"a\x1dbb"], [b"a", Key.BREAK, b"b"]),
        ([b"\x1dz"], [Key.HELP]),
    ],
)
def test_the_escape_key(pieces: list[bytes], yields: list[bytes | Key]) -> None:
    """Ctrl-] then q leaves, t takes the keyboard, twice sends it, anything else helps."""
    keys = EscapeKeys()
    assert [part for piece in pieces for part in keys.feed(piece)] == yields
