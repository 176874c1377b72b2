"""Why a board did not come up: each cause from what is seen of it, and nothing wrong said of good boots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from boot_traces import (
    ANSWERED,
    ASKS,
    FETCHED,
    FIRMWARE,
    GETS,
    HELLO,
    LOADER,
    OFFER,
    ON,
    RUNS,
    TO_AGENT,
    TO_DISK,
    WANTS,
    WELL,
    Row,
    looks,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.model.boot_story import FIRST_PATIENCE, PATIENCE, BootStory, Reached
from hostler.model.cause import Cause
from hostler.model.trace import TraceEvent
from hostler.model.verdict import judge

HEALTHY: dict[str, Any] = json.loads(Path(__file__).with_name("healthy_boots.json").read_text())
"""Boots of the virtual lab that came to their end, as traced: seconds, source, kind, text, data."""


def events_of(rows: Any) -> list[TraceEvent]:
    """Make events of rows: seconds, source, kind, text, data."""
    return [
        TraceEvent(1e9 + row[0], row[1], row[2], row[3], "pc", data=row[4] if len(row) > 4 else {})
        for row in sorted(rows, key=lambda row: row[0])
    ]


def story(rows: Any, *, to_agent: bool = True, silence: float = FIRST_PATIENCE) -> BootStory:
    events = events_of(rows)
    return BootStory(events, to_agent, events[-1].at + silence)


def test_each_cause_is_proved() -> None:
    """No cause is there that no boot of these tables has."""
    proved = {cause for table in (TO_AGENT, TO_DISK, WELL) for cause, *_ in table.values()}
    assert proved == set(Cause)


@pytest.mark.parametrize("what", TO_AGENT)
def test_each_cause_is_named(what: str) -> None:
    """Enough time after the last sign the cause is told, with what it rests on."""
    cause, rows = TO_AGENT[what]
    verdict = judge(story(rows))
    assert verdict.cause is cause, verdict
    assert verdict.evidence
    assert verdict.text.endswith((".", "?"))


@pytest.mark.parametrize("what", TO_DISK)
def test_each_cause_on_the_way_to_its_disk_is_named(what: str) -> None:
    """Likewise when nobody was to come over the network."""
    cause, rows = TO_DISK[what]
    assert judge(story(rows, to_agent=False)).cause is cause


@pytest.mark.parametrize("boot", HEALTHY)
def test_a_boot_that_came_up_is_well(boot: str) -> None:
    """Of every kind of virtual board, as it really was."""
    verdict = judge(story(HEALTHY[boot]["events"], to_agent=HEALTHY[boot]["to_agent"]))
    assert (verdict.cause, verdict.reached, verdict.advice) == (Cause.NONE, Reached.DONE, "")


@pytest.mark.parametrize("boot", HEALTHY)
def test_nothing_wrong_is_said_on_the_way(boot: str) -> None:
    """Looked at after any of its events, and a while later: nothing is missing yet."""
    rows, to_agent = HEALTHY[boot]["events"], HEALTHY[boot]["to_agent"]
    for count in range(1, len(rows) + 1):
        following = rows[count][0] - rows[count - 1][0] if count < len(rows) else 0.0
        verdict = judge(story(rows[:count], to_agent=to_agent, silence=min(following, PATIENCE - 1)))
        assert verdict.cause in (Cause.UNDER_WAY, Cause.NONE), (rows[count - 1], verdict)


@pytest.mark.parametrize("what", WELL)
def test_nothing_wrong_is_said_of_a_boot_that_is_well(what: str) -> None:
    """What looks like trouble and was overcome, or takes its time, is not called its cause."""
    cause, to_agent, silence, rows = WELL[what]
    verdict = judge(story(rows, to_agent=to_agent, silence=silence))
    assert verdict.cause is cause, verdict


def test_what_the_run_has_given_up_is_not_waited_for() -> None:
    """The run's patience ends before a verdict's; a step that only goes on to the next is not given up."""
    write = {"run": "r-1", "step": 0}
    first = (26, "run", "executing", "step 1 of 2", {**write, "attempt": 1})
    again = (71, "run", "powering", "step 1 of 2: attempt 2 because …", {**write, "attempt": 2})
    after = (71, "run", "powering", "step 2 of 2", {**write, "step": 1, "attempt": 1})
    verdict = judge(story([*FETCHED, RUNS, HELLO, first, again], silence=1))
    assert verdict.cause is Cause.AGENT_SILENT
    assert [one.text for one in verdict.evidence] == [HELLO[3], again[3]]
    for following in ((), (after,)):
        assert judge(story([*FETCHED, RUNS, HELLO, first, *following], silence=1)).cause is Cause.UNDER_WAY


def test_who_goes_in_circles_is_not_waited_for() -> None:
    """Firmware that tries again for ever is never silent; what lacks is told all the same."""
    rows = [(at + n * 30, *row[1:]) for n in range(5) for at, row in ((8, ASKS), (9, GETS))]
    assert judge(story([ON, *rows[:4]], silence=1)).cause is Cause.UNDER_WAY
    assert judge(story([ON, *rows], silence=1)).cause is Cause.NO_FILE_ASKED


def test_a_crossed_console_is_told_of_a_boot_that_came_up_too() -> None:
    """Who relies on that console would believe another board's words."""
    rows = HEALTHY["vx-bios, to the agent"]["events"]
    other = (rows[-1][0], "console", "other-board", "the agent of pi speaks", {})
    assert judge(story([*rows, other])).cause is Cause.OTHER_CONSOLE


def test_what_does_not_arrive_after_its_power_was_cut_is_no_standstill() -> None:
    """The connection lives on for a while: it is looked at, and its transfer was slow all the same."""
    asked = (12, "http", "get", "pc: kernel", {"file": "kernel"})
    events = events_of((*ANSWERED, asked, *looks(12, 1e6, 2e6, 3e6, 3e6, 3e6, 3e6)))
    assert judge(BootStory(events, True, 1e9 + 75)).cause is Cause.SLOW
    assert judge(BootStory(events, True, 1e9 + 400)).cause is Cause.TRANSFER


def test_packets_that_a_board_without_power_does_not_take_are_not_too_large() -> None:
    """The server goes on sending for a while after the power was cut, and tells of it."""
    mtu = (25, "http", "mtu", "pc takes no packet of 1500 bytes")
    events = events_of((*ANSWERED, (12, "http", "get", "pc: kernel", {"file": "kernel"}), mtu))
    assert judge(BootStory(events, True, 1e9 + 20)).cause is not Cause.PACKET_SIZE
    assert judge(BootStory(events, True, 1e9 + 30)).cause is Cause.PACKET_SIZE


def test_of_a_board_without_a_console_less_is_said() -> None:
    """What would only be seen on a console does not lack."""
    rows = events_of([ON, *ANSWERED])
    verdict = judge(BootStory(rows, to_agent=False, until=rows[-1].at + FIRST_PATIENCE, has_console=False))
    assert verdict.cause is Cause.UNKNOWN
    assert "no console" in verdict.text
    silent = judge(BootStory(events_of([ON]), to_agent=True, until=2e9, has_console=False))
    assert "it has no console" in silent.text


@settings(max_examples=300, deadline=None)
@given(
    chosen=st.lists(st.sampled_from([row for _, rows in TO_AGENT.values() for row in rows]), max_size=12),
    to_agent=st.booleans(),
    silence=st.sampled_from([0.0, PATIENCE, FIRST_PATIENCE]),
)
def test_any_trace_has_a_verdict(chosen: list[Row], to_agent: bool, silence: float) -> None:
    """Whatever was seen, in whatever order: never an error, always words."""
    events = events_of(chosen)
    verdict = judge(BootStory(events, to_agent, 1e9 + 60 + silence))
    assert verdict.text
    assert all(one in events for one in verdict.evidence)


def test_without_evidence_it_says_so() -> None:
    """Rather than to guess."""
    verdict = judge(story([ON, FIRMWARE, ASKS, OFFER, WANTS, GETS, LOADER], to_agent=False))
    assert verdict.cause in (Cause.UNKNOWN, Cause.NOTHING_BOOTS)
    assert judge(BootStory([], to_agent=True, until=0.0)).cause is Cause.UNDER_WAY


def test_what_agents_tell_may_be_anything() -> None:
    """Facts of an event that are no text are no sign of another file, and nothing stumbles over them."""
    odd = (2, "agent", "done", "step 1 is done", {"file": [], "firmware": {}, "bytes": "x"})
    assert judge(story([ON, odd])).cause is judge(story([ON, odd[:4]])).cause
