"""What a keeper needs around it: its board's supply and console, and the rack it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.model.boot import BootTarget
    from hostler.model.keeper_view import Memory, View
    from hostler.model.power import PowerReading, PowerState
    from hostler.model.seam import Observed
    from hostler.model.trace import TraceEvent


class BoardPower(Protocol):
    """A board's supply, whatever drivers and queues are behind it."""

    async def set(self, state: PowerState, told: Callable[[str], None]) -> tuple[PowerReading, float]:
        """Switch and read back; returns what reads and the seconds that took. Raises DriverError.

        ``told`` is called with what is waited for before anything is switched, and with an empty text when
        that is over; in between the call may be cancelled without harm.
        """
        ...

    async def get(self) -> PowerReading:
        """Read; raises DriverError."""
        ...


class BoardBootControl(Protocol):
    """What brings a board to boot from where it should; see ``rack.boot_control``."""

    async def direct(self, target: BootTarget, attempt: int) -> str:
        """Before the board gets power: ask its firmware; returns what was done. Raises DriverError.

        Each attempt to bring it to the network, counted from 1, begins with another of its controls.
        """
        ...

    async def look(self) -> list[tuple[str, str, bool]]:
        """Ask each control without changing anything: its name, what it says, and whether it would work."""
        ...

    @property
    def armed(self) -> bool:
        """Whether the boot that begins is to be taken over once the board has power."""
        ...

    async def take_over(self) -> str:
        """Take the boot over; begun before power comes. Returns what was done. Raises DriverError."""
        ...

    def powered(self) -> None:
        """Note that the board has power now: the deadline of ``take_over`` counts from here."""
        ...


class BoardConsole(Protocol):
    """A board's console, as far as its keeper needs it."""

    @property
    def connected(self) -> bool:
        """Whether the line is open now."""
        ...

    @property
    def active_at(self) -> float | None:
        """Unix time somebody last had it open or it last said something, or None."""
        ...

    def new_boot(self, boot: str) -> None:
        """Begin the log of another boot."""
        ...

    def watch(self, pattern: bytes, found: Callable[[str], None]) -> None:
        """Call ``found`` with the boot's id once a pattern appears; replaces an earlier watch."""
        ...


class KeeperPort(Protocol):
    """What a keeper tells the rest of its rack."""

    async def keep(self, board: str, memory: Memory) -> None:
        """Store the memory; durable when it returns."""
        ...

    async def tell(self, observed: Observed) -> None:
        """Send an observation up."""
        ...

    def trace(self, event: TraceEvent) -> None:
        """Add an event to the board's trace; never blocks."""
        ...

    def answer(self, view: View) -> None:
        """Bring netboot's answer for the board up to date."""
        ...

    def missing(self, view: View) -> tuple[str, ...]:
        """Return the artefacts the present step needs that are not on this rack."""
        ...
