"""Checks, training and maintenance among everything else that happens: no bad board is given away."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from test_claims_property import BOARDS, Lab, lab_of

from hostler.hub import adoption, boards, checkups, claim_queue, health, maintenance
from hostler.hub.claim_queue import NOT_FOR_USERS
from hostler.hub.labfile import read_labfile
from hostler.hub.records import HUB, CheckKind, HealthVerdict, Purpose
from hostler.model.board import Lifecycle
from hostler.model.claim import ClaimState, Origin
from hostler.model.health import Urgency
from hostler.model.power import PowerReading, PowerState
from hostler.model.run import RunState, RunStatus
from hostler.model.seam import Observed
from simulated_rack import WIPED

CHECKS = '[classes.pc.health]\nevery = "1h"\ntraining = 2\nafter_failure = "retry"\n'
ASIDE = (Lifecycle.QUARANTINED, Lifecycle.MAINTENANCE)


class CheckedLab(Lab):
    """A lab whose boards are checked as well, now and then by hand."""

    # Other tests are about these; without them a release comes to its end within the steps there are.
    book = change_terms = person_cancels = person_switches = person_runs = rack_reports = None

    def name(self, data):
        return self.pick(data, sorted(self.state.boards))

    @rule(data=st.data(), good=st.sampled_from([True, True, True, False]))
    def rack_does_its_work(self, data, good):
        """A run ends and its board goes off: mostly well, so that checks and releases come to their end."""
        busy = [
            record for _, record in sorted(self.state.boards.items())
            if record.run and not self.state.runs[record.run].status.state.ended
        ]  # fmt: skip
        if not busy:
            return
        record = self.pick(data, busy)
        state = RunState.SUCCEEDED if good else RunState.FAILED
        status = RunStatus(record.run, state, results=(WIPED,), error="" if good else "no")
        observed = Observed(record.name, PowerReading(PowerState.OFF), run=status)
        self.state.observed[record.name] = observed
        self.decide(lambda draft: boards.observe(draft, observed))

    @rule(without=st.sampled_from([None, None, *BOARDS]), checks=st.booleans())
    def lab_changes(self, without, checks):
        text = lab_of(tuple(name for name in BOARDS if name != without)) + (CHECKS if checks else "")
        self.decide(lambda draft: adoption.apply(draft, HUB, read_labfile(text)))

    @precondition(lambda self: self.state.boards)
    @rule(data=st.data(), crash=st.booleans())
    def check_begins(self, data, crash):
        name = self.name(data)
        record = self.state.boards[name]
        if record.lifecycle is not Lifecycle.AVAILABLE or name not in self.state.inventory.boards:
            return
        begun = []

        def begin(draft):
            checkups.begin(draft, name, Urgency.OVERDUE)
            begun.append(draft.boards[name])

        self.decide(begin, crash=crash)
        for claim in self.state.claims.values():
            if begun and claim.state is ClaimState.PENDING and claim.start is None and not crash:
                # With an account that is not full, who wants just this board would have been served before,
                # unless what is known of the board keeps it from people until it was checked.
                alone = len(claim.wants) == 1 and claim.project != "ci"
                kept = record.health.verdict in NOT_FOR_USERS
                fits = claim_queue.fits(record, claim.wants[0], self.state.inventory)
                assert kept or not (alone and fits)

    @precondition(lambda self: self.state.boards)
    @rule(data=st.data(), crash=st.booleans())
    def check_goes_on(self, data, crash):
        names = sorted(name for name, record in self.state.boards.items() if record.health.checkup)
        if names:
            name = self.pick(data, names)
            self.decide(lambda draft: checkups.advance(draft, name), crash=crash)

    @precondition(lambda self: self.state.boards)
    @rule(data=st.data(), what=st.sampled_from(["ask", "loop", "train", "stop", "good", "bad", "unknown"]))
    def admin_cares(self, data, what):
        name = self.name(data)
        if what == "ask":
            self.decide(lambda draft: health.ask(draft, HUB, name))
        elif what == "loop":
            self.decide(lambda draft: health.loop(draft, HUB, name))
        elif what == "train":
            self.decide(lambda draft: health.train(draft, HUB, name, 2))
        elif what == "stop":
            self.decide(lambda draft: health.stop(draft, HUB, name))
        else:
            self.decide(lambda draft: health.judge(draft, HUB, name, HealthVerdict(what)))

    @precondition(lambda self: self.state.boards)
    @rule(data=st.data(), kick=st.booleans(), end=st.booleans())
    def maintenance_begins_or_ends(self, data, kick, end):
        name = self.name(data)
        if end:
            self.decide(lambda draft: maintenance.end(draft, HUB, name))
        else:
            self.decide(lambda draft: maintenance.begin(draft, HUB, name, "new fan", kick=kick))

    @invariant()
    def no_bad_board_is_free(self):
        for record in self.state.boards.values():
            if record.lifecycle is Lifecycle.AVAILABLE:
                assert record.health.verdict is not HealthVerdict.BAD
                assert record.maintenance == ""

    @invariant()
    def nobody_has_a_board_in_training(self):
        for record in self.state.boards.values():
            checkup = record.health.checkup
            if checkup is None or record.lifecycle is not Lifecycle.CLAIMED:
                continue
            holder = self.state.claims[record.claim]
            assert (holder.origin is Origin.CHECK) == (checkup.claim == holder.id)
            assert checkup.kind is CheckKind.ONCE or checkup.claim is None

    @invariant()
    def no_check_waits_in_the_queue(self):
        for claim in self.state.claims.values():
            assert claim.origin is Origin.USER or claim.state is not ClaimState.PENDING

    @invariant()
    def nothing_unclean_becomes_available(self):
        for name, record in self.state.boards.items():
            before = self.lives.get(name)
            if before is Lifecycle.RELEASING and record.lifecycle is Lifecycle.AVAILABLE:
                run = self.state.runs[record.run]
                assert (run.purpose, run.status.state) == (Purpose.RELEASE, RunState.SUCCEEDED)
            if before in ASIDE and name in self.state.inventory.boards:
                assert record.lifecycle in (*ASIDE, Lifecycle.RELEASING)
        self.lives = {name: record.lifecycle for name, record in self.state.boards.items()}


CheckedLab.TestCase.settings = settings(
    max_examples=60, stateful_step_count=80, deadline=None, suppress_health_check=list(HealthCheck)
)
test_health_under_random_events = CheckedLab.TestCase
