"""Power as two facts that are never mixed: what is wanted and what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PowerState(StrEnum):
    """Whether a board has power. UNKNOWN is an answer of its own and is never shown as off."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PowerReading:
    """What the equipment says of one board's supply.

    Attributes:
        state: On, off, or unknown where the equipment cannot tell.
        watts: Power drawn, where the equipment measures it.
        detail: The equipment's own words, for people (``searching``, ``fault``).
        partly: True when a board has several wires and only some of them are on: it does not run, so it is
            off, but there is something left to switch off.
    """

    state: PowerState
    watts: float | None = None
    detail: str = ""
    partly: bool = False


UNSEEN = PowerReading(PowerState.UNKNOWN)
"""What is known before anybody has looked."""


BOOT_SECONDS = 600.0
"""How long after power-on the watts a board draws are part of its boot."""


def draws_otherwise(told: float | None, reading: PowerReading, since: float) -> bool:
    """Tell whether the watts of a reading, so many seconds after power-on, are news to a boot's trace.

    They are when they differ by a fifth from those told, and by half a watt.
    """
    if reading.watts is None or since > BOOT_SECONDS:
        return False
    return told is None or abs(reading.watts - told) >= max(0.5, told / 5)


@dataclass(frozen=True, slots=True)
class PowerCapabilities:
    """What a kind of equipment can do.

    Attributes:
        can_read: True when ``get`` tells what is, not what was last asked for.
        min_off_seconds: Shortest time off that surely resets a board behind it.
        watts: True when readings carry watts.
    """

    can_read: bool
    min_off_seconds: float
    watts: bool = False
