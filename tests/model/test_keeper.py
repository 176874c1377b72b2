"""The keeper's decision, run against a simulated board that can fail in every way."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.model.board import Binding, Board, Lifecycle
from hostler.model.boot import BootIntent, BootTarget, boot_intent
from hostler.model.keeper import decide, looked
from hostler.model.keeper_phases import (
    ATTEMPTS,
    POWERING_SECONDS,
    STALL_SECONDS,
    WATTS_SECONDS,
)
from hostler.model.keeper_view import (
    Action,
    DirectBoot,
    Memory,
    Record,
    Report,
    Seen,
    SetPower,
    StartBoot,
    View,
    Wait,
    agent_step,
    reboot_asked,
    working,
)
from hostler.model.plan import StepKind, StepOrder
from hostler.model.power import PowerReading, PowerState
from hostler.model.power_match import MENDS, SETTLE_SECONDS
from hostler.model.run import Phase, RunOrder, RunState
from hostler.model.seam import BootRecord, Desired

BOARD = Board("b1", "pc", "boot", ("52:54:00:00:00:01",), power=(Binding("fake"),))
WIPE = StepOrder(StepKind.WIPE)
INSTALL = StepOrder(StepKind.INSTALL, {"index": "i", "size": 1, "image": "debian"})
BOOT = StepOrder(StepKind.BOOT, {"pattern": "login:", "seconds": 600.0})


def desired(*steps: StepOrder, run: str = "r1", **changes) -> Desired:
    order = RunOrder(run, steps) if steps else None
    values = {"lifecycle": Lifecycle.CLAIMED, "power": PowerState.ON, "run": order} | changes
    return Desired(BOARD, "x86-bios", **values)


@dataclass
class World:
    """A board under a keeper: obeys its actions, and breaks where a test says so."""

    view: View
    now: float = 1000.0
    boot_takes: float = 20.0
    step_takes: float = 30.0
    agent_dies: int = 0  # how many times the agent goes silent in mid-step
    never_boots: bool = False
    power_fails: int = 0
    fails_with: str = ""
    never_lasts: bool = False  # what is switched on is off again at the next look
    disk_first: bool = False  # nobody comes from the network but by its boot controls
    control_fails: int = 0  # how many times those refuse before power
    takeover_fails: int = 0  # how many times one that took the boot over fails
    directed_to: BootTarget | None = None
    powered_at: float | None = None
    agent_up: bool = False
    working_since: float | None = None
    actions: list = field(default_factory=list)

    def run(self, limit: int = 2000, kill_every: int = 0, kills: int = 50) -> View:
        """Act until the run ends or nothing is waited for; forget what was seen ``kills`` times."""
        for n in range(limit):
            run = self.view.memory.run
            if run is not None and run.state.ended:
                return self.view
            if kill_every and n % kill_every == kill_every - 1 and n < kills * kill_every:
                self.view = View(self.view.desired, self.view.memory, Seen(since=self.now))
                self.read_power()
            action = self.act()
            if isinstance(action, Wait) and action.until is None and self.view.memory.run is None:
                return self.view
        raise AssertionError(f"no end after {limit} actions: {self.actions[-5:]}")

    def act(self) -> Action:
        """Do the next thing and return it."""
        self.view = looked(self.view, self.now)
        action = decide(self.view, self.now)
        self.actions.append(action)
        if isinstance(action, Wait):
            self.tick(min(5.0, max(0.1, (action.until or self.now + 5) - self.now)))
        elif isinstance(action, Record):
            self.view = replace(self.view, memory=action.memory)
        elif isinstance(action, SetPower):
            self.set_power(action.state)
        elif isinstance(action, StartBoot):
            self.start_boot(action.purpose)
        elif isinstance(action, DirectBoot):
            self.direct_boot(action.target)
        return action

    def see(self, **changes) -> None:
        self.view = replace(self.view, seen=replace(self.view.seen, **changes))

    def read_power(self) -> None:
        state = PowerState.ON if self.powered_at is not None else PowerState.OFF
        self.see(power=PowerReading(state), looked=True)

    def set_power(self, state: PowerState) -> None:
        self.now += 1
        if self.power_fails:
            self.power_fails -= 1
            self.see(power_error="the switch is silent", power_tried=self.now, sent=None)
            return
        if state is PowerState.OFF:
            self.powered_at, self.agent_up, self.working_since = None, False, None
        elif self.powered_at is None:
            self.powered_at = self.now
        self.read_power()
        self.see(sent=state, power_error="")
        if not working(self.view) and not self.view.memory.cycling:
            self.see(match=self.view.seen.match.switched(self.now))
        boot = self.view.memory.boot
        if state is PowerState.ON and boot is not None:
            self.view = replace(self.view, memory=replace(self.view.memory, boot=replace(boot, powered=True)))

    def start_boot(self, purpose: str) -> None:
        memory = self.view.memory
        number = memory.boots + 1
        boot = BootRecord(f"boot{number}", number, self.now, purpose, token="t")
        run = memory.run
        if run is not None and not run.state.ended:
            run = replace(run, boot=boot.id)
        self.view = replace(self.view, memory=replace(memory, boot=boot, boots=number, run=run))
        if self.powered_at is not None:
            self.powered_at, self.agent_up = self.now, False  # it rebooted

    def direct_boot(self, target: BootTarget) -> None:
        assert self.powered_at is None or target is BootTarget.DISK, "a board that runs is not directed"
        self.directed_to, error = target, ""
        if target is BootTarget.NETWORK and self.control_fails:
            self.control_fails -= 1
            self.directed_to, error = None, "the BMC is silent"
        self.see(directed=self.view.memory.boot.id, direct_error=error)

    def tick(self, seconds: float) -> None:
        self.now += seconds
        if self.never_lasts:
            self.powered_at = None
            self.read_power()
        boot, step = self.view.memory.boot, agent_step(self.view)
        if self.powered_at is None or boot is None:
            return
        if not self.agent_up and self.now - self.powered_at >= self.boot_takes and not self.never_boots:
            intent = boot_intent(self.view.desired, self.view.memory.run)
            if intent is BootIntent.STEP and self.takeover_fails:
                self.takeover_fails -= 1
                self.see(direct_error="no prompt")
            elif intent is BootIntent.STEP and self.disk_first and self.directed_to is not BootTarget.NETWORK:
                pass  # its disk's system came up
            elif intent is BootIntent.STEP:
                self.agent_up, self.working_since = True, None
            elif intent is BootIntent.LOCAL:
                self.see(matched_boot=boot.id)
        if not self.agent_up:
            return
        self.see(agent_boot=boot.id, agent_at=self.now)
        status = self.view.memory.run
        if reboot_asked(self.view):
            self.report(Report(status.id, status.step, result={}))
        elif step is not None:
            self.working_since = self.working_since or self.now
            if self.agent_dies and self.now - self.working_since > 5:
                self.agent_dies -= 1
                self.agent_up, self.boot_takes = False, 10_000 if not self.agent_dies else self.boot_takes
                self.boot_takes = 20.0
                self.powered_at = self.now + 100_000  # hung: powered, but nothing comes of it
            elif self.now - self.working_since >= self.step_takes:
                self.working_since = None
                if self.fails_with:
                    self.report(Report(status.id, status.step, error=self.fails_with, log=("last line",)))
                else:
                    self.report(Report(status.id, status.step, result={"ok": True}))

    def report(self, report: Report) -> None:
        self.view = replace(self.view, memory=replace(self.view.memory, report=report))


def world(*steps: StepOrder, **changes) -> World:
    made = World(View(desired(*steps), Memory()), **changes)
    made.read_power()
    return made


def powers(w: World) -> list[PowerState]:
    return [a.state for a in w.actions if isinstance(a, SetPower)]


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


CONTROLLED = replace(BOARD, bootctl=(Binding("fake"),))


def controlled(*steps: StepOrder, **changes) -> World:
    """Return a board that boots its disk first, with a boot control."""
    made = world(*steps, disk_first=True, **changes)
    made.view = replace(made.view, desired=replace(made.view.desired, board=CONTROLLED))
    return made


def directed(w: World) -> list[tuple[BootTarget, int]]:
    return [(a.target, a.attempt) for a in w.actions if isinstance(a, DirectBoot)]


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
