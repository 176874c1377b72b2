"""Describing the lab anew: what may change at once, and what must wait until its holder is done."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub import boards, health, hooks
from hostler.hub.errors import ConflictError, Fault, ForbiddenError
from hostler.hub.inventory_changes import InventoryChange, differences
from hostler.hub.records import HUB
from hostler.model.board import Lifecycle
from hostler.model.claim import Claim, ClaimState, Want

if TYPE_CHECKING:
    from hostler.hub.inventory import Inventory
    from hostler.hub.records import BoardRecord, Principal
    from hostler.hub.state import Draft
    from hostler.model.board import Binding, Equipment

_HOSTS_OWN = {
    "command": "runs a program",
    "fake": "writes a file",
    "libvirt": "runs a program",  # an address such as qemu+ext:///system?command=/bin/x names it
    "qemu": "runs a program",
    "tool": "runs a program",
    "unix-socket": "talks to a socket",  # of any daemon that trusts who may open its socket
}
"""Drivers that do on the server itself what their table says, and what that is."""

_OPENS = "opens a file that is no lab's device"
_DEVICES = re.compile(
    r"/dev/(?:tty(?:USB|ACM|S|AMA|mxc|O|PS)\d+|hidraw\d+|gpiochip\d+|serial/by-(?:id|path)/[^/]+)"
)
"""What boards hang on; other terminals are people's."""

_HELD = frozenset({Lifecycle.CLAIMED, Lifecycle.RELEASING})


def apply(
    draft: Draft, principal: Principal, new: Inventory, *, file: str = "lab.toml", base: str | None = None
) -> list[InventoryChange]:
    """Make this the inventory and return what changes.

    Args:
        draft: What is changed.
        principal: Who wants it.
        new: The inventory.
        file: What it was read from, for the history.
        base: Digest of the inventory somebody compared it with, or None: whatever is in force is replaced.

    Raises:
        ConflictError: something must wait, or another inventory is in force than was compared with.
        ForbiddenError: it has a wire that acts on the host, is not in force, and was not read from the
            server's own file.
    """
    if base is not None and base != draft.inventory.digest:
        raise ConflictError(
            "the inventory was changed by somebody else in the meantime; compare again and apply then",
            kind="inventory-changed",
        )
    changes = differences(draft.inventory, new)
    if principal != HUB:
        _refuse_hosts_own(draft.inventory, new)
    faults = tuple(_faults(draft, new))
    if faults:
        raise ConflictError("\n".join(fault.text for fault in faults), kind="board-held", faults=faults)
    of_boards = [change for change in changes if change.what == "board"]
    # Those that leave first: a board that is only renamed does both.
    for change in sorted(of_boards, key=lambda change: change.change != "remove"):
        known = draft.boards.get(change.name)
        if change.change == "remove":
            if known is not None:
                boards.leave(draft, known)
        elif known is None:
            boards.join(draft, new.boards[change.name])
        else:
            draft.boards.put(change.name, replace(known, board=new.boards[change.name]))
    hooks.apply(draft, principal, new)
    draft.inventory = new
    for change in of_boards:
        if change.change == "add":
            health.enrol(draft, change.name)
    if changes:
        words = ", ".join(f"{change.change} {change.what} {change.name}" for change in changes)
        draft.event(
            "inventory.applied", f"{principal.name} applied {file}: {words}", principal=principal.name
        )
    return changes


def _refuse_hosts_own(old: Inventory, new: Inventory) -> None:
    """Take what acts on the host from its own file alone: an admin of the lab does not own the host."""
    for name, unit in new.equipment.items():
        if _acts_on_host(unit) and old.equipment.get(name) != unit:
            raise _hosts_own(f"[equipment.{name}]", unit)
    for name, board in new.boards.items():
        known = old.boards.get(name)
        for kind, wires, before in (
            ("power", board.power, known.power if known else ()),
            ("console", (board.console,), (known.console,) if known else ()),
            ("bootctl", board.bootctl, known.bootctl if known else ()),
        ):
            for wire in wires:
                if wire is not None and _acts_on_host(wire) and wire not in before:
                    raise _hosts_own(f"{kind} of [boards.{name}]", wire)


def _acts_on_host(table: Equipment | Binding) -> str:
    """Return what a wire does on the server itself; empty: nothing."""
    if table.driver in _HOSTS_OWN and (table.driver != "fake" or "file" in table.params):
        return _HOSTS_OWN[table.driver]
    opened = (table.params.get("path"), table.params.get("chip"))
    return "" if all(path is None or _DEVICES.fullmatch(str(path)) for path in opened) else _OPENS


def _hosts_own(where: str, table: Equipment | Binding) -> ForbiddenError:
    return ForbiddenError(
        f'{where}: driver "{table.driver}" {_acts_on_host(table)} on the server; such a wire is taken only '
        "from the lab.toml that the server was started with (hostler serve --config)"
    )


def _faults(draft: Draft, new: Inventory) -> list[Fault]:
    faults = []
    for name, board in draft.inventory.boards.items():
        record = draft.boards.get(name)
        if record is None or record.lifecycle not in _HELD:
            continue
        if name not in new.boards:
            faults.append(_held(record, "removed"))
        elif new.boards[name].board_class != board.board_class:
            faults.append(_held(record, "moved to another class"))
        elif new.platform(board.board_class) != draft.inventory.platform(board.board_class):
            faults.append(_held(record, "moved to another platform"))
    for claim in draft.claims.values():
        if claim.state is ClaimState.PENDING:
            faults += [fault for want in claim.wants for fault in _waited_for(claim, want, new)]
    return faults


def _waited_for(claim: Claim, want: Want, new: Inventory) -> list[Fault]:
    wanted = f"claim {claim.id} of {claim.principal} waits for"
    faults = []
    for kind, name, known in (
        ("class", want.board_class, new.classes.keys()),
        ("board", want.board, new.boards.keys()),
    ):
        if name is not None and name not in known:
            text = f'{wanted} {kind} "{name}"; release it before the {kind} is removed'
            faults.append(Fault(text, key=f"{kind}{'es' if kind == 'class' else 's'}.{name}"))
    return faults


def _held(record: BoardRecord, what: str) -> Fault:
    return Fault(
        f'board "{record.name}" is {record.lifecycle} and cannot be {what}; '
        "release it and wait until it is available",
        key=f"boards.{record.name}",
    )
