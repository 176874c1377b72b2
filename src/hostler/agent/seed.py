"""A NoCloud seed behind an image: a small FAT file system labelled ``CIDATA``, where cloud-init looks for it.

Source: cloud-init's documentation of "NoCloud".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.agent.media import aligned_buffer, up
from hostler.agent.partition_table import add_partition
from hostler.agent.work import StepError
from hostler.wire import fat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.agent.media import Media
    from hostler.agent.partition_table import Added

LABEL = "CIDATA"
_CLUSTER = 512


def write_seed(media: Media, files: Mapping[str, str]) -> Added:
    """Add a seed to the image on a disk and prove it.

    Args:
        media: The disk, open for writing.
        files: The seed's files by name.

    Raises:
        StepError: There is no room or no table for it (nothing was written), or it does not read back.
    """
    contents = {name: text.encode() for name, text in files.items()}
    try:
        plan = fat.layout(
            [(name, len(content)) for name, content in contents.items()], label=LABEL, cluster=_CLUSTER
        )
    except fat.FatError as error:
        raise StepError(f"the seed: {error}") from error
    whole = bytearray(plan.head)
    for content, padding in zip(contents.values(), plan.padding, strict=True):
        whole += content + bytes(padding)
    whole += bytes(plan.tail)
    added = add_partition(media, len(whole), LABEL.lower())
    buffer = aligned_buffer(up(len(whole), media.block))
    buffer[: len(whole)] = whole
    media.write(buffer, added.offset)
    media.sync()
    back = aligned_buffer(len(buffer))
    media.read(back, added.offset)
    if back != buffer:
        raise StepError(f"{media.path} does not keep the seed at {added.offset}")
    return added
