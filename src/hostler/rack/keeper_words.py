"""What a keeper tells the trace of its run and its supply, in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hostler.model.keeper_view import working

if TYPE_CHECKING:
    from hostler.model.json import Document
    from hostler.model.keeper_view import View
    from hostler.model.run import RunOrder, RunStatus

Words = tuple[str, str, "Document"]
"""An event's kind, its line, and its data."""


def words_of_run(status: RunStatus, order: RunOrder | None) -> Words | None:
    """Tell how far a run is, or how it ended; None: nothing that would not be told at once again."""
    if status.state.ended:
        text = f"run {status.state}" + (f": {status.error}" if status.error else "")
        return str(status.state), text, {"run": status.id}
    if order is None or status.step >= len(order.steps):
        return None
    data: Document = {"run": status.id, "step": status.step, "attempt": status.attempt}
    kind = order.steps[status.step].kind
    text = f"step {status.step + 1} of {len(order.steps)}, {kind}: {status.phase}"
    if status.attempt > 1:
        text += f", attempt {status.attempt} because {status.error}"
    return str(status.phase), text, data


def words_of_mismatch(view: View, before: float | None, now: float) -> Words:
    """Tell that the supply reads other than it should, or no longer does.

    Args:
        view: The keeper's view.
        before: Since when it differed, as was told last; None: it was as it should be.
        now: Unix time.
    """
    reading, wanted, since = view.seen.power, view.desired.power, view.memory.mismatch
    reads = f"the supply reads {reading.state}" + (f" ({reading.detail})" if reading.detail else "")
    if since is not None:
        when = time.strftime("%H:%M:%S UTC", time.gmtime(since))
        error = f": {view.seen.power_error}" if view.seen.power_error else ""
        text = f"{reads} since {when} though it should be {wanted}{error}"
        return "mismatch", text, {"since": since, "desired": wanted}
    how = "a run switches it now" if working(view) else reads
    text = f"{how}, {now - (before or now):.0f} s after it began to differ from what it should be"
    return "matches", text, {"since": before, "desired": wanted}
