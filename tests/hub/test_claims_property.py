"""No board to two claims, no claim lost, nobody overtaken, nothing unclean given away: whatever happens."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hostler.hub import adoption, boards, claim_queue, claim_terms, claim_time, claims, runs
from hostler.hub.database import Database
from hostler.hub.errors import Refusal
from hostler.hub.journal import Batch, rows
from hostler.hub.labfile import read_labfile
from hostler.hub.loading import load_state
from hostler.hub.pools import ANY, Pools
from hostler.hub.records import HUB, Agent, Principal, Project, Purpose, Role
from hostler.hub.state import Draft
from hostler.hub.timekeeper import tick
from hostler.hub.timetable import Timetable
from hostler.model.board import Lifecycle
from hostler.model.claim import ClaimState, Want
from hostler.model.power import PowerReading, PowerState
from hostler.model.run import RunState, RunStatus
from hostler.model.seam import Observed
from simulated_rack import WIPED

PEOPLE = [
    Principal("anna", Role.MEMBER),
    Principal("bert", Role.MEMBER, projects={"kernel": Role.MEMBER}),
    Principal("cleo", Role.MEMBER, projects={"ci": Role.ADMIN}),
]
PROJECTS = [Project("kernel", weight=2.0), Project("ci", quotas={"pc": 1, "*": 2})]
PC, ARM = Want("pc"), Want("arm")
WISHES = [
    (PC,), (ARM,), (PC,), (ARM,), (PC, PC), (PC, ARM), (Want(board="pc-1"),), (Want(labels=("arch=amd64",)),),
    (Want(labels=("slot>=1",)), ARM), (Want("pc", labels=("slot<2",)),),
]  # fmt: skip
HEAD = """
[lab]
name = "bench"
[networks.boot]
interface = "eth1"
address = "10.77.0.1/24"
range = "10.77.0.100-10.77.0.199"
[equipment.rack1]
driver = "snmp-poe"
[classes.pc]
platform = "x86-bios"
[classes.arm]
platform = "arm64-uboot"
"""
BOARDS = {f"pc-{n}": "pc" for n in range(3)} | {"arm-0": "arm"}


def lab_of(names: tuple[str, ...]) -> str:
    return HEAD + "".join(
        f'[boards.{name}]\nclass = "{BOARDS[name]}"\nmac = "52:54:00:00:00:{number:02x}"\n'
        f'power = {{ equipment = "rack1", port = {number} }}\nlabels = {{ slot = {number} }}\n'
        for number, name in enumerate(BOARDS)  # a board stays the same whoever else is there
        if name in names
    )


@cache
def _empty_database() -> bytes:
    """Migrated once; three hundred times would take a minute."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "hub.sqlite"
        Database(path).close()
        return path.read_bytes()


class Lab(RuleBasedStateMachine):
    """The hub's decisions with everything that can come from people, racks and the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "hub.sqlite"
        path.write_bytes(_empty_database())
        self.database = Database(path)
        self.state = load_state(self.database)
        self.now = 1000.0
        self.made: dict[str, ClaimState] = {}
        self.lives: dict[str, Lifecycle] = {}
        self.decide(
            lambda draft: [draft.agents.put(arch, Agent(arch, "a", "b")) for arch in ("amd64", "arm64")]
        )
        self.decide(lambda draft: adoption.apply(draft, HUB, read_labfile(lab_of(tuple(BOARDS)))))
        self.decide(lambda draft: [draft.projects.put(one.name, one) for one in PROJECTS])
        self.decide(lambda draft: [draft.principals.put(one.name, one) for one in PEOPLE])

    def teardown(self) -> None:
        self.database.close()
        self.directory.cleanup()

    def decide(self, decision, *, crash: bool = False):
        """Do what the hub does with a decision; ``crash``: the process dies before it is on the disk."""
        draft = Draft(self.state, self.now)
        try:
            result = decision(draft)
            claim_queue.settle(draft)
        except Refusal:
            return None
        self._check_order(draft)
        draft.apply()
        if crash:
            self.state = load_state(self.database)
            return None
        batch = Batch()
        rows(draft, batch)
        with self.database.engine.begin() as connection:
            batch.write(connection)
        for claim in draft.claims.changed.values():
            if claim is not None:
                self.made[claim.id] = claim.state
        draft.prune()
        return result

    def _check_order(self, draft: Draft) -> None:
        """Nobody is granted while somebody who came earlier still waits for the same class."""
        granted = [
            claim for key, claim in draft.claims.changed.items()
            if claim.state is ClaimState.ACTIVE
            and (key not in self.state.claims or self.state.claims[key].state is ClaimState.PENDING)
        ]  # fmt: skip
        for claim in granted:
            for other in draft.claims.values():
                if other.state is ClaimState.PENDING and self.standing(other) == self.standing(claim):
                    assert (claim.start, claim.created) < (other.start, other.created)

    def standing(self, claim):
        """Return what makes two claims equal before the queue."""
        booked = claim.start is not None and claim.start > self.now
        return claim.project, claim.priority, sorted(map(str, claim.wants)), claim.ttl, booked

    def pick(self, data, among):
        """Choose by place: ids are random, and a failure must be found again."""
        return among[data.draw(st.integers(0, len(among) - 1))]

    @rule(
        who=st.sampled_from(PEOPLE), wants=st.sampled_from(WISHES), wait=st.booleans(), crash=st.booleans(),
        alive=st.sampled_from([None, None, 30.0]), low=st.booleans(),
    )  # fmt: skip
    def claim(self, who, wants, wait, crash, alive, low):
        self.now += 0.001
        terms = {"wait": wait, "keep_alive": alive, "priority": -low}
        self.decide(lambda draft: claims.request(draft, who, wants, ttl=100, **terms), crash=crash and wait)

    @rule(
        who=st.sampled_from(PEOPLE), wants=st.sampled_from(WISHES), ahead=st.sampled_from([70.0, 1000.0]),
        ttl=st.sampled_from([100.0, 700.0]),
    )  # fmt: skip
    def book(self, who, wants, ahead, ttl):
        self.now += 0.001
        self.decide(lambda draft: claims.request(draft, who, wants, ttl=ttl, start=self.now + ahead))

    @precondition(lambda self: self.state.claims)
    @rule(data=st.data(), what=st.sampled_from(["extend", "alive", "kick", "hand over"]))
    def change_terms(self, data, what):
        key = self.pick(data, sorted(self.state.claims.values(), key=lambda claim: claim.created)).id
        if what == "extend":
            self.decide(lambda draft: claim_terms.extend(draft, HUB, key, 150.0))
        elif what == "alive":
            self.decide(lambda draft: claim_terms.alive(draft, HUB, key))
        elif what == "kick":
            self.decide(lambda draft: claim_terms.kick(draft, HUB, key, "make room"))
        else:
            heir = data.draw(st.sampled_from(PEOPLE)).name
            self.decide(lambda draft: claim_terms.hand_over(draft, HUB, key, heir))

    @precondition(lambda self: self.state.claims)
    @rule(data=st.data(), crash=st.booleans())
    def release(self, data, crash):
        key = self.pick(data, sorted(self.state.claims.values(), key=lambda claim: claim.created)).id
        self.decide(lambda draft: claims.release(draft, HUB, key), crash=crash)

    @rule(seconds=st.sampled_from([1.0, 61.0, 207.0, 3700.0]))
    def time_goes_by(self, seconds):
        self.now += seconds
        due = Timetable()
        for key, claim in self.state.claims.items():
            due.put(f"claim/{key}", claim_time.due_at(claim))
        for name in self.state.boards:
            due.put(f"board/{name}", self.now)
        keys = due.take(self.now)
        self.decide(lambda draft: tick(draft, keys, sweep=True))

    @rule(
        data=st.data(), state=st.sampled_from([*RunState, RunState.SUCCEEDED, RunState.SUCCEEDED]),
        power=st.sampled_from(PowerState),
        conflict=st.sampled_from([""] * 7 + ["was it swapped?"]),
    )  # fmt: skip
    def rack_reports(self, data, state, power, conflict):
        if not self.state.boards:
            return
        # Mostly of boards that are being given back: that is where it matters.
        names = sorted(self.state.boards)
        releasing = [name for name in names if self.state.boards[name].lifecycle is Lifecycle.RELEASING]
        record = self.state.boards[self.pick(data, names + releasing * 5)]
        status = (
            RunStatus(record.run, state, results=(WIPED,), error="no" if state is RunState.FAILED else "")
            if record.run
            else None
        )
        observed = Observed(record.name, PowerReading(power), run=status, conflict=conflict)
        self.state.observed[record.name] = observed
        self.decide(lambda draft: boards.observe(draft, observed))

    @precondition(lambda self: self.state.boards)
    @rule(data=st.data(), plan=st.sampled_from(["wipe", "boot", "discover,wipe"]))
    def person_runs(self, data, plan):
        name = self.pick(data, sorted(self.state.boards))
        self.decide(lambda draft: runs.make(draft, HUB, name, plan, Purpose.USER))

    @precondition(lambda self: self.state.runs)
    @rule(data=st.data())
    def person_cancels(self, data):
        key = self.pick(data, sorted(self.state.runs.values(), key=lambda run: run.board)).id
        self.decide(lambda draft: runs.cancel(draft, HUB, key))

    @precondition(lambda self: self.state.boards)
    @rule(data=st.data(), action=st.sampled_from(["on", "off", "cycle"]))
    def person_switches(self, data, action):
        name = self.pick(data, sorted(self.state.boards))
        self.decide(lambda draft: boards.power(draft, HUB, name, action))

    @precondition(lambda self: self.state.boards)
    @rule(data=st.data())
    def recover(self, data):
        name = self.pick(data, sorted(self.state.boards))
        self.decide(lambda draft: boards.recover(draft, HUB, name))

    @rule(names=st.sets(st.sampled_from(sorted(BOARDS))))
    def lab_changes(self, names):
        text = lab_of(tuple(name for name in BOARDS if name in names))
        self.decide(lambda draft: adoption.apply(draft, HUB, read_labfile(text)))

    @rule()
    def restart(self):
        """What is read back is what was known."""
        before = replace(self.state, observed={})
        self.state = load_state(self.database)
        assert self.state == before
        self.decide(claim_time.greet)

    @invariant()
    def one_claim_a_board_and_all_boards_of_a_claim(self):
        for claim in self.state.claims.values():
            held = [self.state.boards[name] for name in claim.boards if name in self.state.boards]
            mine = [record for record in held if record.claim == claim.id]
            if claim.state is ClaimState.ACTIVE:
                assert len(set(claim.boards)) == len(claim.wants) == len(mine)
                for record, want in zip(held, claim.wants, strict=True):
                    assert claim_queue.fits(record, want, self.state.inventory)
                    assert record.lifecycle is Lifecycle.CLAIMED
            elif claim.state is ClaimState.RELEASING:
                assert mine
                assert all(record.lifecycle is Lifecycle.RELEASING for record in mine)
            else:
                assert not mine
        for record in self.state.boards.values():
            if record.lifecycle is Lifecycle.CLAIMED:
                assert record.name in self.state.claims[record.claim].boards
            if record.lifecycle in (Lifecycle.AVAILABLE, Lifecycle.QUARANTINED):
                assert record.claim is None

    @invariant()
    def no_quota_is_broken(self):
        for project in PROJECTS:
            held = [
                self.state.boards[name].board.board_class
                for claim in self.state.claims.values()
                if claim.state is ClaimState.ACTIVE and claim.project == project.name
                for name in claim.boards
            ]
            for of, most in project.quotas.items():
                assert (len(held) if of == "*" else held.count(of)) <= most

    @invariant()
    def the_index_is_true(self):
        index = Pools()
        index.build(self.state.inventory, self.state.boards, self.state.claims)
        assert vars(index) == vars(self.state.pools)

    @invariant()
    def no_claim_is_lost(self):
        still_open = {key: state for key, state in self.made.items() if state is not ClaimState.CLOSED}
        assert still_open == {key: claim.state for key, claim in self.state.claims.items()}

    @invariant()
    def nobody_waits_who_could_be_served(self):
        """Looking at all there is grants nothing that looking at what changed has missed."""
        draft = Draft(self.state, self.now)
        draft.stirred.add(ANY)
        claim_queue.settle(draft)
        assert not draft.claims.changed

    @invariant()
    def nothing_unclean_becomes_available(self):
        for name, record in self.state.boards.items():
            before = self.lives.get(name)
            # A board may be granted on in the same decision, so CLAIMED out of RELEASING was available too.
            if before is Lifecycle.RELEASING and record.lifecycle is Lifecycle.AVAILABLE:
                run = self.state.runs[record.run]
                assert run.purpose is Purpose.RELEASE
                assert run.status.state is RunState.SUCCEEDED
                assert self.state.observed[name].power.state is PowerState.OFF
            assert before is not Lifecycle.QUARANTINED or record.lifecycle in (before, Lifecycle.RELEASING)
        self.lives = {name: record.lifecycle for name, record in self.state.boards.items()}


Lab.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
test_claims_under_random_events = Lab.TestCase
