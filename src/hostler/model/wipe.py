"""What a wipe must prove before its board is given to anybody else."""

from __future__ import annotations

from typing import Any


def unproven(result: dict[str, Any], facts: dict[str, Any]) -> str:
    """Tell what a wipe's result leaves open; empty when every writable disk was cleared and read back.

    Args:
        result: The agent's result: ``{"disks": [{"disk": {"path", …}, "verified_bytes", …}], …}``.
        facts: What the board reported of its hardware, its ``disks`` among it.
    """
    disks = [entry for entry in result.get("disks") or [] if isinstance(entry, dict)]
    if not disks:
        return "the agent names no disk that it wiped"
    proven = set()
    for entry in disks:
        disk = entry.get("disk")
        path = disk.get("path") if isinstance(disk, dict) else None
        read = entry.get("verified_bytes")
        if not isinstance(read, int) or read <= 0:
            return f"nothing was read back from {path}"
        proven.add(path)
    for disk in facts.get("disks") or []:
        if not isinstance(disk, dict) or any(disk.get(mark) for mark in ("removable", "read_only", "spared")):
            continue
        if disk.get("path") not in proven:
            return f"disk {disk.get('path')} was not wiped"
    return ""
