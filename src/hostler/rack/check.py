"""Look at every wire of the lab and say which one is wrong and what to do about it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hostler.drivers.errors import DriverError
from hostler.link.port import RequestRefusedError
from hostler.model.first_stages import Loader, registered_files
from hostler.model.platform import PLATFORMS
from hostler.model.power import PowerState
from hostler.rack.neighbour_table import too_small

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from hostler.model.json import Document
    from hostler.model.seam import Desired, RackPlan
    from hostler.rack.keeper import Keeper
    from hostler.rack.netboot import Netboot

_POWER_SECONDS = 15.0
"""Longest wait for one supply's reading, its equipment's queue included."""

_KEEP = "give it some seconds after lab.toml was changed; else look into the server's log"
_BOOT_CONTROL_SECONDS = 25.0
"""Longest wait for all boot controls of one board: two controllers that do not answer."""


async def check(
    plan: RackPlan, keepers: Sequence[Keeper], netboot: Netboot, body: Mapping[str, Any]
) -> Document:
    """Check networks, supplies and consoles without switching anything.

    Args:
        plan: What the rack serves.
        keepers: All boards under care.
        netboot: The netboot children.
        body: ``board``: the one to check with all it needs; ``boards``: only the wires of these; neither:
            what all boards need.

    Returns:
        ``{"ok": bool, "checks": [{"what", "ok", "text", "advice"}]}``.
    """
    board, boards = body.get("board"), body.get("boards")
    if boards is not None:
        checks = await _wires([keeper for keeper in keepers if keeper.name in boards])
        kept = {keeper.name for keeper in keepers}
        lost = "the rack does not keep it"
        checks += [_row(f"board {name}", False, "", lost, _KEEP) for name in boards if name not in kept]
    elif board is None:
        checks = _lab(plan, keepers, netboot, whole=True)
    else:
        chosen = [keeper for keeper in keepers if keeper.name == board]
        if not chosen:
            raise RequestRefusedError(f'this rack does not keep a board "{board}"')
        checks = [*_lab(plan, chosen, netboot, whole=False), *await _wires(chosen)]
    return {"ok": all(check["ok"] for check in checks), "checks": list(checks)}


def _lab(plan: RackPlan, chosen: Sequence[Keeper], netboot: Netboot, *, whole: bool) -> list[dict[str, Any]]:
    checks = [_network(name, netboot) for name in plan.networks]
    if whole and (full := too_small(len(chosen))) is not None:
        checks.append(_row("neighbour table", False, "", *full))
    for arch in sorted({PLATFORMS[keeper.view.desired.platform].arch for keeper in chosen}):
        advice = "" if arch in plan.agents else f"run: hostler agent build --arch {arch}"
        checks.append(_row(f"agent for {arch}", arch in plan.agents, "registered", "not registered", advice))
    return checks + boot_files(plan.agents, [one.view.desired for one in chosen])


async def _wires(chosen: Sequence[Keeper]) -> list[dict[str, Any]]:
    # Side by side: whoever asks has a deadline too, and must not wait for one that is dead after the other.
    powers, controls = await asyncio.gather(
        asyncio.gather(*(_power(keeper) for keeper in chosen)),
        asyncio.gather(*(_boot_control(keeper) for keeper in chosen)),
    )
    return [*powers, *map(_console, chosen), *(row for rows in controls for row in rows)]


def boot_files(agents: Mapping[str, Collection[str]], boards: Iterable[Desired]) -> list[dict[str, Any]]:
    """Check that what boards fetch beside kernel and initramfs is registered with their agents.

    Args:
        agents: By architecture, the names of the files registered.
        boards: What is wanted of each board.
    """
    rows = []
    kinds = {(board.platform, board.loader or "", board.device_tree or "") for board in boards}
    for name, loader, tree in sorted(kinds):
        platform = PLATFORMS[name]
        known = Loader(loader) if loader else None
        needed = registered_files(platform.arch, known) if known else ()
        if (platform.device_trees or needed or tree) and platform.arch in agents:
            absent = platform.lacks(agents[platform.arch], known, tree or None)
            what = f"boot files for {name}" + (f", loader {loader}" if loader else "")
            rows.append(_row(what, not absent, "registered", absent, ""))
    return rows


def _row(what: str, ok: bool, good: str, bad: str, advice: str) -> dict[str, Any]:
    return {"what": what, "ok": ok, "text": good if ok else bad, "advice": "" if ok else advice}


def _network(name: str, netboot: Netboot) -> dict[str, Any]:
    trouble = netboot.trouble(name)
    return _row(
        f"network {name}", not trouble, "served", trouble, "mend what it says; Hostler tries again by itself"
    )


async def _power(keeper: Keeper) -> dict[str, Any]:
    what = f"power of {keeper.name}"
    if keeper.power is None:
        return _row(what, False, "", "no power binding", f"add power = {{…}} to [boards.{keeper.name}]")
    try:
        async with asyncio.timeout(_POWER_SECONDS):
            reading = await keeper.power.get()
    except TimeoutError:
        return _row(
            what,
            False,
            "",
            f"no reading within {_POWER_SECONDS:g} s",
            "look at the equipment and its network",
        )
    except DriverError as error:
        return _row(what, False, "", str(error), "look at the equipment, its address, port and credentials")
    want = keeper.view.desired.power
    busy = (run := keeper.view.memory.run) is not None and not run.state.ended
    if not busy and reading.state not in (want, PowerState.UNKNOWN):
        text = f"reads {reading.state} ({reading.detail}) though it should be {want}"
        return _row(what, False, "", text, "is the board plugged into this port?")
    return _row(what, True, f"reads {reading.state} ({reading.detail})", "", "")


async def _boot_control(keeper: Keeper) -> list[dict[str, Any]]:
    control, what = keeper.boot_control, f"bootctl of {keeper.name}"
    advice = "look at the equipment, its address and credentials"
    if control is None:
        if not keeper.view.desired.board.bootctl:
            return []
        return [_row(what, False, "", "cannot be made", "look into the log for the key that is wrong")]
    try:
        async with asyncio.timeout(_BOOT_CONTROL_SECONDS):
            rows = await control.look()
    except TimeoutError:
        return [_row(what, False, "", f"no answer within {_BOOT_CONTROL_SECONDS:g} s", advice)]
    return [_row(f"{what}, {name}", ok, text, text, advice) for name, text, ok in rows]


def _console(keeper: Keeper) -> dict[str, Any]:
    what = f"console of {keeper.name}"
    if keeper.console is None:
        return _row(what, True, "none bound", "", "")
    advice = "look at the serial adapter or terminal server, and that nobody else holds it"
    return _row(what, keeper.console.connected, "connected", "not connected", advice)
