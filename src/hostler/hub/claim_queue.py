"""The queue as the hub keeps it: who competes for what, who is granted, and when the others may expect it."""

from __future__ import annotations

from dataclasses import replace
from heapq import merge
from statistics import median
from typing import TYPE_CHECKING

from hostler.hub import runs
from hostler.hub.errors import Refusal
from hostler.hub.pools import ANY, connected, is_free, pools_of
from hostler.hub.records import HUB, BoardRecord, HealthVerdict, Purpose, RunRecord
from hostler.model.board import Lifecycle, move
from hostler.model.claim import Claim, ClaimState, Origin, Want
from hostler.model.forecast import Place, forecast
from hostler.model.labels import derived_labels, satisfies
from hostler.model.power import PowerState
from hostler.model.run import RunState
from hostler.model.schedule import Account, Bookings, booked, schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostler.hub.inventory import Inventory
    from hostler.hub.state import Draft, State

UNKNOWN_WIPE_SECONDS = 300.0
"""What a wipe is expected to take where none was seen: a boot into the agent, and a disk that can discard."""

NOT_FOR_USERS = frozenset({HealthVerdict.BAD, HealthVerdict.LOOPING})
"""Boards of which this is known are given to checks alone."""
_COMING_BACK = frozenset({Lifecycle.AVAILABLE, Lifecycle.CLAIMED, Lifecycle.RELEASING})


class View:
    """The boards as a draft has them, in the pools that matter (see ``model.schedule.Supply``).

    Args:
        draft: What is being decided.
        pools: Which classes; with ``ANY`` all.
    """

    def __init__(self, draft: Draft, pools: Iterable[str]) -> None:
        self._draft = draft
        self._index = draft.pools
        wanted = set(pools)
        self._classes = set(draft.inventory.classes) if ANY in wanted else wanted
        self._wipes: dict[str, float] = {}
        self._times: dict[str, float] | None = None

    def any_free(self) -> bool:
        """Tell whether there is anything to give."""
        if any(record is not None and is_free(record) for record in self._draft.boards.changed.values()):
            return True
        return any(self._index.free.get(name) for name in self._classes)

    def free(self, want: Want, origin: Origin) -> Iterable[str]:
        """See Supply."""
        if want.board is not None:
            names: Iterable[str] = (want.board,)
        elif want.board_class is not None:
            names = self._free_in(want.board_class)
        else:
            names = merge(*(self._free_in(name) for name in sorted(self._classes)))
        for name in names:
            record = self._draft.boards.get(name)
            if record is None or not is_free(record) or not fits(record, want, self._draft.inventory):
                continue
            if origin is Origin.CHECK or record.health.verdict not in NOT_FOR_USERS:
                yield name

    def _free_in(self, board_class: str) -> Iterable[str]:
        changed = self._draft.boards.changed
        untouched = (name for name in self._index.free.get(board_class, ()) if name not in changed)
        freed = sorted(
            name
            for name, record in changed.items()
            if record is not None and record.board.board_class == board_class and is_free(record)
        )
        return merge(untouched, freed) if freed else untouched

    def suits(self, board: str, want: Want) -> bool:
        """See Supply."""
        return fits(self._draft.boards[board], want, self._draft.inventory)

    def board_class(self, board: str) -> str:
        """See Supply."""
        return self._draft.boards[board].board.board_class

    def wipe(self, board: str) -> float:
        """See Supply."""
        name = self.board_class(board)
        if name not in self._wipes:
            records = (self._draft.boards.get(member) for member in self._index.members.get(name, ()))
            seen = [
                run.status.ended - run.created
                for record in records
                if record is not None and (run := self._draft.runs.get(record.run or "")) is not None
                if run.purpose is Purpose.RELEASE and run.status.state is RunState.SUCCEEDED
                if run.status.ended is not None
            ]
            self._wipes[name] = median(seen) if seen else UNKNOWN_WIPE_SECONDS
        return self._wipes[name]

    def times(self) -> Mapping[str, float]:
        """See Supply."""
        if self._times is None:
            records = (
                record
                for name in self._classes
                for member in self._index.members.get(name, ())
                if (record := self._draft.boards.get(member)) is not None
            )
            known = ((record.name, self._free_at(record)) for record in records)
            self._times = {name: time for name, time in known if time is not None}
        return self._times

    def _free_at(self, record: BoardRecord) -> float | None:
        if record.lifecycle not in _COMING_BACK or record.health.verdict in NOT_FOR_USERS:
            return None
        if record.lifecycle is Lifecycle.AVAILABLE:
            return self._draft.now
        if record.lifecycle is Lifecycle.CLAIMED:
            claim = self._draft.claims.get(record.claim or "")
            end = claim.expires if claim is not None and claim.expires is not None else self._draft.now
            return end + self.wipe(record.name)
        run = self._draft.runs.get(record.run or "")
        begun = run.created if run is not None else self._draft.now
        return max(self._draft.now, begun + self.wipe(record.name))


def fits(record: BoardRecord, want: Want, inventory: Inventory) -> bool:
    """Tell whether a board is what is wanted, free or not."""
    if want.board is not None and record.name != want.board:
        return False
    if want.board_class is not None and record.board.board_class != want.board_class:
        return False
    if record.board.board_class not in inventory.classes:
        return False  # found on the wire, and nobody has adopted it
    return not want.labels or satisfies(labels_of(record, inventory), want.labels)


def labels_of(record: BoardRecord, inventory: Inventory) -> dict[str, str]:
    """Return everything a board can be chosen by: what its agent reported, ``lab.toml``, what it is."""
    platform = inventory.platform(record.board.board_class)
    return {
        **derived_labels(record.facts),
        **record.board.labels,
        "arch": platform.arch,
        "platform": platform.name,
        "class": record.board.board_class,
        "board": record.name,
    }


def settle(draft: Draft) -> None:
    """Grant what can be granted after what the draft has changed; see ``model.schedule`` for who is next."""
    writes = draft.boards.writes + draft.claims.writes + len(draft.stirred)
    if writes == draft.settled:
        return
    seeds = _touched(draft)
    claims = competitors(draft, seeds) if seeds else []
    if claims:
        view = View(draft, set().union(*(pools_of(claim, draft.inventory) for claim in claims)))
        if view.any_free():
            for claim, names in schedule(claims, accounts(draft, claims), view, draft.now):
                _grant(draft, claim, names)
    draft.stirred.clear()
    draft.settled = draft.boards.writes + draft.claims.writes


def _touched(draft: Draft) -> set[str]:
    """Return the pools in which what the draft changed may let somebody be served."""
    if draft.inventory_changed or draft.projects.changed:
        return {ANY}
    touched = set(draft.stirred)
    for name, record in draft.boards.changed.items():
        before = draft.boards.base.get(name)
        if record is not None and is_free(record):
            touched.add(record.board.board_class)
        elif before is not None and (record is None or _prospect(before) != _prospect(record)):
            # What is kept for a claim or a booking may be let go when this board comes sooner, or never.
            touched.add(before.board.board_class)
    for key, new in draft.claims.changed.items():
        old = draft.claims.base.get(key)
        for claim in (old, new):
            if claim is not None and claim.state is ClaimState.PENDING:
                touched |= pools_of(claim, draft.inventory)
        if old is not None and old.state is ClaimState.ACTIVE and old.project in draft.pools.queued:
            project = draft.projects.get(old.project)
            if project is not None and project.quotas:  # what it gave back may let its next claim pass
                for waiting in draft.pools.queued[old.project]:
                    touched |= pools_of(draft.claims.base[waiting], draft.inventory)
    return touched


def _prospect(record: BoardRecord) -> tuple[Lifecycle, bool]:
    """Return what tells whether and when a board comes back."""
    return record.lifecycle, record.health.verdict in NOT_FOR_USERS


def competitors(draft: Draft, seeds: set[str]) -> list[Claim]:
    """Return the pending claims that want boards of these pools, and all that compete with those."""
    base, changed = draft.pools.waiting, draft.claims.changed
    fresh = [claim for claim in changed.values() if claim and claim.state is ClaimState.PENDING]
    if ANY not in seeds and ANY not in base and not any(name in base for name in seeds):
        # Nobody waits there but whom this draft brought: the usual case.
        old: list[Claim] = []
    else:
        ids = dict.fromkeys(key for names in base.values() for key in names)
        old = [draft.claims.base[key] for key in ids if key not in changed]
    groups = {claim.id: pools_of(claim, draft.inventory) for claim in (*old, *fresh)}
    pools = connected(seeds, groups.values())
    return [claim for claim in (*old, *fresh) if ANY in pools or groups[claim.id] & pools]


def accounts(draft: Draft, claims: Iterable[Claim]) -> dict[str, Account]:
    """Return the accounts of the projects of these claims."""
    among = list(claims)
    needed = len(among) > 1
    found: dict[str, Account] = {}
    for name in {claim.project for claim in among}:
        project = draft.projects.get(name)
        account = Account(project.weight, project.quotas) if project is not None else Account()
        if needed or account.quotas:
            _fill(draft, name, account)
        found[name] = account
    return found


def _fill(draft: Draft, project: str, account: Account) -> None:
    changed = draft.claims.changed
    base = (draft.claims.base[key] for key in draft.pools.active.get(project, ()) if key not in changed)
    fresh = (c for c in changed.values() if c and c.project == project and c.state is ClaimState.ACTIVE)
    for source in (base, fresh):
        for claim in source:
            for board in claim.boards:
                record = draft.boards.get(board)
                if record is not None:
                    account.held[record.board.board_class] += 1
            if claim.granted is not None:
                last = account.granted.get(claim.priority, claim.granted)
                account.granted[claim.priority] = max(last, claim.granted)


def unserved_booking(draft: Draft, claim: Claim, until: Mapping[str, float]) -> Claim | None:
    """Return the booking that could no longer be served if boards were held until these times, or None.

    Args:
        draft: What is being decided.
        claim: Whose boards they are.
        until: Unix time by board.
    """
    held = {draft.boards[board].board.board_class for board in claim.boards}
    bookings = [other for other in competitors(draft, held) if booked(other, draft.now)]
    if not bookings:
        return None
    pools = held.union(*(pools_of(other, draft.inventory) for other in bookings))
    return Bookings(bookings, View(draft, pools), draft.now).holds(until)


def bookings_lost_to(draft: Draft, claim: Claim) -> list[Claim]:
    """Return the bookings, this one among them perhaps, that cannot all be served if it is made."""
    among = competitors(draft, pools_of(claim, draft.inventory))
    others = [other for other in among if other.id != claim.id and booked(other, draft.now)]
    pools = set().union(*(pools_of(other, draft.inventory) for other in (claim, *others)))
    view = View(draft, pools)
    before = {other.id for other in Bookings(others, view, draft.now).unserved()}
    return [lost for lost in Bookings([*others, claim], view, draft.now).unserved() if lost.id not in before]


def _grant(draft: Draft, claim: Claim, names: tuple[str, ...]) -> None:
    expires = draft.now + claim.ttl
    claim = replace(
        claim, state=ClaimState.ACTIVE, boards=names, granted=draft.now, expires=expires, warned=False
    )
    draft.claims.put(claim.id, claim)
    power = PowerState.ON if claim.power else PowerState.OFF
    for name in names:
        record = draft.boards[name]
        lifecycle = move(name, record.lifecycle, Lifecycle.CLAIMED)
        draft.boards.put(name, replace(record, lifecycle=lifecycle, reason="", claim=claim.id, power=power))
        about = {"board": name, "claim": claim.id, "principal": claim.principal}
        draft.event("claim.granted", f'{claim.principal} holds board "{name}"', **about)
    if claim.image is not None:
        for name in names:
            _deploy(draft, claim, name, claim.image)


def _deploy(draft: Draft, claim: Claim, name: str, image: str) -> RunRecord | None:
    holder = draft.principals.get(claim.principal) or HUB
    try:
        return runs.make(draft, holder, name, runs.deploy_plan(draft, image, holder), Purpose.DEPLOY)
    except Refusal as error:
        # The claim was right when it was made; what has changed since is told, and the board is theirs.
        about = {"board": name, "claim": claim.id, "principal": claim.principal}
        draft.event("claim.deploy-refused", error.detail, **about)
        return None


class Forecasts:
    """Where waiting claims stand; reckoned once for each state of things."""

    def __init__(self) -> None:
        self._revision = -1
        self._at = 0.0
        self._places: dict[str, Place] = {}

    def place(self, draft: Draft, state: State, claim: Claim) -> Place | None:
        """Return where a claim stands; None: it does not wait.

        Args:
            draft: An empty draft of this moment.
            state: What it is a draft of.
            claim: The claim.
        """
        if claim.state is not ClaimState.PENDING:
            return None
        # Ends draw near while nothing changes; a second's error in an estimate is none.
        if self._revision != state.revision or not 0 <= draft.now - self._at < 1.0:
            self._revision, self._at, self._places = state.revision, draft.now, {}
        if claim.id not in self._places:
            among = competitors(draft, pools_of(claim, draft.inventory))
            pools = set().union(*(pools_of(other, draft.inventory) for other in (claim, *among)))
            self._places |= forecast(among, accounts(draft, among), View(draft, pools), draft.now)
        return self._places.get(claim.id)
