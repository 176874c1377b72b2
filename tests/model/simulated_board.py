"""A board under a keeper, in a world that can fail in every way."""

import math
from dataclasses import dataclass, field, replace

from hostler.model.board import Binding, Board, Lifecycle
from hostler.model.boot import BootIntent, BootTarget, boot_intent
from hostler.model.keeper import decide, looked
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
    netboot_step,
    reboot_asked,
    working,
)
from hostler.model.netboot_order import DoneSignal, NetbootOrder, netboot_order
from hostler.model.plan import StepKind, StepOrder
from hostler.model.power import PowerReading, PowerState
from hostler.model.run import RunOrder
from hostler.model.seam import BootRecord, Desired

BOARD = Board("b1", "pc", "boot", ("52:54:00:00:00:01",), power=(Binding("fake"),))
WIPE = StepOrder(StepKind.WIPE)
INSTALL = StepOrder(StepKind.INSTALL, {"index": "i", "size": 1, "image": "debian"})
BOOT = StepOrder(StepKind.BOOT, {"pattern": "login:", "seconds": 600.0})


def netboot(kind: StepKind, done: DoneSignal, **changes) -> StepOrder:
    order = NetbootOrder("system", "k", "i", done=done, pattern="up!", **changes)
    return StepOrder(kind, {"image": "system", "netboot": order.to_json()})


INSTALLERS = {done: netboot(StepKind.INSTALL, done) for done in DoneSignal}
LIVE = netboot(StepKind.LIVE, DoneSignal.CONSOLE)


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
    restarts_early: int = 0  # how many times an installer restarts without a word
    restarts_after: float | None = 20.0  # seconds after its word until it does; None: never
    says: str = "done"  # an installer's last word: done, fail, or nothing
    finished_at: float | None = None
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
        self.view = replace(self.view, memory=replace(memory, boot=boot, boots=number, run=run, rounds=0))
        if self.powered_at is not None:
            self.powered_at, self.agent_up = self.now, False  # it rebooted
        self.finished_at = None

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
            system = self.system()
            if intent is BootIntent.STEP and self.takeover_fails:
                self.takeover_fails -= 1
                self.see(direct_error="no prompt")
            elif intent is BootIntent.STEP and self.disk_first and self.directed_to is not BootTarget.NETWORK:
                pass  # its disk's system came up
            elif intent is BootIntent.STEP and system is not None:
                self.agent_up, self.working_since, self.finished_at = True, self.now, None
                self.see(handed=boot.id, returned=None)
            elif intent is BootIntent.STEP:
                self.agent_up, self.working_since = True, None
            elif intent is BootIntent.LOCAL:
                self.see(matched_boot=boot.id)
        if not self.agent_up:
            return
        if boot.purpose == "network":
            self.install(boot)
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

    def system(self) -> NetbootOrder | None:
        """Return what the present step brings over the network instead of the agent."""
        order, status = self.view.desired.run, self.view.memory.run
        if order is None or status is None or status.step >= len(order.steps):
            return None
        return netboot_order(order.steps[status.step])

    def install(self, boot: BootRecord) -> None:
        """Live on as an installer or a live system."""
        present = netboot_step(self.view)
        if self.finished_at is not None:
            if self.restarts_after is not None and self.now >= self.finished_at + self.restarts_after:
                self.restart(boot)
        elif present is not None and self.restarts_early and self.now - self.working_since > 5:
            self.restarts_early -= 1
            self.restart(boot)
        elif present is not None and self.now - self.working_since >= self.step_takes:
            status, order = present
            self.finished_at = self.now
            if self.says == "fail":
                self.report(Report(status.id, status.step, error="no mirror"))
            elif self.says == "done" and order.done is DoneSignal.CALLBACK:
                self.report(Report(status.id, status.step, result={"body": "fine"}))
            elif self.says == "done" and order.done is DoneSignal.CONSOLE:
                self.see(matched_boot=boot.id)
            elif order.done is not DoneSignal.SECOND_BOOT:
                self.finished_at = math.inf

    def restart(self, boot: BootRecord) -> None:
        self.powered_at, self.agent_up = self.now, False
        if not self.disk_first:
            self.see(handed=None, returned=boot.id)

    def report(self, report: Report) -> None:
        self.view = replace(self.view, memory=replace(self.view.memory, report=report))


def world(*steps: StepOrder, **changes) -> World:
    made = World(View(desired(*steps), Memory()), **changes)
    made.read_power()
    return made


def powers(w: World) -> list[PowerState]:
    return [a.state for a in w.actions if isinstance(a, SetPower)]


CONTROLLED = replace(BOARD, bootctl=(Binding("fake"),))


def controlled(*steps: StepOrder, **changes) -> World:
    """Return a board that boots its disk first, with a boot control."""
    made = world(*steps, disk_first=True, **changes)
    made.view = replace(made.view, desired=replace(made.view.desired, board=CONTROLLED))
    return made


def directed(w: World) -> list[tuple[BootTarget, int]]:
    return [(a.target, a.attempt) for a in w.actions if isinstance(a, DirectBoot)]
