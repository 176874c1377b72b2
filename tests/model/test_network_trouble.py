"""What the events of a boot show to be wrong with the network."""

from __future__ import annotations

import pytest

from hostler.model.network_trouble import LATE_SECONDS, NetworkTrouble, seconds_asking
from hostler.model.trace import TraceEvent

ON = 1000.0


def discover(at: float, asking: int = 0, network: str = "lab", **data: object) -> TraceEvent:
    facts = {"firmware": "pxe", "network": network, "asking_seconds": asking, **data}
    return TraceEvent(at, "dhcp", "discover", "b1 asks", "b1", "52:54:00:00:00:01", "boot-1", facts)  # type: ignore[arg-type]


@pytest.fixture
def trouble() -> NetworkTrouble:
    made = NetworkTrouble()
    made.note(TraceEvent(ON, "power", "on", "b1 is on", "b1"), "lab")
    return made


def test_a_first_question_that_is_not_its_first_tells_of_a_port_that_waits(trouble: NetworkTrouble) -> None:
    """The firmware's own count is the evidence: its earlier questions were lost; told once a boot."""
    (told,) = trouble.note(discover(ON + 34.2, 28), "lab")
    assert (told.source, told.kind, told.board, told.boot) == ("dhcp", "late", "b1", "boot-1")
    assert "had been asking for 28 s when it was first heard, 34 s after power-on" in told.text
    assert "portfast" in told.text
    assert told.data == {"asking_seconds": 28, "since_power_on": 34.2}
    assert trouble.note(discover(ON + 40, 34), "lab") == ()
    trouble.note(TraceEvent(ON + 90, "power", "on", "", "b1"), "lab")
    assert len(trouble.note(discover(ON + 100, 10), "lab")) == 1


@pytest.mark.parametrize(
    "heard",
    [
        discover(ON + 34, 0),  # firmware that was slow by itself
        discover(ON + 34, LATE_SECONDS - 1),
        discover(ON + 34, 4, firmware="ipxe", user_class="iPXE"),  # its first question says so
        discover(ON + 34, 4, firmware="pxe", user_class="iPXE"),
        discover(ON + 34, 30, firmware="u-boot"),  # it counts from its own start
        discover(ON + 34, 30, asking_seconds=None),
    ],
)
def test_a_board_that_is_slow_by_itself_is_not_the_switchs_fault(
    trouble: NetworkTrouble, heard: TraceEvent
) -> None:
    """Without a lost question nothing is said, however late the board asks."""
    assert trouble.note(heard, "lab") == ()


def test_ipxe_counts_its_questions(trouble: NetworkTrouble) -> None:
    """The second one says eight: one was lost."""
    (told,) = trouble.note(discover(ON + 9, 8, firmware="ipxe", user_class="iPXE"), "lab")
    assert told.data["asking_seconds"] == 4


def test_a_question_after_the_first_may_be_old(trouble: NetworkTrouble) -> None:
    """What is lost later has other reasons; the port did forward."""
    assert trouble.note(discover(ON + 2), "lab") == ()
    assert trouble.note(discover(ON + 60, 20), "lab") == ()


def test_a_board_on_the_wrong_network_is_told_once(trouble: NetworkTrouble) -> None:
    """Both networks are named, and what to look at."""
    (told,) = trouble.note(discover(ON + 2, network="office"), "lab")
    assert told.kind == "wrong-network"
    assert "asks on network office, and lab.toml says that it boots on lab" in told.text
    assert 'network = "office"' in told.text
    assert trouble.note(discover(ON + 9, network="office"), "lab") == ()


def test_silence_is_of_one_power_on(trouble: NetworkTrouble) -> None:
    """Anything heard ends it, and so do off, a new power-on and forgetting."""
    assert trouble.silent("b1", ON)
    assert not trouble.silent("b1", ON - 50)
    trouble.note(TraceEvent(ON + 5, "console", "kernel", "", "b1"), "lab")
    assert trouble.silent("b1", ON)  # a console is no network
    trouble.note(TraceEvent(ON + 5, "tftp", "read", "", "b1"), "lab")
    assert not trouble.silent("b1", ON)
    trouble.note(TraceEvent(ON + 9, "power", "on", "", "b1"), "lab")
    assert trouble.silent("b1", ON + 9)
    trouble.note(TraceEvent(ON + 10, "power", "off", "", "b1"), "lab")
    assert not trouble.silent("b1", ON + 9)
    trouble.forget("b1")
    assert trouble.note(TraceEvent(ON, "dhcp", "discover", "", None), "lab") == ()


@pytest.mark.parametrize(
    ("secs", "means"), [(0, 0), (4, 4), (255, 255), (260, 260), (0x0400, 4), (0x3C00, 60)]
)
def test_seconds_in_the_wrong_byte_order_are_read_right(secs: int, means: int) -> None:
    """Clients that swap the field are known by its low byte."""
    assert seconds_asking(secs) == means
