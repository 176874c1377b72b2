"""How long boots take, learnt from those that came up."""

from __future__ import annotations

from typing import Any

from hostler.model.boot_story import BootStory, Reached
from hostler.model.trace import TraceEvent
from hostler.model.usual_times import FEWEST_BOOTS, slow_stages, stage_seconds, usual_times

PXE = {"firmware": "pxe"}


def boot(address: float, kernel: float | None, hello: float | None = None, until: float = 0.0) -> BootStory:
    """A boot into the agent: its firmware asks after 5 s, and the rest when told."""
    rows: list[tuple[float, str, str, dict[str, Any]]] = [
        (0, "power", "on", {}), (5, "dhcp", "discover", PXE), (address, "dhcp", "ack", PXE),
        (address + 1, "http", "done", {"file": "kernel"}),
    ]  # fmt: skip
    if kernel is not None:
        rows.append((kernel, "console", "kernel", {}))
    if hello is not None:
        rows += [(hello, "agent", "hello", {}), (hello + 9, "agent", "done", {})]
    events = [TraceEvent(1e9 + at, source, kind, "", data=data) for at, source, kind, data in rows]
    return BootStory(events, to_agent=True, until=1e9 + max(until, rows[-1][0]))


GOOD = [stage_seconds(boot(8, 12 + n, 20 + n)) for n in range(FEWEST_BOOTS)]


def test_each_stage_counts_from_the_one_before() -> None:
    """What was slow before does not make everything after it slow."""
    assert stage_seconds(boot(30, 36, 44)) == {
        Reached.ASKED: 5, Reached.ANSWERED: 25, Reached.FILE: 1, Reached.KERNEL: 5, Reached.SYSTEM: 8,
    }  # fmt: skip


def test_of_few_boots_nothing_is_learnt() -> None:
    """One boot less than it takes says nothing."""
    assert usual_times(GOOD[1:]) == {}
    assert usual_times(GOOD)[Reached.KERNEL].longest == 5


def test_a_slow_stage_is_told_with_the_numbers() -> None:
    """Only the slow one, by how much, and of how many boots that is known."""
    (slow,) = slow_stages(boot(8, 60, 68), usual_times(GOOD))
    assert slow.usual.stage is Reached.KERNEL
    assert slow.reached
    assert slow.text == "Its kernel took 51 s; in 3 boots that came up it took 4 s, 5 s at most."


def test_what_is_overdue_is_told() -> None:
    """A stage that has not come after far longer than ever, and not before that."""
    usual = usual_times(GOOD)
    assert slow_stages(boot(8, None, until=18), usual) == []
    (slow,) = slow_stages(boot(8, None, until=69), usual)
    assert not slow.reached
    assert "still awaited after 60 s" in slow.text


def test_a_boot_like_the_others_is_not_slow() -> None:
    """Nor one that is quicker, nor one that never had power."""
    usual = usual_times(GOOD)
    assert slow_stages(boot(8, 13, 20), usual) == []
    assert slow_stages(BootStory([], to_agent=True, until=2e9), usual) == []
