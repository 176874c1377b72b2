"""Who a machine is: facts agree, junk does not count, contradictions are said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.model.board import Board
from hostler.model.identity import contradiction, identify, is_junk, normal_mac, serial_digits

A = Board("a", "pc", "n", ("52:54:00:00:00:01",), uuid="11111111-2222-3333-4444-555555555555", serial="SN-1")
B = Board("b", "pc", "n", ("52:54:00:00:00:02",), uuid="99999999-2222-3333-4444-555555555555", serial="SN-2")


def test_any_one_fact_finds_the_board():
    """A MAC, a UUID or a serial is enough."""
    assert identify([A, B], ["52:54:00:00:00:02"], None, None) == (B, "")
    assert identify([A, B], [], "11111111-2222-3333-4444-555555555555", None) == (A, "")
    assert identify([A, B], [], None, "sn-2") == (B, "")


def test_facts_of_two_boards_are_a_conflict_that_names_both():
    """Disagreement is never settled by guessing."""
    found, why = identify([A, B], ["52:54:00:00:00:01"], None, "SN-2")
    assert found is None
    assert '"a"' in why
    assert '"b"' in why


def test_nobody_known_is_no_conflict():
    """A stranger is not an error."""
    assert identify([A, B], ["52:54:00:00:00:77"], None, "SN-77") == (None, "")


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "0",
        "00000000-0000-0000-0000-000000000000",
        "To be filled by O.E.M.",
        "Default string",
        "FFFF",
        "0123456789",
    ],
)
def test_junk_identifies_nobody(junk):
    """What vendors leave in place of a serial does not tie two boards together."""
    assert is_junk(junk)
    twins = [
        Board("x", "pc", "n", (), serial=junk, uuid=junk),
        Board("y", "pc", "n", (), serial=junk, uuid=junk),
    ]
    assert identify(twins, [], junk, junk) == (None, "")


def test_a_swapped_board_contradicts_the_inventory():
    """A different serial under the same MAC is said, junk is not."""
    assert "SN-9" in contradiction(A, None, "SN-9")
    assert contradiction(A, A.uuid.upper(), "Default string") == ""


def test_half_of_a_raspberry_pis_serial_is_that_serial():
    """Linux tells 16 digits, label and firmware the last eight of them; other digits are another board."""
    board = Board("pi", "pi", "n", ("dc:a6:32:01:36:c2",), serial="9A1B2C3D")
    assert contradiction(board, None, "100000009a1b2c3d") == ""
    assert "swapped" in contradiction(board, None, "100000009a1b2c3e")
    whole = Board("pi", "pi", "n", ("dc:a6:32:01:36:c2",), serial="100000009a1b2c3d")
    assert contradiction(whole, None, "9a1b2c3d") == ""
    assert "swapped" in contradiction(whole, None, "200000009a1b2c3d")
    assert serial_digits("SN-12345678") is None


@given(st.binary(min_size=6, max_size=6), st.sampled_from([":", "-", ".", ""]), st.booleans())
def test_every_way_of_writing_a_mac_is_the_same_mac(raw, separator, upper):
    """Case and separators do not matter; multicast is refused."""
    raw = bytes([raw[0] & 0xFE]) + raw[1:]
    pairs = [f"{byte:02x}" for byte in raw]
    text = separator.join(pairs)
    assert normal_mac(text.upper() if upper else text) == ":".join(pairs)


@pytest.mark.parametrize("text", ["", "52:54:00:00:00", "52:54:00:00:00:zz", "01:00:5e:00:00:01"])
def test_what_is_no_mac_is_refused(text):
    """The error names what was written."""
    with pytest.raises(ValueError, match="MAC"):
        normal_mac(text)
