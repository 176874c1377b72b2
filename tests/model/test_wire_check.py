"""What signs say about wires: whatever is wrong is said, and nothing is said of what is right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostler.model.power import PowerReading, PowerState
from hostler.model.wire_check import (
    Signs,
    Switched,
    Wiring,
    judge_port,
    judge_signs,
    judge_silence,
    judge_switching,
)

WIRING = Wiring("a", "port 1 of sw", "port 4001 of serial", ("52:54:00:00:00:01",))
SECONDS = st.none() | st.floats(0, 100)
OTHERS = st.lists(st.sampled_from(["b", "c"]), unique=True).map(tuple)
SIGNS = st.builds(
    Signs,
    asked=SECONDS,
    woke=OTHERS,
    strangers=st.sampled_from([(), ("52:54:00:99:00:01",)]),
    connected=st.booleans(),
    spoke=SECONDS,
    readable=st.booleans(),
    named=st.sampled_from([None, "a", "b"]),
    lit=OTHERS,
    seconds=st.just(180.0),
)


def right(signs: Signs) -> bool:
    return (
        signs.asked is not None and signs.spoke is not None and signs.connected and signs.readable
        and not signs.woke and not signs.lit and signs.named in (None, "a")
    )  # fmt: skip


@given(SIGNS)
def test_only_what_is_all_right_passes(signs: Signs) -> None:
    """Any sign that does not fit fails the check, with an advice; all that fit pass it."""
    verdict = judge_signs(WIRING, signs)
    assert verdict.ok is right(signs)
    assert all(bool(row["advice"]) is not row["ok"] for row in verdict.rows)
    assert all(row["text"] for row in verdict.rows)


@given(SIGNS)
def test_only_another_board_that_gave_a_sign_is_crossed(signs: Signs) -> None:
    """Nobody is put aside who was not heard, nor the board itself by its own signs."""
    verdict = judge_signs(WIRING, signs)
    assert set(verdict.crossed) <= {*signs.woke, *signs.lit, signs.named} - {"a", None}
    if verdict.ok:
        assert verdict.crossed == ()


def test_a_supply_is_judged_by_what_it_reads() -> None:
    """The opposite is wrong, nothing at all is wrong, and what cannot be read is judged by what follows."""
    on, off = PowerState.ON, PowerState.OFF
    assert judge_switching(WIRING, on, Switched(PowerReading(on)))["ok"] is True
    assert judge_switching(WIRING, on, Switched(PowerReading(off, detail="searching")))["ok"] is False
    assert judge_switching(WIRING, off, Switched(error="it hangs"))["text"] == "it hangs"
    assert judge_switching(WIRING, off, Switched(PowerReading(PowerState.UNKNOWN)))["ok"] is True


def test_a_port_is_wrong_only_when_it_powers_another_board() -> None:
    """Switches number their ports in their own ways: another number alone proves nothing."""
    assert judge_port(WIRING, "sw", 1, 1, None)["ok"] is True
    assert judge_port(WIRING, "sw", 1, 51, None)["ok"] is True
    assert judge_port(WIRING, "sw", 1, None, None)["ok"] is True
    assert 'which powers "b"' in str(judge_port(WIRING, "sw", 1, 2, "b")["text"])
    assert judge_silence(WIRING, still_speaks=True)["ok"] is False


def test_a_board_without_a_console_on_a_network_of_others_is_not_judged() -> None:
    """What cannot be heard is said to be so, and not held against it."""
    silent = Wiring("a", "port 1 of sw", None, (), served=False)
    verdict = judge_signs(silent, Signs(seconds=180))
    assert verdict.ok
    assert "not judged" in str(verdict.rows[0]["text"])
