"""The step that captures: which disk, what of it, and what is taken out of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hostler.agent.capture import capture
from hostler.agent.chunk_taker import RackTaker
from hostler.agent.clean import KERNEL_NAMES, settle
from hostler.agent.disks import choose_disk, find_disks
from hostler.agent.media import Media, aligned_buffer, up
from hostler.agent.overlay import NoOverlayError, overlaid
from hostler.agent.picture import Picture
from hostler.agent.toolbox import Toolbox, opened
from hostler.agent.used_space import Used, used_space
from hostler.agent.work import StepError
from hostler.model.cleaning import SEED
from hostler.model.partitions import HEAD_BYTES, PartitionError, PartitionTable, read_table
from hostler.model.volume import NOT_UNMOUNTED, VOLUME_HEAD_BYTES, Volume, volume_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostler.agent.disks import Machine
    from hostler.agent.rack import Rack
    from hostler.agent.work import Work
    from hostler.model.json import JSON, Document

_SECTOR = 512  # the unit of /sys/block/*/*/start, whatever the disk's own is
_SEED_LABEL = b"CIDATA     "
_LABELS_AT = (43, 71)  # volume label of a FAT12 or FAT16, of a FAT32
_MOST_TOLD = 200


@dataclass(frozen=True, slots=True)
class _Part:
    """A partition as the kernel shows it, or the whole disk as number 0."""

    number: int
    start: int
    size: int
    device: Path


class _Plan:
    """What is to be captured, as it is found out."""

    def __init__(self) -> None:
        self.used: list[tuple[int, int]] = []
        self.instead: list[tuple[int, int, Media]] = []
        self.told: list[Document] = []
        self.cleaned: list[str] = []


def capture_step(params: Document, machine: Machine, rack: Rack, work: Work) -> Document:
    """Carry out a capture step; returns its result.

    Args:
        params: ``disk`` (a hint or null), ``removable``, ``clean`` (words of `hostler.model.cleaning`),
            ``tools`` (artefact id of the tool pack) and ``chunk_size``.
        machine: Where the hardware is.
        rack: Who takes the image.
        work: Takes progress and log.

    Raises:
        StepError: It cannot be done; the message says why. The disk is never written.
    """
    wanted, words, tools, chunk_size = _params(params)
    disk = choose_disk(find_disks(machine, removable=params.get("removable") is True), wanted)
    with ExitStack() as stack:
        toolbox = stack.enter_context(opened(rack, tools))
        media = stack.enter_context(Media(Path(disk.path), write=False))
        table = _table(media, work)
        parts = _parts(machine, disk.path) if table is not None else []
        seed = _seed(media, parts, words)
        if seed is not None and table is not None:
            table = table.without(seed.number)
            parts.remove(seed)
        plan = _Plan()
        whole = _Part(0, 0, media.size, Path(disk.path))
        for part in parts if table is not None else [whole]:
            _add(plan, part, words, stack, machine, toolbox, work)
        size, put = _frame(plan, table, parts, media)
        work.say(f"capture: {size} bytes of {disk}, {sum(end - at for at, end in plan.used)} of them in use")
        picture = Picture(media, size, plan.used, plan.instead, put)
        result = capture(picture, RackTaker(rack), work, chunk_size)
    return {
        "disk": disk.to_json(),
        **result.to_json(),
        "partitions": cast("JSON", plan.told),
        "cleaned": cast("JSON", [*plan.cleaned, *(["the seed's partition"] if seed else [])][:_MOST_TOLD]),
    }


def _params(params: Document) -> tuple[str | None, tuple[str, ...], str, int]:
    wanted, words, tools = params.get("disk"), params.get("clean"), params.get("tools")
    chunk_size = params.get("chunk_size")
    if not isinstance(tools, str) or not isinstance(chunk_size, int) or not isinstance(wanted, str | None):
        raise StepError("capture needs a tool pack, a chunk size, and a disk or null")
    if not isinstance(words, list):
        raise StepError("capture needs a list of what to clean")
    return wanted, tuple(str(word) for word in words), tools, chunk_size


def _table(media: Media, work: Work) -> PartitionTable | None:
    try:
        return read_table(_read(media, 0, HEAD_BYTES), media.block)
    except PartitionError as error:
        work.say(f"capture: {error}; the disk is taken as it is")
        return None


def _parts(machine: Machine, disk: str) -> list[_Part]:
    """Return the partitions, logical ones too, an extended one not."""
    name = Path(disk).name
    found = []
    for path in (machine.sys / "block" / name).glob(f"{name}*"):
        try:
            number, start, count = (int((path / key).read_text()) for key in ("partition", "start", "size"))
        except (OSError, ValueError):
            continue
        found.append(_Part(number, start * _SECTOR, count * _SECTOR, machine.dev / path.name))
    # The kernel shows of an extended partition its first sectors, in which nobody has a file system.
    return sorted((part for part in found if part.size > 2 * _SECTOR), key=lambda part: part.start)


def _seed(media: Media, parts: Sequence[_Part], words: Sequence[str]) -> _Part | None:
    """Return the last partition if a first boot's configuration came in it and is to be left out."""
    if SEED not in words or not parts:
        return None
    last = parts[-1]
    head = _read(media, last.start, min(last.size, VOLUME_HEAD_BYTES))
    is_seed = volume_of(head) is Volume.FAT and any(head[at : at + 11] == _SEED_LABEL for at in _LABELS_AT)
    return last if is_seed else None


def _add(
    plan: _Plan, part: _Part, words: Sequence[str], stack: ExitStack, machine: Machine, toolbox: Toolbox,
    work: Work,
) -> None:  # fmt: skip
    """Put a partition into the plan."""
    name = f"partition {part.number}" if part.number else "the disk"
    with Media(part.device, write=False) as raw:
        head = _read(raw, 0, min(part.size, VOLUME_HEAD_BYTES))
    volume, source, note = volume_of(head), part.device, ""
    if volume in KERNEL_NAMES:
        source, note = _settled(plan, part, volume, words, stack, machine)
        if source != part.device:
            media = stack.enter_context(Media(source, write=False))
            plan.instead.append((part.start, part.size, media))
            head = _read(media, 0, min(part.size, VOLUME_HEAD_BYTES))
    if volume is Volume.XFS and source == part.device:
        used = Used(((0, part.size),), f"{volume} is taken whole: its log cannot be replayed")
    else:
        used = used_space(source, part.size, head, toolbox)
    plan.used += [(part.start + at, part.start + end) for at, end in used.ranges]
    taken = sum(end - at for at, end in used.ranges)
    notes = "; ".join(text for text in (used.told, note) if text)
    told: Document = {"number": part.number, "content": str(volume), "size": part.size, "used": taken}
    plan.told.append({**told, "note": notes})
    work.say(f"capture: {name}: {volume}, {taken} of {part.size} bytes{': ' if notes else ''}{notes}")


def _settled(
    plan: _Plan, part: _Part, volume: Volume, words: Sequence[str], stack: ExitStack, machine: Machine
) -> tuple[Path, str]:
    """Return where to read a file system, brought in order and cleaned, and what is to be said of that."""
    try:
        overlay = stack.enter_context(overlaid(part.device, part.size // _SECTOR, machine))
    except NoOverlayError as error:
        if words:
            raise
        return part.device, str(error)
    cleaned = settle(overlay.device, volume, words)
    overlay.check()
    if cleaned is None:
        return part.device, f"it cannot be mounted, and is not cleaned ({NOT_UNMOUNTED} or has errors)"
    plan.cleaned += cleaned
    return overlay.device, ""


def _frame(
    plan: _Plan, table: PartitionTable | None, parts: Sequence[_Part], media: Media
) -> tuple[int, list[tuple[int, bytes]]]:
    """Add what lies outside of partitions; returns the image's size and the table as it is to be in it."""
    if table is None:
        return media.size, []
    first = min((part.start for part in parts), default=HEAD_BYTES)
    plan.used.append((0, first))  # boot loaders lie there
    if table.has_extended:  # the chain of its tables, and what lies between
        for outer in table.partitions:
            inner = [part for part in parts if outer.start < part.start < outer.end]
            if inner:
                at = outer.start
                for part in inner:
                    plan.used.append((at, part.start))
                    at = part.start + part.size
    size = min(table.smallest, media.size // media.block * media.block)
    return size, table.pieces(size)


def _read(media: Media, offset: int, length: int) -> bytes:
    length = min(up(length, media.block), (media.size - offset) // media.block * media.block)
    buffer = aligned_buffer(max(length, media.block))
    media.read(buffer[:length], offset)
    return bytes(buffer[:length])
