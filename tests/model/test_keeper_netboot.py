"""Steps whose system comes over the network and is not the agent: installers and live systems."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_board import (
    BOOT,
    INSTALL,
    INSTALLERS,
    LIVE,
    WIPE,
    controlled,
    directed,
    netboot,
    powers,
    world,
)

from hostler.model.boot import BootIntent, BootTarget, boot_intent
from hostler.model.keeper_netboot import RESTART_SECONDS
from hostler.model.keeper_outcome import ATTEMPTS
from hostler.model.keeper_view import Seen, StartBoot, View, Wait
from hostler.model.netboot_order import DoneSignal
from hostler.model.plan import StepKind
from hostler.model.power import PowerState
from hostler.model.run import Phase, RunState

CALLBACK = INSTALLERS[DoneSignal.CALLBACK]
SECOND_BOOT = INSTALLERS[DoneSignal.SECOND_BOOT]


def purposes(w):
    return [a.purpose for a in w.actions if isinstance(a, StartBoot)]


def until(w, phase: Phase, step: int = 0):
    while (run := w.view.memory.run) is None or (run.step, run.phase) != (step, phase):
        w.act()
    return w


@pytest.mark.parametrize("done", DoneSignal)
def test_an_installer_runs_and_its_system_boots_without_power_being_pulled(done):
    """An installer that restarts by itself comes to its disk: its last writes are its own matter."""
    w = world(WIPE, INSTALLERS[done], BOOT, step_takes=300.0)
    run = w.run().memory.run
    assert run.state is RunState.SUCCEEDED, run.error
    assert purposes(w) == ["agent", "network", "local"]
    assert powers(w) == [PowerState.OFF, PowerState.ON] * 2  # none between installer and local boot
    result = run.results[1]
    assert result["image"] == "system"
    assert 300 <= result["seconds"] <= 400
    assert result.get("body") == ("fine" if done is DoneSignal.CALLBACK else None)


def test_an_installer_that_does_not_restart_is_helped_after_a_while():
    """One that only says it is done has time to write what it holds; then power is pulled."""
    w = world(CALLBACK, BOOT, restarts_after=None)
    until(w, Phase.POWERING, 1)
    at = w.now
    assert w.run().memory.run.state is RunState.SUCCEEDED
    assert w.now >= at + RESTART_SECONDS
    assert powers(w) == [PowerState.OFF, PowerState.ON] * 2


def test_what_said_that_it_is_done_is_not_handed_out_again():
    """From the signal on the answer is the next step's, at once."""
    w = until(world(CALLBACK, BOOT), Phase.PREPARING, 1)
    assert boot_intent(w.view.desired, w.view.memory.run) is BootIntent.LOCAL


def test_a_board_whose_restart_is_the_signal_is_held_until_that_is_noted():
    """Its firmware may ask before the rack has heard: it is not given its installer again."""
    w = until(world(SECOND_BOOT, BOOT), Phase.BOOTING)
    assert boot_intent(w.view.desired, w.view.memory.run) is BootIntent.STEP
    until(w, Phase.EXECUTING)
    assert boot_intent(w.view.desired, w.view.memory.run) is BootIntent.HOLD


def test_an_installer_may_restart_once_in_between():
    """A second hand-out is allowed; the run goes on to its signal."""
    w = world(CALLBACK, BOOT, restarts_early=1)
    run = w.run().memory.run
    assert run.state is RunState.SUCCEEDED
    assert purposes(w) == ["network", "local"]


def test_nothing_is_installed_again_and_again():
    """A third request within one attempt ends it, and the second attempt ends the run with that said."""
    w = world(CALLBACK, restarts_early=1000)
    run = w.run().memory.run
    assert run.state is RunState.FAILED
    assert 'given "system" 2 times and asked for it again without saying that it is done' in run.error
    assert purposes(w) == ["network"] * ATTEMPTS


def test_an_installer_that_says_that_it_failed_fails_the_run():
    """Its words are the run's error; it is not tried again."""
    w = world(CALLBACK, says="fail")
    run = w.run().memory.run
    assert (run.state, run.error) == (RunState.FAILED, "no mirror")
    assert purposes(w) == ["network"]


def test_an_installer_without_a_word_times_out():
    """Its deadline counts from power-on; what took so long is not begun again."""
    w = world(netboot(StepKind.INSTALL, DoneSignal.CALLBACK, seconds=900.0), says="nothing")
    run = w.run().memory.run
    assert run.state is RunState.TIMED_OUT
    assert run.error == '"system" went on for 900 s without saying that it is done'
    assert 900 <= w.now - 1000 <= 950


def test_a_board_that_never_fetches_its_system_fails_long_before_the_systems_own_deadline():
    """The platform's boot deadline holds for every boot over the network."""
    w = world(netboot(StepKind.INSTALL, DoneSignal.CALLBACK, seconds=100_000.0), never_boots=True)
    run = w.run().memory.run
    assert run.state is RunState.FAILED
    assert 'did not fetch "system" within 300 s of power-on' in run.error
    assert w.now < 2000


def test_a_live_system_stays_up_when_it_is_the_last_step():
    """The run has succeeded and the board runs on in the boot that brought it there."""
    w = world(WIPE, LIVE, restarts_after=None)
    assert w.run().memory.run.state is RunState.SUCCEEDED
    w.actions.clear()
    for _ in range(20):
        w.act()
    assert {type(action) for action in w.actions} == {Wait}
    assert w.powered_at is not None
    assert w.view.memory.boot.purpose == "network"


def test_a_live_system_is_cut_off_for_the_next_step():
    """It has done what it was for; no restart of its own is waited for."""
    w = world(LIVE, WIPE, restarts_after=None)
    until(w, Phase.POWERING, 1)
    at = w.now
    assert w.run().memory.run.state is RunState.SUCCEEDED
    assert purposes(w) == ["network", "agent"]
    assert w.now < at + 120


@pytest.mark.parametrize("next_step", [BOOT, WIPE])
def test_a_disk_first_board_is_directed_for_an_installer_as_for_the_agent(next_step):
    """Its restart goes to its disk unheard; after a while the next boot begins with its own direction."""
    w = controlled(CALLBACK, next_step)
    run = w.run().memory.run
    assert run.state is RunState.SUCCEEDED, run.error
    last = BootTarget.DISK if next_step is BOOT else BootTarget.NETWORK
    assert directed(w) == [(BootTarget.NETWORK, 1), (last, 1)]


def test_a_keeper_that_was_killed_while_an_installer_ran_waits_on():
    """What was handed out is remembered: a restart is still the signal, and power stays."""
    w = until(world(SECOND_BOOT, BOOT), Phase.EXECUTING)
    w.view = View(w.view.desired, w.view.memory, Seen(since=w.now))
    w.read_power()
    assert w.run().memory.run.state is RunState.SUCCEEDED
    assert purposes(w) == ["network", "local"]


def test_a_keeper_that_was_killed_after_the_signal_leaves_the_installer_its_time():
    """Before its supply was read again nobody knows that it is off."""
    w = until(world(CALLBACK, BOOT, restarts_after=None), Phase.POWERING, 1)
    w.view = View(w.view.desired, w.view.memory, Seen(since=w.now))
    w.actions.clear()
    assert isinstance(w.act(), Wait)
    w.read_power()
    assert w.run().memory.run.state is RunState.SUCCEEDED


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.sampled_from([WIPE, INSTALL, BOOT, LIVE, *INSTALLERS.values()]), min_size=1, max_size=5
    ),
    says=st.sampled_from(["done", "done", "done", "fail", "nothing"]),
    restarts_early=st.integers(0, 5),
    restarts_after=st.sampled_from([None, 0.0, 20.0, 170.0, 400.0]),
    never_boots=st.booleans(),
    power_fails=st.integers(0, 6),
    disk_first=st.booleans(),
    step_takes=st.floats(1, 200),
    kill_every=st.sampled_from([0, 2, 3, 7, 20]),
)
def test_every_run_ends_whatever_an_installer_does(
    steps,
    says,
    restarts_early,
    restarts_after,
    never_boots,
    power_fails,
    disk_first,
    step_takes,
    kill_every,
):
    """A run succeeds with a result for each step or says why not, and no boot hands out more than twice."""
    w = (controlled if disk_first else world)(
        *steps,
        says=says,
        restarts_early=restarts_early,
        restarts_after=restarts_after,
        never_boots=never_boots,
        power_fails=power_fails,
        step_takes=step_takes,
    )
    run = w.run(limit=40_000, kill_every=kill_every).memory.run
    assert run.state.ended
    assert w.view.memory.rounds <= 2
    if run.state is RunState.SUCCEEDED:
        assert len(run.results) == len(steps)
    else:
        assert run.error


def test_an_unread_supply_is_no_reason_to_cut_an_installer_off():
    """Where nothing can be read, what was sent counts: the installer's restart is waited for."""
    w = world(CALLBACK, BOOT)
    w.read_power = lambda: w.see(power=replace(w.view.seen.power, state=PowerState.UNKNOWN))
    w.read_power()
    assert w.run().memory.run.state is RunState.SUCCEEDED
    assert powers(w) == [PowerState.OFF, PowerState.ON]
