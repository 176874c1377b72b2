"""Images that are at home on another server: here they can be deployed, and nothing else be done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.hub.errors import ConflictError

if TYPE_CHECKING:
    from hostler.hub.image_records import ImageRecord


def refuse_elsewhere(image: ImageRecord, what: str) -> None:
    """Raise ConflictError for an image that is at home elsewhere, where ``what`` has to be done."""
    if image.upstream:
        raise ConflictError(
            f'image "{image.name}" is at home at {image.upstream}: {what} there', kind="image-elsewhere"
        )
