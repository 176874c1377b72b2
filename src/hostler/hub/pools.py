"""Which boards are free, who waits and who holds: kept with every change, so that no decision looks at all.

A pool is the boards of one class. Claims compete when they want boards of the same pool; one that says only
what labels a board must carry competes with everybody.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, TypeVar

from hostler.model.board import Lifecycle
from hostler.model.claim import ClaimState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostler.hub.inventory import Inventory
    from hostler.hub.records import BoardRecord
    from hostler.model.claim import Claim

K = TypeVar("K")

ANY = ""
"""Stands for every pool at once."""


class Pools:
    """An index of boards and claims.

    Attributes:
        free: Names of the available boards of each class, sorted.
        members: Names of all boards of each class.
        waiting: Ids of the pending claims that want boards of a class, or of ``ANY``.
        queued: Ids of the pending claims of each project.
        active: Ids of the active claims of each project.
        named: Ids of the open claims by principal and name.
    """

    def __init__(self) -> None:
        self.free: dict[str, list[str]] = {}
        self.members: dict[str, dict[str, None]] = {}
        self.waiting: dict[str, dict[str, None]] = {}
        self.queued: dict[str, dict[str, None]] = {}
        self.active: dict[str, dict[str, None]] = {}
        self.named: dict[tuple[str, str], dict[str, None]] = {}

    def build(
        self, inventory: Inventory, boards: Mapping[str, BoardRecord], claims: Mapping[str, Claim]
    ) -> None:
        """Make the index anew."""
        for table in (self.free, self.members, self.waiting, self.queued, self.active, self.named):
            table.clear()
        for record in boards.values():
            self.board(None, record)
        for claim in claims.values():
            self.claim(inventory, None, claim)

    def board(self, old: BoardRecord | None, new: BoardRecord | None) -> None:
        """Take over a change of a board."""
        was = old.board.board_class if old is not None and is_free(old) else None
        becomes = new.board.board_class if new is not None and is_free(new) else None
        if was != becomes:
            if old is not None and was is not None:
                names = self.free[was]
                del names[bisect_left(names, old.name)]
                if not names:
                    del self.free[was]
            if new is not None and becomes is not None:
                insort(self.free.setdefault(becomes, []), new.name)
        if old is not None and (new is None or new.board.board_class != old.board.board_class):
            _drop(self.members, old.board.board_class, old.name)
        if new is not None and (old is None or new.board.board_class != old.board.board_class):
            _note(self.members, new.board.board_class, new.name)

    def claim(self, inventory: Inventory, old: Claim | None, new: Claim | None) -> None:
        """Take over a change of a claim."""
        if old is not None:
            if old.state is ClaimState.PENDING:
                for pool in pools_of(old, inventory):
                    _drop(self.waiting, pool, old.id)
                _drop(self.queued, old.project, old.id)
            elif old.state is ClaimState.ACTIVE:
                _drop(self.active, old.project, old.id)
            if old.name:
                _drop(self.named, (old.principal, old.name), old.id)
        if new is None:
            return
        if new.state is ClaimState.PENDING:
            for pool in pools_of(new, inventory):
                _note(self.waiting, pool, new.id)
            _note(self.queued, new.project, new.id)
        elif new.state is ClaimState.ACTIVE:
            _note(self.active, new.project, new.id)
        if new.name and new.state is not ClaimState.CLOSED:
            _note(self.named, (new.principal, new.name), new.id)


def is_free(record: BoardRecord) -> bool:
    """Tell whether a board may be given to somebody."""
    return record.lifecycle is Lifecycle.AVAILABLE


def pools_of(claim: Claim, inventory: Inventory) -> set[str]:
    """Return the classes a claim may get boards of; ``ANY`` when it does not say."""
    return {_pool(want.board, want.board_class, inventory) for want in claim.wants}


def _pool(board: str | None, board_class: str | None, inventory: Inventory) -> str:
    if board is None:
        return board_class or ANY
    known = inventory.boards.get(board)
    return known.board_class if known is not None else ANY


def _note(table: dict[K, dict[str, None]], key: K, name: str) -> None:
    table.setdefault(key, {})[name] = None


def _drop(table: dict[K, dict[str, None]], key: K, name: str) -> None:
    names = table[key]
    del names[name]
    if not names:
        del table[key]


def connected(seeds: Iterable[str], groups: Iterable[set[str]]) -> set[str]:
    """Return the pools that hang together with these, because somebody wants boards of both."""
    found = set(seeds)
    rest = list(groups)
    if ANY in found or any(ANY in group for group in rest):
        return {ANY}
    while True:
        joined = [group for group in rest if group & found]
        if not joined:
            return found
        rest = [group for group in rest if not group & found]
        found |= set().union(*joined)
