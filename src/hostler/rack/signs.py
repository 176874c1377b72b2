"""What is heard after a board was switched on: who asks for an address, and who speaks on which console."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.consoles.watch import Watch
from hostler.rack.ears import Asked

if TYPE_CHECKING:
    from contextlib import ExitStack

    from hostler.model.wire_check import Wiring
    from hostler.rack.console import RackConsole

CONSOLE_SECONDS = 10.0
"""After a board has asked for an address its firmware has said what it says on a serial line."""

LISTEN_SECONDS = 3.0
"""How long is listened on after the last sign that was waited for: who else speaks, and what is said."""

OTHER_SECONDS = 5.0
"""How long the right board may still come after a wrong one was heard."""

ANYTHING = rb"[\s\S]"
_TEXT = rb"[\x20-\x7e]{4}"
# What a held board's boot script says first, and iPXE on its own.
_NAMES_ITSELF = rb"Hostler: [A-Za-z0-9._-]+: |net\d+: (?:[0-9a-f]{2}:){5}[0-9a-f]{2} "


@dataclass(frozen=True, slots=True)
class Lines:
    """What is listened for on one console."""

    anything: Watch
    text: Watch
    name: Watch


def listen(console: RackConsole | None, stack: ExitStack) -> Lines | None:
    """Listen on a console from now until the stack is left; None where there is none."""
    if console is None:
        return None
    watches = [
        stack.enter_context(console.broker.watch(pattern, since_boot=False))
        for pattern in (ANYTHING, _TEXT, _NAMES_ITSELF)
    ]
    return Lines(*watches)


def board_named(words: bytes, boards: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return which of these boards (name to MACs) a boot script's first words name, or None."""
    text = words.decode("ascii", "replace")
    if match := re.search(r"Hostler: ([A-Za-z0-9._-]+): ", text):
        return match[1] if match[1] in boards else None
    mac = text.split()[1]
    return next((name for name, macs in boards.items() if mac in macs), None)


@dataclass(frozen=True, slots=True)
class Heard:
    """What is listened to from power-on.

    Attributes:
        asked: Who asked for an address.
        own: The board's own console, or None.
        beside: The consoles of boards that should be off.
        macs: What those boards boot with.
        known: MACs of machines nobody knows that asked before already.
        began: When the board was told to go on (monotonic), and ``wall`` the same in Unix time.
    """

    asked: Asked
    own: Lines | None
    beside: Mapping[str, Lines | None]
    macs: Mapping[str, tuple[str, ...]]
    known: frozenset[str]
    began: float
    wall: float

    def woke(self) -> tuple[str, ...]:
        """Return the boards that should be off and asked for an address."""
        return tuple(name for name, macs in self.macs.items() if self.asked.first(macs) is not None)

    def lit(self) -> tuple[str, ...]:
        """Return the boards that should be off and on whose console somebody spoke."""
        return tuple(name for name, lines in self.beside.items() if lines and lines.text.seen is not None)

    def strangers(self, of_the_lab: frozenset[str]) -> tuple[str, ...]:
        """Return the MACs nobody knows that began to ask."""
        return tuple(mac for mac in self.asked.at if mac not in of_the_lab and mac not in self.known)

    def spoke(self) -> float | None:
        """Return how many seconds after power-on the board's own console said something."""
        if self.own is None or self.own.anything.seen is None:
            return None
        return max(0.0, self.own.anything.seen.at - self.wall)

    def enough(self, wiring: Wiring, now: float) -> bool:
        """Tell whether everything was heard that is to be waited for."""
        asked, spoke = self.asked.first(wiring.macs), self.spoke()
        if not wiring.served:
            return spoke is not None and now > self.began + spoke + LISTEN_SECONDS
        if asked is not None:
            silent = wiring.console is not None and spoke is None
            return now > asked + (CONSOLE_SECONDS if silent else LISTEN_SECONDS)
        woken = [self.asked.first(macs) for macs in self.macs.values()]
        first = min((at for at in woken if at is not None), default=None)
        return first is not None and now > first + OTHER_SECONDS
