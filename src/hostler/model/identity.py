"""Who is this machine? Strong facts must agree, junk does not count, a contradiction is said aloud."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hostler.model.board import Board

# What vendors leave in DMI fields that should hold a serial or UUID. Two boards sharing one of these are
# still two boards.
_JUNK = frozenset(
    {
        "", "none", "n/a", "na", "not specified", "not available", "unknown", "default",
        "default string",
        "to be filled by o.e.m.", "to be filled by oem", "system serial number", "serial number",
        "chassis serial number",
        "0123456789", "123456789", "1234567890", "xxxxxxx", "empty", "oem", "o.e.m.", "invalid",
        "system manufacturer",
        "03000200-0400-0500-0006-000700080009",  # the UUID of many AMI boards that were never programmed
        "12345678-1234-5678-90ab-cddeefaabbcc",
    }
)  # fmt: skip


_COLONS = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})+")


def is_junk(value: str | None) -> bool:
    """Tell whether a serial or UUID says nothing: placeholders, zeros, one repeated character."""
    if value is None:
        return True
    text = value.strip().lower()
    bare = re.sub(r"[^0-9a-z]", "", text)
    return text in _JUNK or len(set(bare)) <= 1


def normal_mac(text: str) -> str:
    """Return a MAC as lower case hex pairs with colons; raises ValueError for anything else."""
    digits = re.sub(r"[:.\-]", "", text.strip()).lower()
    if not re.fullmatch(r"[0-9a-f]{12}", digits):
        raise ValueError(f'"{text}" is not a MAC address; write it like 52:54:00:12:34:56')
    if int(digits[:2], 16) & 1:
        raise ValueError(f'"{text}" is a multicast address; a board has a unicast MAC')
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def serial_digits(serial: str | None) -> str | None:
    """Return the digits by which a Raspberry Pi's firmware tells its serial number; None for any other text.

    Linux and the label say 16 hexadecimal digits (``10000000a1b2c3d4``), the firmware the last eight of them.
    """
    digits = (serial or "").strip().lower().removeprefix("0x")
    return digits[-8:] if re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{16}", digits) else None


def relay_id(text: str) -> str:
    """Return a circuit or remote id (RFC 3046) as hex.

    ``00:04:00:0a`` and ``0x0004000a`` mean those bytes, anything else the text itself. Raises ValueError for
    one that cannot be.
    """
    bare = text.strip()
    digits = bare[2:] if bare[:2].lower() == "0x" else bare.replace(":", "") if ":" in bare else ""
    if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", digits) and (":" not in bare or _COLONS.fullmatch(bare)):
        value = digits.lower()
    else:
        value = bare.encode().hex()
    if not 2 <= len(value) <= 510:
        raise ValueError(f'"{text}" is not the id of a relay or its port: 1 to 255 bytes, as text or as hex')
    return value


def identify(
    boards: Iterable[Board], macs: Sequence[str], uuid: str | None, serial: str | None
) -> tuple[Board | None, str]:
    """Find the board that has these facts.

    Returns:
        The board and an empty text; None and an empty text when nobody has them; None and the
        contradiction when they point to different boards.
    """
    hits: dict[str, list[str]] = {}
    found: dict[str, Board] = {}
    for board in boards:
        for kind, value in _matches(board, macs, uuid, serial):
            hits.setdefault(board.name, []).append(f"{kind} {value}")
            found[board.name] = board
    if len(found) > 1:
        says = "; ".join(f'{", ".join(hits[name])} belongs to "{name}"' for name in sorted(hits))
        return None, f"its facts belong to different boards: {says}"
    return (next(iter(found.values())), "") if found else (None, "")


def contradiction(board: Board, uuid: str | None, serial: str | None) -> str:
    """Tell how a board's own report contradicts the inventory; empty when it does not."""
    for kind, known, seen in (("UUID", board.uuid, uuid), ("serial", board.serial, serial)):
        if is_junk(known) or is_junk(seen) or known is None or seen is None:
            continue
        if not _same(known.strip().lower(), seen.strip().lower()):
            return f'board "{board.name}" should have {kind} {known} but reports {seen}; was it swapped?'
    return ""


def _same(known: str, seen: str) -> bool:
    # The label of a Raspberry Pi and its firmware tell half of what Linux tells.
    shortened = len(known) != len(seen) and serial_digits(known) is not None
    return known == seen or (shortened and serial_digits(known) == serial_digits(seen))


def _matches(
    board: Board, macs: Sequence[str], uuid: str | None, serial: str | None
) -> Iterable[tuple[str, str]]:
    for mac in macs:
        if mac in board.macs:
            yield "MAC", mac
    if uuid and not is_junk(uuid) and board.uuid and board.uuid.lower() == uuid.strip().lower():
        yield "UUID", uuid
    if serial and not is_junk(serial) and board.serial and board.serial.lower() == serial.strip().lower():
        yield "serial", serial
