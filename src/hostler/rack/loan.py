"""A board's keeper on loan: told for a while to want another power than the hub does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.model.power import PowerState
    from hostler.model.seam import Desired
    from hostler.rack.keeper import Keeper


class Keepers(Protocol):
    """Where keepers are looked up."""

    def keepers(self) -> Mapping[str, Keeper]:
        """Return every keeper by its board's name."""
        ...


class Overtaken(Exception):  # noqa: N818 - a state of the world, not a fault of the program
    """Something else is wanted of the board now, so its check ends without a verdict; the text says what."""


class Loan:
    """A keeper that is told to want another power for a while.

    Whatever else the hub wants meanwhile goes first: the loan then ends with Overtaken at the next look.
    """

    def __init__(self, bench: Keepers, keeper: Keeper) -> None:
        self._bench = bench
        self._keeper = keeper
        self._own = keeper.view.desired
        self._ours = self._own

    def want(self, power: PowerState) -> None:
        """Let the keeper bring this about from now on."""
        self.look()
        self._ours = replace(self._own, power=power)
        self._keeper.desire(self._ours)

    def take(self, desired: Desired) -> Desired:
        """Return what the keeper is to want when the hub has said this.

        The hub repeats itself whenever it learns something of the board; while it asks for nothing else than
        before, the loan goes on.
        """
        if _order(desired) != _order(self._own):
            return desired
        self._own, self._ours = desired, replace(desired, power=self._ours.power)
        return self._ours

    def look(self) -> None:
        """Raise Overtaken when the board is no longer ours to try."""
        keeper = self._keeper
        if self._bench.keepers().get(keeper.name) is not keeper:
            raise Overtaken("its wires were changed in lab.toml")
        now = keeper.view.desired
        if now is not self._ours:
            raise Overtaken(f"it is {now.lifecycle} now" + (f": {now.reason}" if now.reason else ""))

    def end(self) -> None:
        """Let the keeper want again what the hub does."""
        if self._keeper.view.desired is self._ours:
            self._keeper.desire(self._own)


def _order(desired: Desired) -> tuple[object, ...]:
    return desired.lifecycle, desired.claim, desired.reason, desired.cycles, desired.run, desired.power
