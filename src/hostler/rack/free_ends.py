"""The ends of the lab's equipment that no board hangs on: where a new one may be."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.drivers.errors import DriverConfigError, DriverError
from hostler.drivers.power.protocol import ListsEnds
from hostler.drivers.registry import CONSOLE, POWER, console_driver, driver_class, driver_names, power_driver
from hostler.model.board import Binding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.model.board import Board, Equipment

# What drivers call the end of an equipment; a bare number or name in ``ports`` is the first one it takes.
_KEYS = ("port", "outlet", "relay", "coil", "line", "path", "domain", "device", "alias", "address")

_DEFAULTS = {"group": "1"}
"""What a key means that is left out: pethPsePortGroupIndex, 1 on most switches."""


async def power_ends(
    equipment: Iterable[Equipment], boards: Iterable[Board]
) -> tuple[list[Binding], list[str]]:
    """Return the power wires that could be made and are no board's, and why some equipment has none."""
    taken = [wire for board in boards for wire in board.power]
    units = [unit for unit in equipment if unit.driver in driver_names(POWER)]
    found: list[Binding] = []
    trouble: list[str] = []
    for unit, ends in zip(units, await asyncio.gather(*map(_ends_of_power, units)), strict=True):
        if isinstance(ends, str):
            trouble.append(ends)
        else:
            found += _free(unit, ends, taken, equipment)
    return found, trouble


def console_ends(equipment: Iterable[Equipment], boards: Iterable[Board]) -> tuple[list[Binding], list[str]]:
    """Return the serial lines that could be opened and are no board's, and why some equipment has none."""
    taken = [board.console for board in boards if board.console is not None]
    found: list[Binding] = []
    trouble: list[str] = []
    for unit in equipment:
        if unit.driver in driver_names(CONSOLE) and unit.ports:
            try:
                found += _free(unit, _declared(unit, CONSOLE), taken, equipment)
            except DriverConfigError as error:
                trouble.append(f"ports of {unit.name}: {error}")
    return found, trouble


def is_free(end: Binding, equipment: Iterable[Equipment], boards: Iterable[Board]) -> bool:
    """Tell whether a power wire is still no board's: somebody may have added one since it was listed."""
    taken = [wire for board in boards for wire in board.power]
    units = [unit for unit in equipment if unit.name == end.equipment]
    return any(_free(unit, [end.params], taken, equipment) for unit in units)


async def _ends_of_power(unit: Equipment) -> list[dict[str, Any]] | str:
    """Return what is declared, or what the equipment says itself; a text: why there is nothing."""
    try:
        if unit.ports:
            return _declared(unit, POWER)
        kind = driver_class(POWER, unit.driver)
        return await kind.ends(unit.params) if isinstance(kind, ListsEnds) else []
    except DriverError as error:
        return f"ports of {unit.name}: {error}"


def _declared(unit: Equipment, group: str) -> list[dict[str, Any]]:
    """Return the ends that lab.toml names; raises DriverConfigError for what the driver does not take."""
    # A name that stands for drivers of both kinds, such as command, has ends of both in one list.
    both = all(unit.driver in driver_names(kind) for kind in (POWER, CONSOLE))
    ends: list[dict[str, Any]] = []
    for port in unit.ports:
        try:
            ends += _ends_named(unit, group, port)
        except DriverConfigError:
            if not both:
                raise
    return ends


def _ends_named(unit: Equipment, group: str, port: int | str | dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(port, dict):
        _make(unit, group, port)
        return [dict(port)]
    if isinstance(port, str) and port.startswith("/"):
        found = sorted(Path("/").glob(port.lstrip("/")))
        return [_with_key(unit, group, str(path)) for path in found]
    return [_with_key(unit, group, port)]


def _with_key(unit: Equipment, group: str, value: int | str) -> dict[str, Any]:
    """Return the table of a wire to this end: the driver itself says which key it takes."""
    first: DriverConfigError | None = None
    for key in _KEYS:
        try:
            _make(unit, group, {key: value})
        except DriverConfigError as error:
            first = first or error
        else:
            return {key: value}
    raise first or DriverConfigError("ports", f"{value} is no end of a {unit.driver}")


def _make(unit: Equipment, group: str, params: dict[str, Any]) -> None:
    """Make the driver of a wire, which opens nothing; raises DriverConfigError when it does not take it."""
    if group == POWER:
        power_driver(unit.driver, unit.params, params)
    else:
        console_driver(unit.driver, unit.params, params)


def _free(
    unit: Equipment, ends: list[dict[str, Any]], taken: Iterable[Binding], equipment: Iterable[Equipment]
) -> list[Binding]:
    same = {other.name for other in equipment if _same(unit, other)}
    used = [wire.params for wire in taken if wire.equipment in same]
    places = {place for wire in taken if wire.equipment is None for place in _places(wire.params, None)}
    return [
        Binding(unit.driver, unit.name, end)
        for end in ends
        if not places & _places(end, unit.params.get("host")) and not any(_meet(end, one) for one in used)
    ]


def _same(one: Equipment, other: Equipment) -> bool:
    """Tell whether two tables describe one thing, for example a switch by SNMP and by its command line."""
    if one.name == other.name:
        return True
    hosts = [str(unit.params["host"]) for unit in (one, other) if "host" in unit.params]
    if len(hosts) < 2:
        return False
    if one.driver != other.driver:  # each protocol has a port of its own
        hosts = [host.partition(":")[0] for host in hosts]
    return hosts[0] == hosts[1]


def _places(params: dict[str, Any], host: object) -> set[str]:
    """Return what a wire ends at in words that mean the same in every table: paths, and host with port."""
    found = {str(value) for value in params.values() if re.search(r"[:/]", str(value))}
    host = params.get("host", host)
    if host is not None and "port" in params:
        found.add(f"{host}:{params['port']}")
    return found


def _meet(end: dict[str, Any], used: dict[str, Any]) -> bool:
    """Tell whether two wires may end at the same place; in doubt they do, and nothing is tried there."""
    if not set(end) & set(used):
        return bool({str(value) for value in end.values()} & {str(value) for value in used.values()})
    known, common = {**_DEFAULTS, **end}, {**_DEFAULTS, **used}
    return all(str(known[key]) == str(common[key]) for key in known.keys() & common.keys())
