"""Telling an installed system about itself before its first boot: by a seed behind it, or by files in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.media import Media
from hostler.agent.root_files import has_cloud_init, is_root, mounted, partitions_of, write_files
from hostler.agent.seed import write_seed
from hostler.agent.work import StepError
from hostler.model.first_boot import FirstBoot, FirstBootError, Way

if TYPE_CHECKING:
    from hostler.agent.disks import Disk, Machine
    from hostler.agent.work import Work
    from hostler.model.json import JSON, Document


def first_boot_of(params: Document) -> FirstBoot | None:
    """Return what a step says of the first boot, or None.

    Raises:
        StepError: It cannot be understood.
    """
    document = params.get("first_boot")
    if document is None:
        return None
    if not isinstance(document, dict):
        raise StepError("first_boot is not an object")
    try:
        return FirstBoot.from_json(document)
    except FirstBootError as error:
        raise StepError(f"first_boot: {error}") from error


def tell(disk: Disk, first_boot: FirstBoot, machine: Machine, work: Work) -> Document:
    """Tell the system that was installed on a disk what it is to know; returns what was done.

    Args:
        disk: Where an image lies whole; nobody has it open.
        first_boot: What to tell.
        machine: Where the hardware is.
        work: Takes the log.

    Raises:
        StepError: Neither way is open; the message says why.
    """
    if first_boot.way is not Way.SEED:
        for device in partitions_of(machine, disk.path):
            with mounted(device) as root:
                if root is None or not is_root(root):
                    continue
                if first_boot.way is Way.AUTO and has_cloud_init(root):
                    break
                if first_boot.network is not None:
                    raise StepError(
                        "the image has no cloud-init, which a network configuration needs; leave that out"
                    )
                written = write_files(root, first_boot)
                work.say(f"first boot: wrote {', '.join(written)} on {device}")
                return {"way": "files", "device": str(device), "files": _json(written)}
        if first_boot.way is Way.FILES:
            raise StepError(
                f"no partition of {disk.path} holds a root file system the agent writes (ext4, XFS, btrfs); "
                "use a seed and an image with cloud-init"
            )
    seed = first_boot.seed()
    with Media(Path(disk.path), write=True) as media:
        added = write_seed(media, seed)
        media.reread_partitions()
    work.say(f"first boot: partition {added.number} at {added.offset} is the seed for cloud-init")
    return {"way": "seed", "partition": added.number, "offset": added.offset, "files": _json(sorted(seed))}


def _json(words: list[str]) -> list[JSON]:
    return [*words]
