"""Reading back what a board said: by boot, by claim, since some time, and by words."""

from __future__ import annotations

import contextlib
import re
import time
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.consoles.log import INDEX_SECONDS
from hostler.model.search_pattern import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from hostler.consoles.log import ConsoleLog
    from hostler.consoles.marks import Extent

MOST_MATCHES = 1000
SEARCH_SECONDS = 15.0
LONGEST_LINE = 4096
"""A board that never ends a line is cut into lines of this length."""
_BLOCK = 1 << 18
_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[=>78])")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Match:
    """A line that matched.

    Attributes:
        at: Unix time it was said, as exact as the index: 0.1 s.
        boot: The boot's id.
        offset: Where the line begins in all that the boot said.
        line: Without what a terminal does not show.
    """

    at: float
    boot: str
    offset: int
    line: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        matches: In the order in which they were said.
        complete: False: there was more to look at than time or room for answers.
    """

    matches: list[Match]
    complete: bool


def select(
    log: ConsoleLog,
    extents: list[Extent],
    *,
    boot: str | None,
    claims: Collection[str] | None,
    since: float | None,
) -> list[tuple[str, int, int | None]]:
    """Return parts of the log: boot, first offset, offset behind the last (None: to the end).

    Args:
        log: The board's log.
        extents: Who held the board when.
        boot: Only this boot; None: every one that is marked.
        claims: Only what was said under these; None: whoever held the board, and nobody.
        since: Only what was said at this Unix time or later.
    """
    if boot is not None and claims is None:
        parts: list[tuple[str, int, int | None]] = [(boot, 0, None)]
    else:
        parts = [
            (extent.boot, extent.start, extent.end)
            for extent in extents
            if (boot is None or extent.boot == boot) and (claims is None or extent.claim in claims)
        ]
    if since is None:
        return parts
    first = {name: _since(log, name, since) for name, _, _ in parts}
    return [
        (name, max(start, first[name]), end) for name, start, end in parts if end is None or end > first[name]
    ]


def _since(log: ConsoleLog, boot: str, since: float) -> int:
    """Return the first offset said at a time or later; a clock that was set back leaves more, never less."""
    times = log.times(boot)
    return next((offset for at, offset in times if at > since - INDEX_SECONDS), size(log, boot))


def size(log: ConsoleLog, boot: str) -> int:
    """Return how many bytes a boot said; 0 when it is not kept."""
    with contextlib.suppress(FileNotFoundError):
        return log.read(boot, -1, 1).size
    return 0


def read_parts(
    log: ConsoleLog, parts: list[tuple[str, int, int | None]]
) -> Iterator[tuple[str, int, bytes, int]]:
    """Yield boot, offset, bytes, and how many bytes before them are not kept."""
    for boot, start, end in parts:
        offset = start
        while end is None or offset < end:
            try:
                piece = log.read(boot, offset, min(_BLOCK, end - offset) if end is not None else _BLOCK)
            except FileNotFoundError:
                break  # forgotten by now
            data = piece.data if end is None else piece.data[: max(0, end - piece.offset)]
            if not data:
                break
            yield boot, piece.offset, data, piece.missing
            offset = piece.offset + len(data)


def tail(log: ConsoleLog, parts: list[tuple[str, int, int | None]], limit: int) -> bytes:
    """Return the last ``limit`` bytes of some parts; what is not kept any more is told in its place."""
    kept = bytearray()
    for _, _, data, missing in read_parts(log, parts):
        if missing:
            kept += b"\r\n[... %d bytes not kept ...]\r\n" % missing
        kept += data
        if len(kept) > limit + (1 << 20):
            del kept[: len(kept) - limit]
    return bytes(kept[-limit:]) if limit else b""


def search(
    log: ConsoleLog,
    parts: list[tuple[str, int, int | None]],
    pattern: str,
    *,
    most: int = MOST_MATCHES,
    seconds: float = SEARCH_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Find the lines that a regular expression matches.

    The expression is RE2's: whatever people write, its time grows with the text only.

    Raises:
        SearchPatternError: It cannot be compiled.
    """
    wanted = compiled(pattern)
    deadline = clock() + seconds
    matches: list[Match] = []
    times: list[tuple[float, int]] = []
    timed: str | None = None
    for boot, offset, line in _lines(log, parts):
        if clock() > deadline:
            return Found(matches, complete=False)
        text = readable(line)
        if not wanted.search(text):
            continue
        if len(matches) >= most:
            return Found(matches, complete=False)
        if timed != boot:
            timed, times = boot, log.times(boot)
        place = bisect_right(times, offset, key=lambda pair: pair[1]) - 1
        matches.append(Match(times[max(place, 0)][0] if times else 0.0, boot, offset, text))
    return Found(matches, complete=True)


def readable(line: bytes) -> str:
    """Return what of a line people see."""
    return _UNSEEN.sub("", _ESCAPES.sub(b"", line).decode(errors="replace"))


def _lines(log: ConsoleLog, parts: list[tuple[str, int, int | None]]) -> Iterator[tuple[str, int, bytes]]:
    """Yield boot, offset and bytes of each line; the last one of a boot may have no end yet."""
    held, at, of = b"", 0, ""
    for boot, offset, data, _ in read_parts(log, parts):
        if held and (boot != of or offset != at + len(held)):
            yield of, at, held  # a gap, or another boot
            held = b""
        if not held:
            at = offset
        of = boot
        whole = held + data
        *lines, held = whole.split(b"\n")
        for line in lines:
            for begin in range(0, max(len(line), 1), LONGEST_LINE):
                yield of, at + begin, line[begin : begin + LONGEST_LINE]
            at += len(line) + 1
        while len(held) > LONGEST_LINE:
            yield of, at, held[:LONGEST_LINE]
            held, at = held[LONGEST_LINE:], at + LONGEST_LINE
    if held:
        yield of, at, held
