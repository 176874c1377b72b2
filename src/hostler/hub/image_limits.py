"""How much of the image store is whose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.hub.errors import NoSpaceError

if TYPE_CHECKING:
    from hostler.hub.records import Principal
    from hostler.hub.state import Draft


def share_left(draft: Draft, by: Principal) -> int | None:
    """Return how many bytes of data somebody may still import; None: any number, as admins may.

    It is what the images have, holes aside, that counts, however much of it they share: what others import
    or remove changes nothing in one's own share.
    """
    limit = draft.inventory.image_limit_per_person
    if limit is None or by.admin:
        return None
    return limit - sum(one.data_bytes for one in draft.images.values() if one.principal == by.name)


def refuse_over_share(draft: Draft, by: Principal, more: int) -> None:
    """Raise NoSpaceError when this many bytes of data more (at least one) are more than somebody may have."""
    left = share_left(draft, by)
    if left is None or max(more, 1) <= left:
        return
    limit = draft.inventory.image_limit_per_person or 0
    raise NoSpaceError(
        f"{by.name} may have images with {limit} bytes of data in all (image_limit_per_person), has "
        f"{limit - left}, and this has {more or 'at least 1'} more; remove images, or ask an admin",
        kind="image-share",
    )
