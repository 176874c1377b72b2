"""A boot, and what a board that asks over the network is to be answered."""

from __future__ import annotations

from enum import StrEnum


class BootIntent(StrEnum):
    """The answer to a board's firmware, derived from lifecycle, claim and run; never stored.

    Attributes:
        LOCAL: Boot from the board's own disk.
        STEP: Boot the agent, which will ask for the step.
        HOLD: Wait politely, and ask again: nothing is to be done with this board now.
        ENVIRONMENT: The claim's environment answers.
        DENY: No answer at all.
    """

    LOCAL = "local"
    STEP = "step"
    HOLD = "hold"
    ENVIRONMENT = "environment"
    DENY = "deny"
