"""What comes from outside is taken whole or refused: nothing behind it stumbles."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.link.documents import to_document
from hostler.model.json import DEEPEST, LARGEST, count, foreign_object
from hostler.model.seam import Stranger

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text("abc"), PLAIN, max_size=3))
def test_an_ordinary_object_is_taken_as_it_is(document: dict[str, object]):
    """Whatever is plain JSON of a sound depth is returned unchanged."""
    assert foreign_object(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "-Infinity",
        "1e999",
        "1" + "0" * 400,
        '"\\ud800"',
        '{"\\udfff": 1}',
        "[" * DEEPEST + "]" * DEEPEST,
        '{"x":' * DEEPEST + "1" + "}" * DEEPEST,
        "[" * 100_000 + "]" * 100_000,
    ],
)
def test_what_somebody_behind_could_not_take_is_refused(value: str):
    """Numbers without end, halves of characters and bottomless values are no JSON, wherever they lie."""
    with pytest.raises(ValueError, match=r"."):
        foreign_object(f'{{"a": [{value}]}}'.encode())


@pytest.mark.parametrize("raw", [b"", b"[]", b"1", b"{", b"\xff", b'{"a": 1} x'])
def test_only_an_object_is_an_object(raw: bytes):
    """Anything that is not one JSON object is refused with ValueError and nothing else."""
    with pytest.raises(ValueError, match=r"."):
        foreign_object(raw)


def test_the_deepest_that_is_taken_crosses_the_seam():
    """What is let in can be handed on to the hub."""
    raw = '{"x":' * DEEPEST + "1" + "}" * DEEPEST
    facts = foreign_object(raw.encode())
    assert to_document(Stranger("52:54:00:00:00:01", "n", facts=facts, first=1.0, last=1.0))["facts"] == facts


@given(PLAIN | st.integers())
def test_a_number_of_things_may_be_told_as_anything(value: object):
    """It always fits; what is one stays as it is."""
    told = count(value)
    assert type(told) is int
    assert 0 <= told <= LARGEST
    if type(value) is int and 0 <= value <= LARGEST:
        assert told == value
