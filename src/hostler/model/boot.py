"""A boot, and what a board that asks over the network is to be answered."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from hostler.model.board import Lifecycle
from hostler.model.netboot_order import DoneSignal, netboot_order
from hostler.model.plan import needs_agent
from hostler.model.run import Phase

if TYPE_CHECKING:
    from hostler.model.run import RunStatus
    from hostler.model.seam import Desired


class BootIntent(StrEnum):
    """The answer to a board's firmware, derived from lifecycle, claim and run; never stored.

    Attributes:
        LOCAL: Boot from the board's own disk.
        STEP: Boot the agent, which will ask for the step, or the system that the step brings.
        HOLD: Wait politely, and ask again: nothing is to be done with this board now.
        ENVIRONMENT: The claim's environment answers.
        DENY: No answer at all.
    """

    LOCAL = "local"
    STEP = "step"
    HOLD = "hold"
    ENVIRONMENT = "environment"
    DENY = "deny"


class BootTarget(StrEnum):
    """Where a board's firmware is to boot from, once: what its boot controls are told.

    Attributes:
        NETWORK: The network, whatever is on its disks.
        DISK: Its own disk, or whatever else it boots when nobody interferes.
    """

    NETWORK = "network"
    DISK = "disk"


def boot_intent(desired: Desired, status: RunStatus | None) -> BootIntent:
    """Derive the answer to a board's firmware; total: every state of board, claim and run has one.

    Args:
        desired: The board with its lifecycle, claim and ordered run.
        status: How far its run is, if it ever had one.
    """
    order = desired.run
    if desired.lifecycle is Lifecycle.RETIRED:
        return BootIntent.DENY
    if desired.lifecycle is Lifecycle.DISCOVERED:
        return BootIntent.HOLD
    if order is not None and status is not None and status.id == order.id and not status.state.ended:
        if order.cancelled or status.step >= len(order.steps):
            return BootIntent.HOLD
        step = order.steps[status.step]
        if (system := netboot_order(step)) is not None:
            if not status.boot_began:
                return BootIntent.HOLD  # who asks before the power was cut may be somebody else's system
            # It has been handed out, and the board's asking again is the sign that it is done: to answer with
            # the same once more would begin it anew.
            waits = system.done is DoneSignal.SECOND_BOOT and status.phase is Phase.EXECUTING
            return BootIntent.HOLD if waits else BootIntent.STEP
        return BootIntent.STEP if needs_agent(step) else BootIntent.LOCAL
    return BootIntent.LOCAL if desired.lifecycle is Lifecycle.CLAIMED else BootIntent.HOLD
