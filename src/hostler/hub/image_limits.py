"""How much of the image store is whose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.hub.errors import NoSpaceError
from hostler.model.json import count
from hostler.model.plan import StepKind, StepOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hostler.hub.records import Principal
    from hostler.hub.state import Draft


def share_left(draft: Draft, by: Principal, begun: Sequence[StepOrder] = ()) -> int | None:
    """Return how many bytes of data somebody may still import; None: any number, as admins may.

    It is what the images have, holes aside, that counts, however much of it they share: what others import
    or remove changes nothing in one's own share. What captures under way may take counts as if they had it.

    Args:
        draft: The lab.
        by: Whose share.
        begun: Steps of a plan of theirs that is not under way yet.
    """
    limit = draft.inventory.image_limit_per_person
    if limit is None or by.admin:
        return None
    return limit - _has(draft, by) - _promised(draft, by, begun)


def refuse_over_share(draft: Draft, by: Principal, more: int, begun: Sequence[StepOrder] = ()) -> None:
    """Raise NoSpaceError when this many bytes of data more (at least one) are more than somebody may have.

    ``begun`` as for ``share_left``.
    """
    left = share_left(draft, by, begun)
    if left is None or max(more, 1) <= left:
        return
    limit = draft.inventory.image_limit_per_person or 0
    promised = _promised(draft, by, begun)
    meanwhile = f", of which captures under way may take {promised}" if promised else ""
    raise NoSpaceError(
        f"{by.name} may have images with {limit} bytes of data in all (image_limit_per_person), has "
        f"{limit - left}{meanwhile}, and this has {more or 'at least 1'} more; remove images, or ask an "
        "admin",
        kind="image-share",
    )


def _has(draft: Draft, by: Principal) -> int:
    return sum(one.data_bytes for one in draft.images.values() if one.principal == by.name)


def _promised(draft: Draft, by: Principal, begun: Iterable[StepOrder]) -> int:
    """Return what captures that have not ended may take of somebody's share."""
    steps = [
        step
        for run in draft.runs.values()
        if run.principal == by.name and not run.status.state.ended
        for step in run.order.steps[len(run.status.results) :]
    ]
    captures = (step for step in (*steps, *begun) if step.kind is StepKind.CAPTURE)
    return sum(count(step.params.get("most_data")) for step in captures)
