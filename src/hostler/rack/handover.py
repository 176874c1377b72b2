"""When a board's firmware has fetched all of a system, and when it asks again: read from netboot's events."""

from __future__ import annotations

from enum import Enum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from hostler.model.netboot_order import netboot_order
from hostler.model.run import Phase

if TYPE_CHECKING:
    from hostler.model.keeper_view import View
    from hostler.model.netboot_order import NetbootOrder
    from hostler.model.trace import TraceEvent

_KERNEL, _INITRD = frozenset({"kernel"}), frozenset({"initrd"})
_PARTS = {
    "kernel": _KERNEL,
    "kernel8.img": _KERNEL,
    "initrd": _INITRD,
    "initrd.img": _INITRD,
    # All in one.
    "uki.efi": _KERNEL | _INITRD,
    "boot.img": _KERNEL | _INITRD,
}
"""What a file brings, by the last part of the name it is fetched by."""
_SCRIPTS = frozenset({"ipxe"})
_SYSTEM = "system"  # an operating system's DHCP client, not firmware


class Sign(Enum):
    """What became of a boot's system.

    Attributes:
        HANDED: The firmware has all of it.
        RETURNED: The firmware asks again after that: the board has restarted.
    """

    HANDED = "handed"
    RETURNED = "returned"


class Handover:
    """Puts together what one board fetched in its present boot."""

    def __init__(self) -> None:
        self._boot: str | None = None
        self._parts: frozenset[str] = frozenset()

    def note(self, event: TraceEvent, view: View) -> Sign | None:
        """Take one of netboot's events about the board; return the sign it completes, or None."""
        boot = view.memory.boot
        if boot is None or event.boot != boot.id or boot.purpose != "network":
            return None
        if boot.id != self._boot:
            self._boot, self._parts = boot.id, frozenset()
        if _asks(event):
            self._parts = frozenset()
            return Sign.RETURNED if _was_handed(view) else None
        part = _part(event)
        order = _order(view)
        if not part or order is None:
            return None
        self._parts |= part
        needed = _KERNEL | _INITRD if order.initrd else _KERNEL
        return Sign.HANDED if self._parts >= needed else None


def _asks(event: TraceEvent) -> bool:
    """Whether it is firmware at its beginning."""
    if event.source.startswith("dhcp"):
        return event.data.get("firmware") not in (None, _SYSTEM)
    return event.source == "http" and event.kind == "get" and event.data.get("file") in _SCRIPTS


def _part(event: TraceEvent) -> frozenset[str]:
    if event.source not in ("http", "tftp") or event.kind != "done":
        return frozenset()
    return _PARTS.get(PurePosixPath(str(event.data.get("file"))).name, frozenset())


def _order(view: View) -> NetbootOrder | None:
    order, status, boot = view.desired.run, view.memory.run, view.memory.boot
    if order is None or status is None or boot is None or status.boot != boot.id:
        return None
    return netboot_order(order.steps[status.step]) if status.step < len(order.steps) else None


def _was_handed(view: View) -> bool:
    boot, run = view.memory.boot, view.memory.run
    if boot is None:
        return False
    if view.seen.handed == boot.id:
        return True
    # A keeper that was killed knows it from what it stored.
    return run is not None and run.boot == boot.id and run.phase is Phase.EXECUTING
