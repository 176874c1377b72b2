"""Which pieces of a bounded cache go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostler.model.cache_eviction import LOW_WATER, CachedPiece, to_evict

PIECES = st.lists(
    st.tuples(st.floats(0, 1e9), st.integers(1, 1000)), max_size=50
).map(lambda found: [CachedPiece(used, str(at), size) for at, (used, size) in enumerate(found)])  # fmt: skip


@given(PIECES, st.integers(1, 20_000))
def test_the_longest_unused_go_and_no_more_than_need_be(pieces: list[CachedPiece], limit: int) -> None:
    """What stays fits and was used later than all that goes; nothing goes while all fits."""
    going = to_evict(pieces, limit)
    staying = [piece for piece in pieces if piece not in going]
    held = sum(piece.size for piece in staying)
    assert held <= limit
    if sum(piece.size for piece in pieces) <= limit:
        assert going == []
    if going:
        assert all(piece.used >= max(one.used for one in going) for piece in staying)
        assert held + going[-1].size > limit * LOW_WATER
