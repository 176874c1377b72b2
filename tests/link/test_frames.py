"""Frames on a byte stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.link.frames import LIMIT, FrameError, Unpacker, pack


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300))), st.data())
def test_frames_survive_any_cut(frames, data):
    """However the stream is cut, the same frames come out in the same order."""
    stream = b"".join(pack(channel, payload) for channel, payload in frames)
    unpacker = Unpacker()
    seen = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        seen += list(unpacker.feed(stream[:cut]))
        stream = stream[cut:]
    assert seen == frames


def test_a_frame_too_long_is_refused():
    """A length nobody would send ends the stream instead of filling memory."""
    with pytest.raises(FrameError):
        pack(1, bytes(LIMIT + 1))
    with pytest.raises(FrameError):
        list(Unpacker().feed(b"\x01\xff\xff\xff\xff"))
