"""Asks switches about boards that boot: when is the port up, is a silent one's dead, is it the wrong one?

Only a switch that also feeds a board is asked about it: that it is plugged in there, ``lab.toml`` says.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hostler.drivers.errors import DriverError
from hostler.drivers.registry import network_driver
from hostler.model.trace import TraceEvent
from hostler.rack.wire_ends import equipment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hostler.drivers.network.protocol import NetworkDriver, PortState
    from hostler.model.board import Board, Equipment
    from hostler.model.json import JSON
    from hostler.model.network_trouble import NetworkTrouble
    from hostler.model.seam import RackPlan

log = logging.getLogger(__name__)

SILENT_SECONDS: Final = 60.0
"""When a board that is to boot from the network is silent for so long, its port is looked at. Spanning tree
takes 30 to 50 s to open a port; a server that trains its memory is silent longer, and nothing is wrong."""

PLACE_SECONDS: Final = 3600.0
"""How often it is asked where one board is plugged in: cables are not moved while it boots."""

FOLLOW_SECONDS: Final = 120.0
"""For so long after power-on it is told when a port goes up and down: firmware, boot loader and kernel each
start the network card anew."""

FOLLOW_EACH: Final = 2.0
"""How often a port is looked at meanwhile."""

_AT_ONCE = 4
"""Questions at a time: a rack that is switched on as a whole must not flood its switches."""

_CLOSED = frozenset({"blocking", "listening", "learning"})


class _Plug(NamedTuple):
    """Where a board's power comes from, on a switch that can be asked."""

    unit: Equipment
    switch: NetworkDriver
    port: int


class PortWatch:
    """Looks at the ports of boards while they boot.

    Args:
        plan: Returns what the rack serves, with its equipment.
        trouble: Knows who was heard.
        tell: Takes what was found.
        silent: See ``SILENT_SECONDS``.
        follow: See ``FOLLOW_SECONDS``.
        each: See ``FOLLOW_EACH``.
    """

    def __init__(
        self,
        plan: Callable[[], RackPlan],
        trouble: NetworkTrouble,
        tell: Callable[[TraceEvent], None],
        silent: float = SILENT_SECONDS,
        follow: float = FOLLOW_SECONDS,
        each: float = FOLLOW_EACH,
    ) -> None:
        self._plan = plan
        self._trouble = trouble
        self._tell = tell
        self._silent, self._follow_for, self._each = silent, follow, each
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._following_turn = asyncio.Semaphore(_AT_ONCE)  # apart: they may not hold up what finds faults
        self._placed: dict[str, float] = {}
        self._on: dict[str, float] = {}

    def note(self, event: TraceEvent, board: Board, tasks: asyncio.TaskGroup, *, boots: bool) -> None:
        """Take an event of a board, and look at its port when there is reason to.

        Args:
            event: Any event of it.
            board: The board.
            tasks: Where looking goes on.
            boots: Whether it is to boot from the network now.
        """
        if event.source == "power" and event.kind in ("on", "off"):
            self._on.pop(board.name, None)
            if event.kind == "on" and self._feeds(board):
                self._on[board.name] = event.at
                tasks.create_task(_apart(self._follow(board, event)), name=f"link of {board.name}")
                if boots:
                    tasks.create_task(_apart(self._when_silent(board, event)), name=f"port of {board.name}")
        elif event.source == "dhcp" and event.mac is not None and event.mac in board.macs:
            if event.at < self._placed.get(board.name, -PLACE_SECONDS) + PLACE_SECONDS or not self._feeds(
                board
            ):
                return
            self._placed[board.name] = event.at
            tasks.create_task(_apart(self._place(board, event, event.mac)), name=f"place of {board.name}")

    def _feeds(self, board: Board) -> tuple[Equipment, int] | None:
        """Return the equipment and the numbered port that a board's first such power wire is on."""
        for wire in board.power:
            unit, port = equipment_of(self._plan(), wire.equipment), wire.params.get("port")
            if unit is not None and isinstance(port, int):
                return unit, port
        return None

    def _plug(self, board: Board) -> _Plug | None:
        found = self._feeds(board)
        if found is None:
            return None
        unit, port = found
        switch = network_driver(unit.driver, unit.params)
        return _Plug(unit, switch, port) if switch is not None else None

    async def _follow(self, board: Board, on: TraceEvent) -> None:
        """Tell of each change of a board's port in the first time after power-on, as long as it stays on."""
        plug = self._plug(board)
        if plug is None:
            return
        end = time.monotonic() + self._follow_for
        told: PortState | None = None
        while time.monotonic() < end and self._on.get(board.name) == on.at:
            try:
                async with self._following_turn:
                    state = await plug.switch.state(plug.port)
            except DriverError:
                return  # that a switch cannot be read is told where it is switched
            if self._on.get(board.name) != on.at:
                return
            if state.up is not None and state != told:
                told = state
                kind, words = ("port-up", "has a link") if state.up else ("port-down", "has no link")
                tree = f", spanning tree {state.spanning_tree}" if state.up and state.spanning_tree else ""
                data: dict[str, JSON] = {
                    "equipment": plug.unit.name, "port": plug.port, "spanning_tree": state.spanning_tree,
                }  # fmt: skip
                text = f"port {plug.port} of {plug.unit.name} {words}{tree}"
                self._tell(TraceEvent(time.time(), "link", kind, text, board.name, boot=on.boot, data=data))
            await asyncio.sleep(self._each)

    async def _when_silent(self, board: Board, on: TraceEvent) -> None:
        await asyncio.sleep(self._silent)
        if not self._trouble.silent(board.name, on.at):
            return
        try:
            plug = self._plug(board)
            if plug is None:
                return
            async with self._turn:
                state = await plug.switch.state(plug.port)
        except DriverError:
            return  # that a switch cannot be read is told where it is switched
        if not self._trouble.silent(board.name, on.at):
            return
        found = _wrong(state)
        if found is not None:
            kind, text = found
            where = f"port {plug.port} of {plug.unit.name}"
            self._tell(
                TraceEvent(
                    on.at + self._silent, "link", kind,
                    f"{board.name} has not been heard for {self._silent:.0f} s: {where} {text}",
                    board.name, boot=on.boot,
                    data={
                        "equipment": plug.unit.name, "port": plug.port, "spanning_tree": state.spanning_tree,
                    },
                )
            )  # fmt: skip

    async def _place(self, board: Board, asked: TraceEvent, mac: str) -> None:
        try:
            plug = self._plug(board)
            if plug is None:
                return
            async with self._turn:
                place = await plug.switch.find(mac)
            if place is None:  # its first question was its first packet, and switches learn in their own time
                await asyncio.sleep(self._each)
                async with self._turn:
                    place = await plug.switch.find(mac)
        except DriverError:
            return
        if place is None or place.number == plug.port:
            return
        text = (
            f"{board.name} asks through port {place.number} of {plug.unit.name}, and lab.toml has its power"
            f" on port {plug.port}: is it plugged in where lab.toml says?"
            f" `hostler check {board.name} --active` finds out"
        )
        data: dict[str, JSON] = {"equipment": plug.unit.name, "port": place.number, "expected": plug.port}
        self._tell(TraceEvent(asked.at, "link", "other-port", text, board.name, mac, asked.boot, data))


async def _apart(look: Coroutine[Any, Any, None]) -> None:
    """Look at a port. Whatever a switch answers, a fault of ours costs one look and not the whole rack."""
    try:
        await look
    except Exception:
        log.exception("a board's port could not be looked at")


def _wrong(state: PortState) -> tuple[str, str] | None:
    """Return kind and words for what keeps a port from passing anything on, or None."""
    if state.up is False:
        return "down", "has no link; is the cable in, and does the board start its network card?"
    if state.spanning_tree in _CLOSED:
        return (
            "closed",
            f"is up and still {state.spanning_tree} (spanning tree): it passes nothing on; make it an edge"
            " port (portfast), or switch off STP there",
        )
    if state.spanning_tree in ("disabled", "broken"):
        return "closed", f"is {state.spanning_tree} in the switch's spanning tree and passes nothing on"
    return None
