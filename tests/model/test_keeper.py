"""The keeper's decision, run against a simulated board that can fail in every way."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_board import BOOT, INSTALL, WIPE, World, controlled, desired, directed, powers, world

from hostler.model.board import Lifecycle
from hostler.model.boot import BootIntent, BootTarget, boot_intent
from hostler.model.keeper import decide
from hostler.model.keeper_outcome import ATTEMPTS
from hostler.model.keeper_phases import POWERING_SECONDS, STALL_SECONDS, WATTS_SECONDS
from hostler.model.keeper_view import (
    DirectBoot,
    Memory,
    Record,
    Seen,
    SetPower,
    StartBoot,
    View,
    Wait,
)
from hostler.model.power import PowerReading, PowerState
from hostler.model.power_match import MENDS, SETTLE_SECONDS
from hostler.model.run import Phase, RunOrder, RunState


def test_a_plan_runs_to_its_end_in_one_agent_boot_and_one_local_boot():
    """Steps of the agent share one boot; the boot step reboots without pulling power."""
    w = world(WIPE, INSTALL, BOOT)
    run = w.run().memory.run
    assert run.state is RunState.SUCCEEDED
    assert len(run.results) == 3
    assert [a.purpose for a in w.actions if isinstance(a, StartBoot)] == ["agent", "local"]
    assert powers(w) == [PowerState.OFF, PowerState.ON]


def test_an_agent_that_goes_silent_is_tried_once_more():
    """A board that dies in mid-step is power-cycled and the step done again."""
    w = world(INSTALL, agent_dies=1)
    run = w.run().memory.run
    assert run.state is RunState.SUCCEEDED
    assert [a.purpose for a in w.actions if isinstance(a, StartBoot)] == ["agent", "agent"]


def test_an_agent_that_goes_silent_twice_fails_the_run_with_the_reason():
    """After the second silence the run fails and says what happened."""
    run = world(INSTALL, agent_dies=ATTEMPTS).run().memory.run
    assert run.state is RunState.FAILED
    assert f"silent for {STALL_SECONDS:g} s" in run.error


def test_a_failure_the_agent_reports_is_not_tried_again():
    """What the agent says failed failed: trying again would hide it."""
    w = world(INSTALL, fails_with="image is larger than the disk")
    run = w.run().memory.run
    assert (run.state, run.error, run.log) == (
        RunState.FAILED,
        "image is larger than the disk",
        ("last line",),
    )
    assert len([a for a in w.actions if isinstance(a, StartBoot)]) == 1


def test_a_board_that_never_boots_fails_after_its_deadline():
    """No agent within the platform's deadline, twice: failed, with how long was waited."""
    run = world(WIPE, never_boots=True).run().memory.run
    assert run.state is RunState.FAILED
    assert "did not report within" in run.error


def test_a_switch_that_fails_once_costs_only_time():
    """A power error is tried again after a pause."""
    assert world(WIPE, power_fails=2).run().memory.run.state is RunState.SUCCEEDED


def test_a_dead_switch_fails_the_run_and_names_its_error():
    """Power that cannot be switched ends the run visibly."""
    run = world(WIPE, power_fails=1000).run().memory.run
    assert run.state is RunState.FAILED
    assert "the switch is silent" in run.error


def test_lost_power_in_mid_step_is_noticed_at_once():
    """A supply that reads off while a step executes starts the next attempt at once."""
    w = world(INSTALL)
    while w.view.memory.run is None or w.view.memory.run.phase is not Phase.EXECUTING:
        w.act()
    w.see(power=PowerReading(PowerState.OFF))
    action = decide(w.view, w.now)
    assert isinstance(action, Record)
    assert action.memory.run.attempt == 2
    assert "lost power" in action.memory.run.error


def test_a_keeper_that_was_away_gives_the_board_its_time_again():
    """After a long absence of the keeper, a board that works on is not taken for silent and not cut off."""
    w = world(INSTALL, step_takes=1000.0)
    while w.view.memory.run is None or w.view.memory.run.phase is not Phase.EXECUTING:
        w.act()
    w.tick(20 * STALL_SECONDS)
    w.view = View(w.view.desired, w.view.memory, Seen(since=w.now))
    assert isinstance(w.act(), Wait)
    assert w.run().memory.run.state is RunState.SUCCEEDED
    assert [a.purpose for a in w.actions if isinstance(a, StartBoot)] == ["agent"]


def test_the_time_of_a_step_begins_when_its_turn_comes():
    """A board that waits for its turn to fetch its image is not slow; afterwards its time is that of any."""
    w = world(INSTALL, step_takes=10**6)
    while w.view.memory.run is None or w.view.memory.run.phase is not Phase.EXECUTING:
        w.act()
    began, limit = w.now, w.view.desired.run.steps[0].seconds
    w.tick(limit + 100)
    w.see(agent_at=w.now, agent_phase=Phase.WAITING, agent_waited=w.now)
    assert isinstance(decide(w.view, w.now), Wait)
    waited = w.now
    w.tick(limit - 1)
    w.see(agent_at=w.now, agent_phase=Phase.EXECUTING)
    assert isinstance(decide(w.view, w.now), Wait)
    w.tick(2)
    action = decide(w.view, w.now)
    assert isinstance(action, Record)
    assert action.memory.run.state is RunState.TIMED_OUT
    assert began < waited < w.now


def test_a_cancelled_run_ends_cancelled():
    """The hub's word is enough."""
    w = world(INSTALL)
    w.view = replace(w.view, desired=replace(w.view.desired, run=RunOrder("r1", (INSTALL,), cancelled=True)))
    assert w.run().memory.run.state is RunState.CANCELLED


def test_a_missing_artefact_fails_before_anything_is_touched():
    """What is not on the rack is said before power is."""
    w = world(INSTALL)
    w.see(missing=("i",))
    assert "missing on this rack: i" in w.run().memory.run.error
    assert powers(w) == []


def test_an_idle_board_is_switched_to_what_is_desired():
    """Without a run, power follows the wish, and each power-on is a boot of its own."""
    w = world()
    w.run()
    assert powers(w) == [PowerState.ON]
    w.view = replace(w.view, desired=replace(w.view.desired, power=PowerState.OFF))
    w.run()
    w.view = replace(w.view, desired=replace(w.view.desired, power=PowerState.ON))
    assert w.run().memory.boots == 2


def test_a_cycle_is_done_once_for_each_time_it_was_asked():
    """A power cycle is off and on, and is not repeated after it was done."""
    w = world()
    w.run()
    w.view = replace(w.view, desired=replace(w.view.desired, cycles=1))
    w.actions.clear()
    view = w.run()
    assert powers(w) == [PowerState.OFF, PowerState.ON]
    assert view.memory.cycles == 1
    assert view.memory.boots == 2


def test_equipment_that_cannot_be_read_is_believed():
    """Where the supply cannot be read, what was sent counts; unknown is never taken for off."""
    w = world(WIPE)
    w.read_power = lambda: w.see(power=PowerReading(PowerState.UNKNOWN))
    w.read_power()
    assert w.run().memory.run.state is RunState.SUCCEEDED


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.sampled_from([WIPE, INSTALL, BOOT]), min_size=1, max_size=5),
    agent_dies=st.integers(0, 4),
    never_boots=st.booleans(),
    power_fails=st.integers(0, 15),
    fails_with=st.sampled_from(["", "disk died"]),
    step_takes=st.floats(1, 200),
    kill_every=st.sampled_from([0, 2, 3, 7, 20]),
)
def test_every_run_ends_whatever_breaks_and_whenever_the_keeper_is_killed(
    steps, agent_dies, never_boots, power_fails, fails_with, step_takes, kill_every
):
    """Once a keeper lives on, a run ends: it succeeded with a result for each step, or it says why not."""
    w = world(
        *steps,
        agent_dies=agent_dies,
        never_boots=never_boots,
        power_fails=power_fails,
        fails_with=fails_with,
        step_takes=step_takes,
    )
    run = w.run(limit=20_000, kill_every=kill_every).memory.run
    assert run.state.ended
    if run.state is RunState.SUCCEEDED:
        assert len(run.results) == len(steps)
    else:
        assert run.error


@pytest.mark.parametrize("lifecycle", list(Lifecycle))
@pytest.mark.parametrize("steps", [(), (WIPE,), (BOOT,)])
def test_boot_intent_is_total_and_never_writes_to_a_stranger(lifecycle, steps):
    """Every state has an answer; a discovered board is held, whatever was ordered."""
    wanted = desired(*steps, lifecycle=lifecycle)
    w = World(View(wanted, Memory()))
    status = None
    action = decide(w.view, 0.0)
    if isinstance(action, Record):
        status = action.memory.run
    intent = boot_intent(wanted, status)
    assert intent in BootIntent
    if lifecycle is Lifecycle.DISCOVERED:
        assert intent is BootIntent.HOLD


def test_a_supply_that_does_not_stay_on_is_mended_a_few_times_and_told_once():
    """A board that goes off again and again is not switched for ever; since when it differs is kept."""
    w = world(never_lasts=True)
    for _ in range(2000):
        w.act()
    assert powers(w) == [PowerState.ON] * MENDS
    told = [a.memory.mismatch for a in w.actions if isinstance(a, Record)]
    assert len([since for since in told if since is not None]) == 1
    assert w.view.memory.mismatch < w.now
    w.never_lasts = False
    w.view = replace(w.view, desired=replace(w.view.desired, asked=1))  # somebody asks again
    w.actions.clear()
    w.run()
    for _ in range(10):
        w.act()
    assert powers(w) == [PowerState.ON]
    assert w.view.memory.mismatch is None


def test_a_supply_that_is_only_slow_differs_from_nothing():
    """Before the settle time is over nothing is told."""
    w = world()
    w.see(power_error="busy", power_tried=w.now)
    while w.now < 1000 + SETTLE_SECONDS - 6:
        w.act()
    assert w.view.memory.mismatch is None


def test_a_difference_is_told_while_the_switch_does_not_answer_and_ends_when_it_obeys():
    """Trouble that lasts is a mismatch since its beginning; retries go on, as nothing was switched."""
    w = world(power_fails=20)
    for _ in range(400):
        w.act()
    mismatches = [a.memory.mismatch for a in w.actions if isinstance(a, Record)]
    assert [since for since in mismatches if since] == [1000.0]
    assert w.view.memory.mismatch is None
    assert len(powers(w)) == 21


def test_a_run_that_waits_for_watts_does_not_fail_for_it():
    """The time for switching begins when the wait is over; only a very long wait ends the run."""
    w = world(WIPE)
    while not (isinstance(w.act(), SetPower) and w.actions[-1].state is PowerState.ON):
        pass
    w.powered_at = None
    w.read_power()
    boot = replace(w.view.memory.boot, powered=False)
    status = replace(w.view.memory.run, phase=Phase.POWERING)
    w.view = replace(w.view, memory=replace(w.view.memory, boot=boot, run=status))
    w.see(waits="waits for 13 W on switch sw1", waits_since=w.now)
    w.now += POWERING_SECONDS * 10
    assert decide(w.view, w.now) == SetPower(PowerState.ON)
    late = decide(w.view, w.now + WATTS_SECONDS)
    assert isinstance(late, Record)
    assert late.memory.run.state is RunState.FAILED
    assert "waits for 13 W on switch sw1, for longer than 60 min" in late.memory.run.error
    w.see(waits="", waited=w.now)
    assert decide(w.view, w.now) == SetPower(PowerState.ON)
    assert w.run().memory.run.state is RunState.SUCCEEDED


def test_a_board_that_is_partly_on_is_switched_off():
    """One wire of several that is still on keeps a board from counting as off."""
    w = world()
    w.view = replace(w.view, desired=replace(w.view.desired, power=PowerState.OFF))
    w.see(power=PowerReading(PowerState.OFF, partly=True), sent=PowerState.OFF)
    w.run()
    assert powers(w) == [PowerState.OFF]


@pytest.mark.parametrize("power", [PowerState.ON, PowerState.OFF])
def test_a_restart_switches_nothing_that_is_as_it_should_be(power):
    """A new keeper looks before it acts: a board that runs keeps running, in the same boot."""
    w = world()
    w.run()
    w.view = replace(w.view, desired=replace(w.view.desired, power=power))
    w.run()
    boots = w.view.memory.boots
    w.view = View(w.view.desired, w.view.memory, Seen(since=w.now))
    w.actions.clear()
    assert w.act() == Wait(None)
    w.read_power()
    w.run()
    assert powers(w) == []
    assert w.view.memory.boots == boots


def test_a_restart_while_nobody_can_read_begins_no_boot():
    """A board that may well be running is told to be on again, and counts as the boot it was in."""
    w = world()
    w.run()
    w.view = View(w.view.desired, w.view.memory, Seen(since=w.now, looked=True))
    w.actions.clear()
    w.act()
    assert w.actions == [SetPower(PowerState.ON)]
    assert w.view.memory.boots == 1


def test_boot_controls_are_asked_before_power_and_told_to_leave_a_local_boot_alone():
    """A disk-first board runs its steps: directed to the network while off, to its disk afterwards."""
    w = controlled(WIPE, INSTALL, BOOT)
    assert w.run().memory.run.state is RunState.SUCCEEDED
    assert directed(w) == [(BootTarget.NETWORK, 1), (BootTarget.DISK, 1)]
    kinds = [type(a) for a in w.actions if not isinstance(a, Record | Wait)]
    assert kinds[:4] == [SetPower, StartBoot, DirectBoot, SetPower]


def test_a_board_without_boot_controls_is_not_directed():
    """Network-first firmware needs nothing."""
    w = world(WIPE, BOOT)
    w.run()
    assert directed(w) == []


@pytest.mark.parametrize("where", ["control_fails", "takeover_fails"])
def test_a_boot_control_that_fails_is_tried_again_at_once_and_then_fails_the_run(where):
    """No deadline of minutes passes for a board that is known not to come; the second time says why."""
    w = controlled(WIPE, **{where: 1})
    assert w.run().memory.run.state is RunState.SUCCEEDED
    assert directed(w) == [(BootTarget.NETWORK, 1), (BootTarget.NETWORK, 2)]
    assert w.now < 1000 + 120
    run = controlled(WIPE, **{where: ATTEMPTS}).run().memory.run
    assert run.state is RunState.FAILED
    assert "could not be made to boot from the network" in run.error


def test_an_idle_board_is_directed_to_its_disk_once_for_each_boot():
    """Switching on by hand takes back what an earlier boot was told."""
    w = controlled()
    w.run()
    assert directed(w) == [(BootTarget.DISK, 1)]
    w.view = View(w.view.desired, w.view.memory, Seen(since=w.now))  # the keeper was killed
    w.read_power()
    w.run()
    assert directed(w) == [(BootTarget.DISK, 1)]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from([WIPE, INSTALL, BOOT]), min_size=1, max_size=4),
    control_fails=st.integers(0, 3),
    takeover_fails=st.integers(0, 3),
    power_fails=st.integers(0, 4),
    kill_every=st.sampled_from([0, 2, 3, 7, 20]),
)
def test_every_run_of_a_directed_board_ends(steps, control_fails, takeover_fails, power_fails, kill_every):
    """With boot controls, too, a run ends whatever breaks and whenever the keeper is killed."""
    w = controlled(
        *steps, control_fails=control_fails, takeover_fails=takeover_fails, power_fails=power_fails
    )
    run = w.run(limit=20_000, kill_every=kill_every).memory.run
    assert run.state.ended
    assert run.state is RunState.SUCCEEDED or run.error


def test_a_boot_that_was_meant_for_a_run_and_never_got_power_is_not_used_for_anything_else():
    """Switching on after a run was cancelled begins a boot of its own, directed to the disk."""
    w = controlled(WIPE)
    while not isinstance(w.act(), DirectBoot):
        pass
    w.view = replace(w.view, desired=replace(w.view.desired, run=RunOrder("r1", (WIPE,), cancelled=True)))
    w.run()
    for _ in range(5):
        w.act()
    assert directed(w) == [(BootTarget.NETWORK, 1), (BootTarget.DISK, 1)]
    assert [a.purpose for a in w.actions if isinstance(a, StartBoot)] == ["agent", "local"]


def test_a_takeover_that_the_keeper_did_not_survive_is_done_again_from_power_off():
    """A board left at a prompt does not cost its boot's whole deadline, nor one of its attempts."""
    w = controlled(WIPE)
    while w.view.memory.run is None or w.view.memory.run.phase is not Phase.BOOTING:
        w.act()
    memory = replace(w.view.memory, taking=w.view.memory.boot.id)
    w.view = View(w.view.desired, memory, Seen(since=w.now))
    w.read_power()
    at = w.now
    run = w.run().memory.run
    assert run.state is RunState.SUCCEEDED
    assert directed(w) == [(BootTarget.NETWORK, 1), (BootTarget.NETWORK, 1)]
    assert powers(w) == [PowerState.OFF, PowerState.ON] * 2
    assert w.now < at + 120
