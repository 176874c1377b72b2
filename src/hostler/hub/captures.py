"""A board's disk that becomes an image: what is asked of the rack, and the image that comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostler import __version__
from hostler.hub.access import member_only
from hostler.hub.errors import ConflictError, InvalidError
from hostler.hub.image_limits import refuse_over_share, share_left
from hostler.hub.image_names import name_fault, refuse_taken
from hostler.hub.image_records import ImageRecord, Provenance
from hostler.hub.image_sight import event_data
from hostler.hub.install_target import TargetWish, install_target
from hostler.model.cleaning import CleaningError, cleaning
from hostler.model.disk_hint import DiskHintError, choose_disk, parse_hint
from hostler.model.json import count
from hostler.model.plan import StepKind, StepOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostler.hub.records import BoardRecord, Principal, RunRecord
    from hostler.hub.state import Draft
    from hostler.model.platform import Platform
    from hostler.model.run import RunStatus

TOOL_PACK = "tools.tar.zst"
"""The name under which an agent's tool pack is registered, beside what firmware fetches."""
CHUNK_SIZE = 1 << 20
"""The grid of imports: chunks of images and of disks are the same only on the same grid."""
CAPTURE_SECONDS = 12 * 3600.0
"""Longest capture: 4 TB in use at 100 MB/s."""
_MOST_BYTES = 64 << 40  # as imports have it, for a board whose disks nobody has seen yet


@dataclass(frozen=True, slots=True)
class CaptureWish:
    """How a board is to be captured.

    Attributes:
        disk: Hint for the disk; None: that of the board, else of its class.
        clean: Words of `hostler.model.cleaning`.
        shrink: Whether the image is to be made as small as can be.
    """

    disk: str | None = None
    clean: tuple[str, ...] = ("default",)
    shrink: bool = False


def capture_order(
    draft: Draft, record: BoardRecord, platform: Platform, name: str, principal: Principal,
    wish: CaptureWish | None, done: tuple[str, float], earlier: Sequence[StepOrder] = (),
) -> StepOrder:  # fmt: skip
    """Return a capture step with everything the rack needs.

    Args:
        draft: The lab.
        record: The board.
        platform: Its platform.
        name: What the image is to be called.
        principal: Who asks.
        wish: How, or None: as usual.
        done: What a console shows when the image has booted, and within how many seconds.
        earlier: The steps before it in its plan, which take of the same share.

    Raises:
        Refusal: The name is taken or none, or something is missing.
    """
    wish = wish or CaptureWish()
    member_only(principal, "capture images")
    if fault := name_fault(name):
        raise InvalidError(fault, kind="bad-image")
    refuse_over_share(draft, principal, 0, earlier)
    refuse_taken(draft, name)
    try:
        clean = cleaning(wish.clean)
    except CleaningError as error:
        raise InvalidError(str(error), kind="bad-cleaning") from error
    target = install_target(draft, record, TargetWish(disk=wish.disk, grow=False))
    agent = draft.agents.get(platform.arch)
    tools = agent.boot_files.get(TOOL_PACK) if agent is not None else None
    if agent is not None and tools is None:
        raise ConflictError(
            f"the agent for {platform.arch} was built without the tools that read file systems; an admin "
            f"builds it again with: hostler agent build --arch {platform.arch}",
            kind="no-tool-pack",
        )
    pattern, seconds = done
    limit = _disk_size(record, target.disk, removable=target.removable)
    share = share_left(draft, principal, earlier)
    params = {
        "image": name,
        "disk": target.disk,
        "removable": target.removable,
        "clean": list(clean),
        "tools": tools,
        "limit": limit,
        # Kept for this capture until it ends: no image has more data than its disk has bytes.
        "most_data": None if share is None else min(share, limit),
        "shrink": wish.shrink,
        "chunk_size": CHUNK_SIZE,
        "pattern": pattern,
        "seconds": seconds,
        "project": "" if record.claim is None else draft.claims[record.claim].project,
    }
    return StepOrder(StepKind.CAPTURE, params, CAPTURE_SECONDS)


def _disk_size(record: BoardRecord, hint: str | None, *, removable: bool) -> int:
    """Return the size of the disk that is meant; raises ConflictError when none, or more than one, is."""
    told = record.facts.get("disks")
    disks = [disk for disk in told if isinstance(disk, dict)] if isinstance(told, list) else []
    if not disks:
        return _MOST_BYTES
    try:
        disk = choose_disk(disks, parse_hint(hint) if hint is not None else None, removable=removable)
    except DiskHintError as error:
        raise ConflictError(
            f'board "{record.name}": {error}. It is what the board reported last; look again with: '
            f"hostler run {record.name} discover",
            kind="no-disk",
        ) from error
    return min(count(disk.get("size")) or _MOST_BYTES, _MOST_BYTES)


def take_captured(draft: Draft, record: BoardRecord, run: RunRecord, status: RunStatus) -> None:
    """Put the images into the catalogue that a run has captured since its last status."""
    for number in range(len(run.status.results), min(len(status.results), len(run.order.steps))):
        order = run.order.steps[number]
        # The rack sees to it that the result of a capture tells what is in the store: its index and sizes.
        # The rest is the agent's word.
        if order.kind is StepKind.CAPTURE and "index" in status.results[number]:
            _add(draft, record, run, order.params, status.results[number])


def _add(
    draft: Draft, record: BoardRecord, run: RunRecord, params: dict[str, Any], result: dict[str, Any]
) -> None:
    platform = draft.inventory.platform(record.board.board_class)
    serial = f", serial {record.board.serial}" if record.board.serial else ""
    image = ImageRecord(
        str(params["image"]), platform.arch, (platform.name,), str(result["index"]), int(result["size"]),
        int(result["data_bytes"]), int(result["chunk_size"]), str(params["pattern"]),
        float(params["seconds"]), draft.now,
        f"captured from board {record.name} ({record.board.board_class}{serial})", run.principal,
        provenance=Provenance(
            "", __version__, count(result.get("chunks")), count(result.get("sent_chunks")),
            count(result.get("sent_bytes")),
        ),
        shrinks_to=count(result.get("shrinks_to")), project=str(params["project"]),
    )  # fmt: skip
    draft.images.put(image.name, image)
    text = f'{run.principal} captured image "{image.name}" from board "{record.name}" ({image.size} bytes)'
    draft.event(
        "image.captured", text, principal=run.principal, board=record.name, run=run.id, claim=run.claim,
        data=event_data(image),
    )  # fmt: skip
