"""What a machine nobody knows needs to become a board: where its wires are, and its table in ``lab.toml``."""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any

from hostler.hub import access
from hostler.hub.boards import stranger_name
from hostler.hub.errors import ConflictError, InvalidError, NotFoundError
from hostler.hub.labfile_schema import NAME
from hostler.model.board import Lifecycle
from hostler.model.identity import is_junk, normal_mac

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.hub.hub import Hub
    from hostler.hub.records import Principal
    from hostler.model.json import Document

FIND_SECONDS = 90.0
"""Longest time a machine that was given power may take to ask for an address."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


async def find_wires(
    hub: Hub, by: Principal, mac: str, *, name: str | None = None, board_class: str | None = None,
    seconds: float = FIND_SECONDS,
) -> Document:  # fmt: skip
    """Find a discovered machine's power and console; progress is told by events ``check.step``.

    Args:
        hub: The hub.
        by: An admin: ports that feed no known board are switched.
        mac: What it asks with, or the name it is listed under.
        name: What it is to be called; then its table for lab.toml is returned too.
        board_class: What it is to be one of.
        seconds: Longest time from power-on until it asks for an address.

    Returns:
        ``{"ok", "mac", "board", "network", "power", "console", "checks", "toml"}``.

    Raises:
        NotFoundError: No such machine was heard, or there is no such class.
        InvalidError: The MAC or the name is malformed, or only one of name and class is given.
        ConflictError: The name is taken, or the rack cannot search.
        UnavailableError: The rack is away.
    """
    access.admin_only(by, "have the wires of a machine searched for")
    try:
        mac = normal_mac(mac.removeprefix("unknown-"))
    except ValueError as error:
        raise InvalidError(str(error), kind="bad-mac") from None
    listed = stranger_name(mac)
    record = hub.state.boards.get(listed)
    if record is None or record.lifecycle is not Lifecycle.DISCOVERED:
        for known in hub.state.inventory.boards.values():
            if mac in known.macs:
                raise ConflictError(f'{mac} is board "{known.name}" already', kind="adopted")
        heard = ", ".join(
            other.board.macs[0]
            for other in hub.state.boards.values()
            if other.lifecycle is Lifecycle.DISCOVERED and other.board.macs
        )
        raise NotFoundError(
            f"no machine {mac} was heard; heard: {heard or 'none yet'}", kind="unknown-machine"
        )
    _refuse_names(hub, name, board_class)
    found = await hub.metal.find_wires(mac, listed, f"s-{secrets.token_hex(6)}", seconds)
    facts = {"network": record.board.network, **record.facts}
    toml = ""
    if name is not None and board_class is not None:
        only = len(hub.state.inventory.networks) == 1
        toml = board_table(name, board_class, mac, facts, found, network=not only)
    await hub.change(
        lambda draft: draft.event(
            "board.searched", f"{by.name} had the wires of {mac} searched for", board=listed,
            principal=by.name, data={"power": found["power"], "console": found["console"]},
        )
    )  # fmt: skip
    return {**found, "board": listed, "network": record.board.network, "toml": toml}


def _refuse_names(hub: Hub, name: str | None, board_class: str | None) -> None:
    if (name is None) != (board_class is None):
        raise InvalidError("say name and class, or neither")
    if name is None or board_class is None:
        return
    if not NAME.fullmatch(name) or name.startswith("unknown-"):
        raise InvalidError(
            f'"{name}" is no name for a board; use letters, digits, ".", "_" and "-", at most 63'
        )
    if name in hub.state.inventory.boards:
        raise ConflictError(f'there is a board "{name}" already; choose another name', kind="name-taken")
    if board_class not in hub.state.inventory.classes:
        known = ", ".join(sorted(hub.state.inventory.classes)) or "none yet"
        raise NotFoundError(f'there is no class "{board_class}"; classes: {known}', kind="unknown-class")


def board_table(
    name: str,
    board_class: str,
    mac: str,
    facts: Mapping[str, Any],
    found: Mapping[str, Any],
    *,
    network: bool,
) -> str:
    """Return a board's table as it is to stand in ``lab.toml``.

    Args:
        name: The board's name.
        board_class: Its class.
        mac: What it boots with.
        facts: What its requests told; ``uuid`` and ``serial`` are written down unless they say nothing.
        found: ``power`` and ``console`` as ``find_wires`` returns them.
        network: Whether to say on which network it is: where there is only one that goes without saying.
    """
    lines = [f"[boards.{name if _BARE_KEY.fullmatch(name) else _value(name)}]"]
    values: dict[str, Any] = {
        "class": board_class,
        "network": facts.get("network") if network else None,
        "mac": mac,
    }
    values |= {key: facts.get(key) for key in ("uuid", "serial") if not is_junk(_text(facts.get(key)))}
    for kind in ("power", "console"):
        wire = found.get(kind)
        values[kind] = {"equipment": wire["equipment"], **wire["params"]} if wire else None
    lines += [f"{key} = {_value(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _value(value: Any) -> str:
    """Return a value as TOML: its strings, numbers and booleans are written as in JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    # DEL is the one character that JSON may leave as it is and TOML may not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
