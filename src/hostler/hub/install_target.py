"""Where an image goes on a board: what was asked for, and what ``lab.toml`` says where nothing was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostler.hub.errors import ConflictError, InvalidError
from hostler.model.disk_hint import DiskHintError, choose_disk, described, parse_hint
from hostler.model.install_target import DISK, InstallTarget, InstallTargetError

if TYPE_CHECKING:
    from hostler.hub.image_records import ImageRecord
    from hostler.hub.records import BoardRecord
    from hostler.hub.state import Draft


@dataclass(frozen=True, slots=True)
class TargetWish:
    """A wish as it came.

    Attributes:
        disk: Hint for the disk; None: that of the board, else of its class.
        grow: Whether the last partition grows to the disk; None: as the class says.
        to: As in ``InstallTarget``.
        emmc_boot: Likewise.
    """

    disk: str | None = None
    grow: bool | None = None
    to: str = DISK
    emmc_boot: str | None = None


def install_target(draft: Draft, record: BoardRecord, wish: TargetWish | None) -> InstallTarget:
    """Return where an image goes on a board; raises InvalidError naming what cannot be meant."""
    wish = wish or TargetWish()
    board_class = draft.inventory.classes[record.board.board_class]
    at_hand = record.board.disk or board_class.disk  # an eMMC with boot partitions may be another
    if wish.grow and wish.to != DISK:
        raise InvalidError(f"what goes to {wish.to} has no partition to grow", kind="bad-target")
    try:
        return InstallTarget(
            disk=wish.disk if wish.disk is not None else at_hand if wish.to == DISK else None,
            removable=board_class.removable,
            grow=wish.to == DISK and (board_class.grow if wish.grow is None else wish.grow),
            to=wish.to,
            emmc_boot=wish.emmc_boot,
        )
    except InstallTargetError as error:
        raise InvalidError(str(error), kind="bad-target") from error


def refuse_no_room(record: BoardRecord, image: ImageRecord, target: InstallTarget) -> None:
    """Raise ConflictError when none of the disks a board reported is meant, or the one is too small.

    A board that never reported any is not judged: its agent will find them.
    """
    disks = [disk for disk in _listed(record.facts.get("disks")) if isinstance(disk, dict)]
    if not disks or not target.whole_disk:
        return
    hint = parse_hint(target.disk) if target.disk is not None else None
    try:
        disk = choose_disk(disks, hint, removable=target.removable)
    except DiskHintError as error:
        raise ConflictError(
            f'board "{record.name}": {error}. It is what the board reported last; look again with: '
            f"hostler run {record.name} discover",
            kind="no-disk",
        ) from error
    size = disk.get("size")
    if isinstance(size, int) and image.size > size:
        raise ConflictError(
            f'image "{image.name}" needs {image.size} bytes, but board "{record.name}" has '
            f"{described(disk)}; {_way_out(image, size)}",
            kind="image-too-large",
        )


def _way_out(image: ImageRecord, size: int) -> str:
    if 0 < image.shrinks_to <= size:
        shrink = f"hostler image shrink {image.name} --as NAME"
        return f"`{shrink}` would make an image of about {image.shrinks_to} bytes"
    if image.shrinks_to:
        return f"shrunk it would still need about {image.shrinks_to}; choose a smaller image or another disk"
    return "choose a smaller image or another disk"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
