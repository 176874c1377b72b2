"""An image of a disk made smaller, as an image of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hostler import __version__
from hostler.hub import images
from hostler.hub.errors import InvalidError
from hostler.hub.image_home import refuse_elsewhere
from hostler.hub.image_records import ImageKind, ImageRecord, Provenance
from hostler.hub.image_sight import find_image
from hostler.hub.state import Draft

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.hub.hub import Hub
    from hostler.hub.images import Progress
    from hostler.hub.records import Principal


def check(hub: Hub, by: Principal, name: str, new: str) -> None:
    """Raise a Refusal: no such image of a disk, no name for the new one, or as many are shrunk as may be."""
    _image(hub, by, name)
    images.check_name(Draft(hub.state, 0.0), by, new)
    hub.images.may_shrink()


async def shrink(
    hub: Hub, by: Principal, name: str, new: str, progress: Callable[[Progress], None]
) -> tuple[ImageRecord, str]:
    """Make an image as small as can be, under a new name; the other one stays.

    Args:
        hub: The hub.
        by: Who asks.
        name: The image.
        new: What the smaller one is called.
        progress: Called from another thread; what it raises ends the work.

    Returns:
        The new image, and why it is not smaller still; or nothing.

    Raises:
        Refusal: It cannot be shrunk; the text says why.
    """
    old, desk = _image(hub, by, name), hub.images
    with desk.reserve_name(by, new), desk.shrinking():
        async with desk.taking():
            heeded = desk.heeding(progress)
            made = await desk.at_length(lambda: desk.files.shrink(old.index, heeded))
            image = replace(
                old, name=new, index=made.index, size=made.size, data_bytes=made.data_bytes,
                source=f"image {name}, shrunk", principal=by.name, signatures=(), shrinks_to=0,
                provenance=Provenance("", __version__, -(-made.data_bytes // made.chunk_size)),
            )  # fmt: skip
            try:
                kept = await hub.change(
                    lambda draft: images.add(draft, by, replace(image, created=draft.now))
                )
            except BaseException:
                desk.give_up([made.index])
                raise
    return kept, made.shrink_note


def _image(hub: Hub, by: Principal, name: str) -> ImageRecord:
    image = find_image(hub.state, name, by)
    if image.kind is not ImageKind.DISK:
        raise InvalidError(
            f'image "{name}" is a system that comes over the network; only images of disks are shrunk',
            kind="not-a-disk",
        )
    refuse_elsewhere(image, "shrink it")
    return image
