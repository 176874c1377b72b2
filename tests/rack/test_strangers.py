"""Machines nobody knows are remembered and told about, within bounds."""

from hostler.model.trace import TraceEvent
from hostler.rack.strangers import Strangers


def asked(mac: str, at: float, **data) -> TraceEvent:
    return TraceEvent(at, "dhcp", "discover", "asks", mac=mac, data={"network": "boot", **data})


def test_a_new_machine_is_news_and_the_same_again_is_not():
    """A stranger is told once, and again when more is known or a while has passed."""
    strangers = Strangers()
    first = strangers.note(asked("52:54:00:00:00:09", 100.0))
    assert first is not None
    assert strangers.note(asked("52:54:00:00:00:09", 101.0)) is None
    more = strangers.note(asked("52:54:00:00:00:09", 102.0, uuid="u"))
    assert more is not None
    assert (more.first, more.last, more.facts["uuid"]) == (100.0, 102.0, "u")
    assert strangers.note(asked("52:54:00:00:00:09", 140.0)) is not None


def test_that_it_goes_on_asking_is_no_news():
    """How long it has been asking is another number each time, and would be told to the hub each time."""
    strangers = Strangers()
    assert strangers.note(asked("52:54:00:00:00:09", 100.0)) is not None
    for second in range(1, 20):
        again = asked("52:54:00:00:00:09", 100.0 + second, asking_seconds=second, left_out=second)
        assert strangers.note(again) is None


def test_a_known_board_is_no_stranger():
    """Events of boards of the inventory are not about strangers."""
    event = TraceEvent(1.0, "dhcp", "discover", "asks", board="b1", mac="52:54:00:00:00:01")
    assert Strangers().note(event) is None


def test_strangers_are_bounded():
    """A storm of made-up MACs does not fill memory."""
    strangers = Strangers()
    told = [strangers.note(asked(f"52:54:00:00:{n >> 8:02x}:{n & 255:02x}", 1.0)) for n in range(3000)]
    assert sum(item is not None for item in told) == 1024
