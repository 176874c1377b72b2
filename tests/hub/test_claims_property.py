"""No board to two claims, no claim lost, nobody overtaken, nothing unclean given away: whatever happens."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hostler.hub import adoption, boards, claims, runs
from hostler.hub.database import Database
from hostler.hub.errors import Refusal
from hostler.hub.hub import _tick
from hostler.hub.journal import Batch, rows
from hostler.hub.labfile import read_labfile
from hostler.hub.loading import load_state
from hostler.hub.records import HUB, Agent, Principal, Purpose, Role
from hostler.hub.state import Draft
from hostler.model.board import Lifecycle
from hostler.model.claim import ClaimState
from hostler.model.power import PowerReading, PowerState
from hostler.model.run import RunState, RunStatus
from hostler.model.seam import Observed

PEOPLE = [Principal(name, Role.MEMBER) for name in ("anna", "bert")]
CLASSES = ("pc", "arm")
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
        f'power = {{ equipment = "rack1", port = {number} }}\n'
        for number, name in enumerate(names)
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

    def teardown(self) -> None:
        self.database.close()
        self.directory.cleanup()

    def decide(self, decision, *, crash: bool = False):
        """Do what the hub does with a decision; ``crash``: the process dies before it is on the disk."""
        draft = Draft(self.state, self.now)
        try:
            result = decision(draft)
            claims.settle(draft)
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
                if other.state is ClaimState.PENDING and other.board_class == claim.board_class:
                    assert (claim.created, claim.id) < (other.created, other.id)

    def pick(self, data, among):
        """Choose by place: ids are random, and a failure must be found again."""
        return among[data.draw(st.integers(0, len(among) - 1))]

    @rule(who=st.sampled_from(PEOPLE), kind=st.sampled_from(CLASSES), wait=st.booleans(), crash=st.booleans())
    def claim(self, who, kind, wait, crash):
        self.now += 0.01
        self.decide(lambda draft: claims.request(draft, who, kind, ttl=100, wait=wait), crash=crash and wait)

    @precondition(lambda self: self.state.claims)
    @rule(data=st.data(), crash=st.booleans())
    def release(self, data, crash):
        key = self.pick(data, sorted(self.state.claims.values(), key=lambda claim: claim.created)).id
        self.decide(lambda draft: claims.release(draft, HUB, key), crash=crash)

    @rule(seconds=st.sampled_from([1.0, 60.0, 200.0]))
    def time_goes_by(self, seconds):
        self.now += seconds
        self.decide(_tick)

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
            RunStatus(record.run, state, error="no" if state is RunState.FAILED else "")
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

    @invariant()
    def one_claim_a_board_and_one_board_a_claim(self):
        held = [c for c in self.state.claims.values() if c.state in (ClaimState.ACTIVE, ClaimState.RELEASING)]
        assert len({claim.board for claim in held}) == len(held)
        for claim in held:
            record = self.state.boards[claim.board]
            assert record.claim == claim.id
            assert record.board.board_class == claim.board_class
            assert record.lifecycle == ("claimed" if claim.state is ClaimState.ACTIVE else "releasing")
        for record in self.state.boards.values():
            if record.lifecycle is Lifecycle.CLAIMED:
                assert self.state.claims[record.claim].board == record.name
            if record.lifecycle in (Lifecycle.AVAILABLE, Lifecycle.QUARANTINED):
                assert record.claim is None

    @invariant()
    def no_claim_is_lost(self):
        still_open = {key: state for key, state in self.made.items() if state is not ClaimState.CLOSED}
        assert still_open == {key: claim.state for key, claim in self.state.claims.items()}

    @invariant()
    def nobody_waits_for_a_free_board(self):
        waited_for = {c.board_class for c in self.state.claims.values() if c.state is ClaimState.PENDING}
        free = {r.board.board_class for r in self.state.boards.values() if r.lifecycle is Lifecycle.AVAILABLE}
        assert not waited_for & free

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
