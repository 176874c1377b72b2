"""Why a board is held, in words for the person in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent

if TYPE_CHECKING:
    from hostler.netboot.table import Target

_WHY = {
    BootIntent.HOLD: "nothing is to be done with this board now",
    BootIntent.ENVIRONMENT: "the environment of its claim does not answer yet",
    BootIntent.DENY: "this board is not to be booted",
    BootIntent.LOCAL: "it should boot from its disk, and asked again",
    BootIntent.STEP: "there is work for it, but it cannot be booted",
}


def why_held(target: Target | None) -> str:
    """Return the reason a board is given for waiting; for None, that of a machine nobody knows."""
    if target is None:
        return "nobody knows this machine yet, it was noted, and nothing will be written to it"
    return target.message or _WHY[target.intent]
