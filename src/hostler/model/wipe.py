"""What a wipe is to do and what it must prove before its board is given to anybody else.

The words clear and purge are those of NIST SP 800-88 revision 1, section 2.5: what is cleared cannot be had
back through the disk's own interface, what is purged not with a laboratory either.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Effort(StrEnum):
    """How far a wipe goes.

    Attributes:
        CLEAR: Every byte reads as zero: discarded, zeroed and read back as any software does. No disk is told
            to purge itself.
        QUICK: Likewise, and a disk is purged first where it can do that in a moment, without using up its
            flash and without a password.
        THOROUGH: It is purged by the best way it has, however long that takes; cleared if it has none.
        PURGE: Likewise, and a disk that was only cleared is not clean.
    """

    CLEAR = "clear"
    QUICK = "quick"
    THOROUGH = "thorough"
    PURGE = "purge"


class Sanitized(StrEnum):
    """What was achieved, in the standard's words."""

    CLEAR = "clear"
    PURGE = "purge"


def unproven(result: dict[str, Any], facts: dict[str, Any], effort: Effort = Effort.CLEAR) -> str:
    """Tell what a wipe's result leaves open; empty when every writable disk was cleared and read back.

    Args:
        result: The agent's result: ``{"disks": [{"disk": {"path", …}, "verified_bytes", …}], …}``.
        facts: What the board reported of its hardware, its ``disks`` among it.
        effort: What was asked for.
    """
    listed = result.get("disks")
    disks = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    if not disks:
        return "the agent names no disk that it wiped"
    proven: dict[str, dict[str, Any]] = {}
    for entry in disks:
        disk = entry.get("disk")
        disk = disk if isinstance(disk, dict) else {}
        path = str(disk.get("path"))
        if why := _open(entry, path, effort):
            return why
        proven[path] = disk
    found = facts.get("disks")
    for disk in found if isinstance(found, list) else []:
        if not isinstance(disk, dict) or any(disk.get(mark) for mark in ("removable", "read_only", "spared")):
            continue
        path = str(disk.get("path"))
        wiped = proven.get(path)
        if wiped is None:
            return f"disk {path} was not wiped"
        for key, what in (("serial", "serial number"), ("size", "size in bytes")):
            if key in wiped and key in disk and wiped[key] != disk[key]:
                return f"disk {path} came with the {what} {disk[key]}, and was wiped as {wiped[key]}"
    return ""


def _open(entry: dict[str, Any], path: str, effort: Effort) -> str:
    """Tell what one disk's entry leaves open."""
    read = entry.get("verified_bytes")
    if not isinstance(read, int) or read <= 0:
        return f"nothing was read back from {path}"
    if effort is Effort.PURGE and entry.get("sanitized") != Sanitized.PURGE:
        declined = entry.get("declined")
        why = "; ".join(str(reason) for reason in declined) if isinstance(declined, list) else ""
        return f"its class asks for purge, and {path} was only cleared" + (f" ({why})" if why else "")
    return ""
