"""What the sender of a multicast carousel sends next, from what its listeners told that they lack.

Nothing is acknowledged. A listener's word counts for what it says of turns that it saw pass: what was sent
later may still be on its way and is not sent again for it. Fragments that lack come before chunks that
nobody has had yet, since every listener holds what is incomplete in memory.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.wire.carousel_receiver import Lacking

HOPELESS_LOSS = 0.3
"""A listener that loses more than this, while the others do not, is sent nothing again: it would hold up all
of them, and fetches what it lacks by HTTP. Where most lose so much, the rate is what is wrong, and has
``ADAPT_SECONDS`` to fall."""
ADAPT_SECONDS = 3.0
DEAF_SECONDS = 3.0
"""One that hears nothing at all for so long is sent nothing either: multicast does not reach it."""
_ENOUGH = 200  # fragments, to speak of a share
_LATEST = 1000  # fragments, of which a share is spoken
_PARITY_LOSS = 0.0005
_IN_FLIGHT = 4096  # turns remembered: seconds, at any rate
MOST_TURNS = 8
"""As many turns as it needed chunks at first, times this, are sent for one listener: enough for any cable
that is not hopeless, and nobody makes the rack send for ever."""
_FEWEST_TURNS = 256  # may be sent for any listener, for who needs little and loses it


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be sent now.

    Attributes:
        number: The turn's number.
        chunk: The chunk.
        fragments: Which of its fragments; None: all.
        parity: Whether parities go with it.
    """

    number: int
    chunk: int
    fragments: tuple[int, ...] | None
    parity: bool


@dataclass(slots=True)
class _Listener:
    since: float
    heard: float
    received: float = 0.0
    lost: float = 0.0
    lacks: bool = True
    hopeless_at: float | None = None
    given_up: bool = False

    def count(self, received: int, lost: int) -> None:
        """Take in what it counted since it told last; the latest weigh most."""
        self.received += received
        self.lost += lost
        fade = min(1.0, _LATEST / max(1.0, self.received + self.lost))
        self.received *= fade
        self.lost *= fade

    @property
    def loss(self) -> float:
        """Share of the fragments that it loses; 0 while too few are known."""
        total = self.received + self.lost
        return self.lost / total if total >= _ENOUGH else 0.0


class Schedule:
    """One session's sending order."""

    def __init__(self) -> None:
        self._turn = 0
        self._position = 0
        self._whole = 0  # bit n: chunk n is to be sent
        self._repairs: dict[int, set[int]] = {}
        self._flight: deque[tuple[int, int]] = deque(maxlen=_IN_FLIGHT)
        self._listeners: dict[str, _Listener] = {}
        self._accounts: dict[str, list[int]] = {}  # by listener: turns asked for, and the most

    @property
    def turn(self) -> int:
        """Number of the last turn."""
        return self._turn

    @property
    def listeners(self) -> int:
        """How many still lack something."""
        return sum(listener.lacks for listener in self._listeners.values())

    @property
    def waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self._whole or self._repairs)

    def report(self, who: str, lacking: Lacking, now: float) -> None:
        """Take in what a listener lacks."""
        listener = self._listeners.setdefault(who, _Listener(now, now))
        listener.heard = now
        listener.lacks = bool(lacking.chunks or lacking.fragments)
        listener.count(lacking.received, lacking.lost)
        on_its_way: set[int] = set()
        for number, chunk in reversed(self._flight):
            if number <= lacking.passed:
                break
            on_its_way.add(chunk)
        deaf = not lacking.passed and now > listener.since + DEAF_SECONDS
        listener.given_up = self._hopeless(listener, now)
        if deaf or listener.given_up or self._spent(who, lacking):
            return
        anew = lacking.chunks & ~_bits(on_its_way) & ~self._whole
        self._accounts[who][0] += anew.bit_count()
        self._whole |= anew
        for chunk, numbers in lacking.fragments.items():
            if chunk not in on_its_way:
                self._accounts[who][0] += chunk not in self._repairs
                self._repairs.setdefault(chunk, set()).update(numbers)

    def _hopeless(self, listener: _Listener, now: float) -> bool:
        """Tell whether a listener loses too much, and not because too much is sent."""
        if listener.loss <= HOPELESS_LOSS:
            listener.hopeless_at = None
            return False
        if listener.hopeless_at is None:
            listener.hopeless_at = now
        losses = sorted(one.loss for one in self._listeners.values())
        common = losses[(len(losses) - 1) // 2]
        return common <= HOPELESS_LOSS or now >= listener.hopeless_at + ADAPT_SECONDS

    def _spent(self, who: str, lacking: Lacking) -> bool:
        """Tell whether a listener has had its share; it does not begin anew by leaving."""
        account = self._accounts.get(who)
        if account is None:
            needs = lacking.chunks.bit_count() + len(lacking.fragments)
            account = self._accounts[who] = [0, max(_FEWEST_TURNS, MOST_TURNS * needs)]
        return account[0] >= account[1]

    def forget(self, who: str) -> None:
        """A listener has left."""
        self._listeners.pop(who, None)

    def forget_silent(self, before: float) -> list[str]:
        """Forget the listeners that told nothing since a time; return who they were."""
        silent = [who for who, listener in self._listeners.items() if listener.heard < before]
        for who in silent:
            del self._listeners[who]
        return silent

    def losses(self) -> list[float]:
        """Return the share of fragments that each listener loses, those left out that are given up."""
        listeners = self._listeners.values()
        return sorted(one.loss for one in listeners if one.lacks and not one.given_up)

    def next(self) -> Turn | None:
        """Return what to send now; None: nobody is known to lack anything that is not on its way."""
        if not self._listeners:
            self._whole, self._repairs = 0, {}
            return None
        if self._repairs:
            chunk = next(iter(self._repairs))
            fragments = tuple(sorted(self._repairs.pop(chunk)))
            return self._sent(chunk, fragments)
        ahead = self._whole >> self._position
        if not ahead:
            ahead, self._position = self._whole, 0
        if not ahead:
            return None
        chunk = self._position + (ahead & -ahead).bit_length() - 1
        self._whole &= ~(1 << chunk)
        self._position = chunk + 1
        return self._sent(chunk, None)

    def nothing(self) -> int:
        """Return the number of a turn that only says that those before it are over."""
        self._turn += 1
        return self._turn

    def _sent(self, chunk: int, fragments: tuple[int, ...] | None) -> Turn:
        self._turn += 1
        self._flight.append((self._turn, chunk))
        return Turn(self._turn, chunk, fragments, fragments is None and self._parity_pays())

    def _parity_pays(self) -> bool:
        """Whether bringing back single losses costs less than sending again what any listener lost."""
        losses = self.losses()
        if not losses or losses[-1] < _PARITY_LOSS:
            return False
        arrived_everywhere = 1.0
        for loss in losses:
            arrived_everywhere *= 1 - loss
        return 1 - arrived_everywhere > 2 * _PARITY_COST


_PARITY_COST = 1 / 16


def _bits(numbers: set[int]) -> int:
    """Return a number with these bits; each set in place, for a large image has a quarter of a megabyte."""
    made = bytearray((max(numbers, default=-1) >> 3) + 1)
    for number in numbers:
        made[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(made, "little")
