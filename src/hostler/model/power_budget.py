"""Who may be switched on now: watts that are there, a line for those that wait, a pause between two.

One value per equipment, changed by pure methods that return the next one. Strictly first come, first
served: who fits waits behind who does not, or a board that needs much would never have its turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

_NAMED = 5  # boards named in a reason; more are counted
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Wish:
    """One outlet and what hangs on it.

    Attributes:
        outlet: ``BOARD/NUMBER``: the board and which of its power wires.
        watts: The most it draws; 0: nobody said.
        pool: Which supply of the equipment feeds it (a stack has one per member); empty where there is one.
    """

    outlet: str
    watts: float = 0.0
    pool: str = ""

    @property
    def board(self) -> str:
        """The board's name."""
        return self.outlet.rpartition("/")[0] or self.outlet


@dataclass(frozen=True, slots=True)
class PoolReading:
    """What the equipment says of one of its supplies, in watts; None where it does not say."""

    limit: float | None = None
    drawn: float | None = None


@dataclass(frozen=True, slots=True)
class Go:
    """It was granted: switch it on now, and tell how that ended."""


@dataclass(frozen=True, slots=True)
class Later:
    """Not yet.

    Attributes:
        at: When the answer may be another one without anything having happened; None: not by time alone.
        reason: What it waits for, for people.
    """

    at: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Never:
    """It needs more than there will ever be; the reason says what to correct."""

    reason: str


def _none() -> Mapping[str, _V]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PowerBudget:
    """The accounts of one equipment.

    Attributes:
        name: The equipment, for reasons.
        limit: Watts it may deliver in all as ``lab.toml`` says, or None.
        stagger: Seconds between two switch-ons.
        known: Every outlet that boards are bound to, by name.
        taken: Outlets that are on, are being switched on, or have not been read yet and so may be on.
        switching: Outlets being switched on: they read off for a while and are taken nevertheless.
        line: Outlets that wait, first come first.
        pools: What the equipment says of itself, by pool.
        last: When the last one was granted, or None.
    """

    name: str
    limit: float | None = None
    stagger: float = 0.0
    known: Mapping[str, Wish] = field(default_factory=_none)
    taken: frozenset[str] = frozenset()
    switching: frozenset[str] = frozenset()
    line: tuple[str, ...] = ()
    pools: Mapping[str, PoolReading] = field(default_factory=_none)
    last: float | None = None

    # What there is.

    def expects(self, wish: Wish) -> PowerBudget:
        """Take an outlet into account; a new one counts as on until it has been read."""
        taken = self.taken if wish.outlet in self.known else self.taken | {wish.outlet}
        return replace(self, known=_with(self.known, wish.outlet, wish), taken=taken)

    def forgets(self, outlet: str) -> PowerBudget:
        """Take an outlet out of the accounts: no board is bound to it any more."""
        return replace(
            self,
            known=MappingProxyType({name: wish for name, wish in self.known.items() if name != outlet}),
            taken=self.taken - {outlet},
            switching=self.switching - {outlet},
            line=_without(self.line, outlet),
        )

    def reads(self, outlet: str, *, on: bool) -> PowerBudget:
        """Take over that an outlet was read on or off; unknown is no reading and changes nothing."""
        if outlet not in self.known or outlet in self.switching:
            return self
        return replace(self, taken=self.taken | {outlet} if on else self.taken - {outlet})

    def measured(self, pool: str, reading: PoolReading) -> PowerBudget:
        """Take over what the equipment says of one of its supplies."""
        return replace(self, pools=_with(self.pools, pool, reading))

    # Who wants on.

    def asks(self, outlet: str) -> PowerBudget:
        """Put an outlet at the end of the line; one that waits already keeps its place."""
        return self if outlet in self.line else replace(self, line=(*self.line, outlet))

    def leaves(self, outlet: str) -> PowerBudget:
        """Let an outlet wait no longer."""
        return replace(self, line=_without(self.line, outlet))

    def turn(self, outlet: str, now: float) -> tuple[PowerBudget, Go | Later | Never]:
        """Grant an outlet that waits its turn, or say what it waits for.

        Granted is granted: the outlet is taken until ``ends`` or a reading says otherwise.
        """
        wish = self.known.get(outlet, Wish(outlet))
        if never := self._never(wish):
            return self, Never(never)
        place = self.line.index(outlet)
        head = self.known.get(self.line[0], Wish(self.line[0]))
        ahead = f"; {place} before it" if place else ""
        short = "" if self._never(head) else self._short(head)
        if short:
            need = f"waits for {wish.watts:g} W on {self.name}" if wish.watts else f"waits on {self.name}"
            return self, Later(None, f"{need}: {short}{ahead}")
        ready = now if self.last is None else self.last + self.stagger
        if place or now < ready:
            at = max(ready, now) + place * self.stagger
            return self, Later(at, f"waits its turn on {self.name}{ahead}")
        granted = replace(
            self,
            line=self.line[1:],
            taken=self.taken | {outlet},
            switching=self.switching | {outlet},
            last=now,
        )
        return granted, Go()

    def ends(self, outlet: str, *, off: bool) -> PowerBudget:
        """Note that switching on has ended; ``off`` when it surely reads off: its watts are free again."""
        taken = self.taken - {outlet} if off else self.taken
        return replace(self, taken=taken, switching=self.switching - {outlet})

    def watts(self, pool: str | None = None) -> float:
        """Return the watts that are taken, by one pool or by all."""
        wishes = (self.known[outlet] for outlet in self.taken if outlet in self.known)
        return sum(wish.watts for wish in wishes if pool in (None, wish.pool))

    def _never(self, wish: Wish) -> str:
        """Return why a wish can never be granted, or nothing."""
        limits = [self.limit, self.pools.get(wish.pool, PoolReading()).limit]
        least = min((limit for limit in limits if limit is not None), default=None)
        if least is None or wish.watts <= least:
            return ""
        return (
            f"{wish.board} needs {wish.watts:g} W, but {self.name} has {least:g} W in all; "
            "correct watts or budget_watts in lab.toml, or use another port"
        )

    def _short(self, wish: Wish) -> str:
        """Return what is missing for a wish at the head of the line, or nothing."""
        if not wish.watts:
            return ""  # nobody said what it draws, so nobody can say that it is too much
        others = self.taken - {wish.outlet}
        pool = self.pools.get(wish.pool, PoolReading())
        drawn = [reading.drawn for reading in self.pools.values() if reading.drawn is not None]
        for limit, within, measured in (
            (self.limit, None, sum(drawn) if drawn else None),
            (pool.limit, wish.pool, pool.drawn),
        ):
            if limit is None:
                continue
            wishes = [self.known[name] for name in others if name in self.known]
            holders = [one for one in wishes if one.watts and within in (None, one.pool)]
            taken = sum(one.watts for one in holders)
            if taken + wish.watts > limit:
                return f"{taken:g} of {limit:g} W are taken by {_named(holders)}"
            # What hangs on it besides boards shows in the consumption only.
            if measured is not None and measured + wish.watts > limit:
                return f"{measured:g} of {limit:g} W are drawn"
        return ""


def _named(wishes: list[Wish]) -> str:
    names = sorted({wish.board for wish in wishes})
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest


def _with(values: Mapping[str, _V], key: str, value: _V) -> Mapping[str, _V]:
    return MappingProxyType({**values, key: value})


def _without(line: tuple[str, ...], outlet: str) -> tuple[str, ...]:
    return tuple(name for name in line if name != outlet)
