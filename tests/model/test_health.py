"""Which board is checked next, what a failed run says of a board, and how long a boot took."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hostler.model.health import (
    Candidate,
    HealthPlan,
    StageTimes,
    Urgency,
    boot_stages,
    next_checks,
    stage_times,
    suspicious,
)
from hostler.model.netboot_order import NetbootOrder
from hostler.model.plan import StepKind, StepOrder
from hostler.model.run import Phase, RunOrder, RunState, RunStatus
from hostler.model.trace import TraceEvent

DAY = 86400.0
DAILY = {"pc": HealthPlan(every=DAY, at_once=2)}

boards = st.lists(
    st.builds(
        Candidate,
        board=st.integers(0, 30).map(lambda number: f"b{number}"),
        board_class=st.sampled_from(["pc", "arm"]),
        free=st.booleans(),
        checking=st.booleans(),
        asked=st.booleans(),
        suspect=st.booleans(),
        at=st.none() | st.floats(0, 3 * DAY),
    ),
    unique_by=lambda board: board.board,
)
plans = st.dictionaries(
    st.sampled_from(["pc", "arm"]),
    st.builds(
        HealthPlan,
        every=st.none() | st.floats(600, DAY),
        at_once=st.none() | st.integers(1, 5),
    ),
)


@given(boards, plans, st.floats(0, 5 * DAY))
def test_never_more_than_allowed_and_never_a_board_in_use(candidates, kinds, now):
    """Whatever the lab looks like, only free boards are chosen, and no more of a class than its plan says."""
    chosen = [name for name, _ in next_checks(candidates, kinds, now)]
    by_name = {board.board: board for board in candidates}
    assert len(set(chosen)) == len(chosen)
    assert all(by_name[name].free and not by_name[name].checking for name in chosen)
    for name in {by_name[name].board_class for name in chosen}:
        members = [board for board in candidates if board.board_class == name]
        under_way = sum(board.checking for board in members) + sum(b.board in chosen for b in members)
        assert under_way <= kinds.get(name, HealthPlan()).most(len(members))


@given(st.integers(1, 12), st.integers(1, 3), st.data())
def test_every_board_has_its_turn(count, at_once, data):
    """However often boards are taken by people, each that is free now and then is checked in the end."""
    plan = {"pc": HealthPlan(every=DAY, at_once=at_once)}
    lab = {f"b{n}": Candidate(f"b{n}", "pc", free=True) for n in range(count)}
    now = DAY
    for _ in range(count):
        # One board at least is left by people each time, and never the same ones twice running.
        taken = data.draw(st.sets(st.sampled_from(sorted(lab)), max_size=count - 1))
        for rest in (taken, set(lab) - taken):
            view = [replace(board, free=name not in rest) for name, board in lab.items()]
            for name, _ in next_checks(view, plan, now):
                lab[name] = replace(lab[name], at=now)
            now += 1
    assert all(board.at is not None for board in lab.values())


def test_the_most_urgent_goes_first():
    """Asked for before suspect, suspect before new, new before overdue, and of those the oldest verdict."""
    candidates = [
        Candidate("late", "pc", free=True, at=2 * DAY),
        Candidate("latest", "pc", free=True, at=DAY),
        Candidate("new", "pc", free=True),
        Candidate("suspect", "pc", free=True, at=4 * DAY, suspect=True),
        Candidate("asked", "pc", free=True, at=4 * DAY, asked=True),
        Candidate("fresh", "pc", free=True, at=4 * DAY),
    ]
    order = next_checks(candidates, {"pc": HealthPlan(every=DAY, at_once=9)}, 4.5 * DAY)
    assert order == [
        ("asked", Urgency.ASKED), ("suspect", Urgency.SUSPECT), ("new", Urgency.NEW),
        ("latest", Urgency.OVERDUE), ("late", Urgency.OVERDUE),
    ]  # fmt: skip


def test_a_class_without_checks_is_checked_only_when_asked():
    """Without [classes.C.health] nothing is checked by itself; somebody who asks is served all the same."""
    boards = [Candidate("a", "arm", free=True, suspect=True), Candidate("b", "arm", free=True, asked=True)]
    assert next_checks(boards, DAILY, DAY) == [("b", Urgency.ASKED)]


def test_what_a_failed_run_says_of_the_board():
    """An image that shows no login, an installer, a person who cancels say nothing of it; all else does."""
    order = RunOrder("r", (StepOrder(StepKind.INSTALL), StepOrder(StepKind.BOOT)))
    assert suspicious(order, RunStatus("r", RunState.FAILED, 0, Phase.BOOTING))
    assert suspicious(order, RunStatus("r", RunState.TIMED_OUT, 0, Phase.EXECUTING))
    assert suspicious(order, RunStatus("r", RunState.FAILED, 1, Phase.POWERING))
    assert not suspicious(order, RunStatus("r", RunState.FAILED, 1, Phase.BOOTING))
    assert not suspicious(order, RunStatus("r", RunState.CANCELLED, 0, Phase.EXECUTING))
    assert not suspicious(order, RunStatus("r", RunState.SUCCEEDED, 2))
    system = NetbootOrder("installer", "k").to_json()
    installer = RunOrder("r", (StepOrder(StepKind.INSTALL, {"netboot": system}),))
    assert suspicious(installer, RunStatus("r", RunState.FAILED, 0, Phase.BOOTING))
    assert not suspicious(installer, RunStatus("r", RunState.TIMED_OUT, 0, Phase.EXECUTING))


def test_stages_of_a_boot():
    """Each stage is timed from power-on to its first sign; what came before, or never, is left out."""
    seen = [TraceEvent(at, source, kind, "") for at, source, kind in (
        (9.0, "dhcp", "ack"), (14.0, "dhcp", "ack"), (18.0, "dhcp", "ack"), (15.0, "tftp", "done"),
    )]  # fmt: skip
    assert boot_stages(10.0, seen) == {"dhcp": 4.0}
    assert boot_stages(10.0, [*seen, TraceEvent(41.26, "agent", "hello", "")]) == {"dhcp": 4.0, "agent": 31.3}
    times = stage_times([{"dhcp": 4.0, "agent": 30.0}, {"dhcp": 6.0, "agent": 32.0}, {"dhcp": 5.0}])
    assert times == [StageTimes("dhcp", 3, 4.0, 5.0, 6.0), StageTimes("agent", 2, 30.0, 31.0, 32.0)]
