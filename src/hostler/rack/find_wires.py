"""Find the wires of a machine that nobody knows: look where switches hear it, then try.

Power is found by switching ends that no board hangs on: the one is right that silences the machine and makes
it ask for an address again, twice. Its console is the line that is silent while it is off and speaks when it
comes on, both times. Whatever was tried in vain is left as it was found.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hostler.drivers.console.protocol import ConsoleStream
from hostler.drivers.errors import DidNotHappen, DriverError
from hostler.drivers.registry import network_driver
from hostler.link.port import RequestRefusedError
from hostler.model.board import Binding
from hostler.model.identity import normal_mac
from hostler.model.power import PowerState
from hostler.model.trace import TraceEvent
from hostler.model.wire_check import Row, row
from hostler.rack.free_ends import console_ends, is_free, power_ends
from hostler.rack.loan import Keepers
from hostler.rack.wire_ends import wire_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.model.board import Board
    from hostler.model.json import Document
    from hostler.model.power import PowerReading
    from hostler.model.seam import RackPlan
    from hostler.rack.ears import Asked, Ears
    from hostler.rack.wires import Outlet, Wires

ROUNDS = 2
"""A machine may ask, and a line may speak, by chance at the very moment; not twice."""

OFF_SECONDS = 4.0
"""How long power stays off, and the machine must not be heard."""

SETTLE_SECONDS = 1.5
"""Last words in adapters and buffers, and a request that was on its way, after the power has gone."""

LISTEN_SECONDS = 3.0
"""How long is listened on a console after the machine has asked for an address."""

DRAW_SECONDS = 8.0
"""An end that reads off although it was switched on has nothing behind it."""

OPEN_SECONDS = 10.0
"""Longest opening of a line that is tried."""

_POLL_SECONDS = 0.1
_TEXT = re.compile(rb"[\x20-\x7e]{4}")


class FinderBench(Keepers, Protocol):
    """What the search needs of its rack."""

    ears: Ears
    wires: Wires

    @property
    def plan(self) -> RackPlan:
        """What the rack serves."""
        ...

    def trace(self, event: TraceEvent) -> None:
        """Add an event to history; never blocks."""
        ...


@dataclass(slots=True)
class _Line:
    """One line that is tried: when it last said something, and what it said since it was last looked at."""

    binding: Binding
    stream: ConsoleStream
    said: bytearray = field(default_factory=bytearray)

    async def read(self) -> None:
        with suppress(DriverError, OSError):
            while data := await self.stream.read():
                self.said += data[-4096:]
                del self.said[:-8192]


class WireFinder:
    """Finds the power and console wires of machines, one at a time.

    Args:
        bench: The rack.
        turn: Held while an end is tried, so that nothing else is switched on to confuse it.
    """

    def __init__(self, bench: FinderBench, turn: asyncio.Semaphore) -> None:
        self._bench = bench
        self._turn = turn

    async def find(self, body: Document) -> Document:
        """Find a machine's wires.

        Args:
            body: ``mac``; ``board`` and ``search``, which come back in the events ``check.step``;
                ``seconds`` until a machine that got power has asked for an address.

        Returns:
            ``{"ok", "mac", "power", "console", "checks": [row]}``; a wire is ``{"equipment", "params"}``.

        Raises:
            RequestRefusedError: The MAC is a board's.
        """
        mac = normal_mac(str(body.get("mac")))
        for name, keeper in self._bench.keepers().items():
            if mac in keeper.view.desired.board.macs:
                raise RequestRefusedError(f'{mac} is board "{name}" already')
        seconds = float(str(body.get("seconds") or 90.0))
        search = _Search(self._bench, mac, str(body.get("board")), str(body.get("search") or ""), seconds)
        await search.run(self._turn)
        rows: list[Any] = [dict(found) for found in search.rows]
        return {
            "ok": search.power is not None and search.console is not None,
            "mac": mac,
            "power": _wire(search.power),
            "console": _wire(search.console),
            "checks": rows,
        }


def _wire(binding: Binding | None) -> Document | None:
    return None if binding is None else {"equipment": binding.equipment, "params": dict(binding.params)}


class _Search:
    """The search for one machine's wires."""

    def __init__(self, bench: FinderBench, mac: str, board: str, search: str, seconds: float) -> None:
        self.rows: list[Row] = []
        self.power: Binding | None = None
        self.console: Binding | None = None
        self._bench = bench
        self._mac = mac
        self._board = board
        self._search = search
        self._seconds = seconds

    async def run(self, turn: asyncio.Semaphore) -> None:
        """Look, try, and tell; nothing that was tried in vain stays changed."""
        boards = self._boards()
        equipment = self._bench.plan.equipment
        hints = await self._ask_switches()
        ends, trouble = await power_ends(equipment, boards)
        wires, more = console_ends(equipment, boards)
        for text in (*trouble, *more):
            what, _, why = text.partition(": ")
            self._tell(row(what, False, why, "correct it, or do without this equipment"))
        lines = await self._open(wires)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = [tasks.create_task(line.read()) for line in lines]
                await self._try(await self._in_order(ends, hints), lines, turn)
                for task in reading:
                    task.cancel()
        finally:
            for line in lines:
                await line.stream.close()

    def _boards(self) -> list[Board]:
        return [keeper.view.desired.board for keeper in self._bench.keepers().values()]

    async def _try(self, ends: list[Binding], lines: list[_Line], turn: asyncio.Semaphore) -> None:
        for binding in ends:
            async with turn:  # for each: a search may take long, and checks of boards wait meanwhile
                if not is_free(binding, self._bench.plan.equipment, self._boards()):
                    continue
                spoke = await self._is_it(binding, lines)
            if spoke is not None:
                self.power = binding
                self._tell(row(f"power of {self._mac}", True, wire_text([binding])))
                self._judge_lines(spoke, lines)
                return
        tried = "; ".join(wire_text([binding]) for binding in ends)
        what = f"{len(ends)} tried: {tried}" if ends else "no port of the lab's equipment is free"
        advice = (
            "does it boot from the network when it gets power? list the ports that may be tried as "
            "ports = […] in [equipment.NAME]"
        )
        self._tell(row(f"power of {self._mac}", False, f"not found; {what}", advice))

    def _tell(self, found: Row) -> None:
        self.rows.append(found)
        data: Document = {"check": self._search, **found}
        text = f"{found['what']}: {found['text']}"
        event = TraceEvent(time.time(), "check", "step", text, self._board, self._mac, data=data)
        self._bench.trace(event)

    # Looking

    async def _ask_switches(self) -> set[tuple[str, str]]:
        """Return equipment and port where switches hear the machine."""
        hints: set[tuple[str, str]] = set()
        for unit in self._bench.plan.equipment:
            try:
                switch = network_driver(unit.driver, unit.params)
                place = await switch.find(self._mac) if switch is not None else None
            except DriverError as error:
                self._tell(row(f"{unit.name}", False, str(error), "it is not asked; its ports are tried"))
                continue
            if place is not None:
                hints.add((unit.name, str(place.number)))
                text = f"{unit.name} hears it on port {place.number}"
                self._tell(row(f"switch port of {self._mac}", True, text))
        return hints

    async def _in_order(self, ends: Iterable[Binding], hints: set[tuple[str, str]]) -> list[Binding]:
        """Put first where a switch hears it, then what feeds something, then what is off."""
        ranked = []
        for binding in ends:
            if (binding.equipment or "", str(binding.params.get("port"))) in hints:
                rank = 0
            else:
                outlet = self._outlet(binding)
                reading = await self._reading(outlet) if outlet is not None else None
                rank = 2 if reading is None or reading.state is PowerState.OFF else 1
            ranked.append((rank, binding))
        return [binding for _, binding in sorted(ranked, key=lambda pair: pair[0])]

    @staticmethod
    async def _reading(outlet: Outlet) -> PowerReading | None:
        try:
            return await outlet.queue.call(outlet.driver.get)
        except DriverError:
            return None  # told when it is its turn

    def _outlet(self, binding: Binding) -> Outlet | None:
        try:
            return self._bench.wires.outlet(f"search {wire_text([binding])}", binding)
        except DriverError as error:
            self._tell(row(wire_text([binding]), False, str(error), "correct ports in its table"))
            return None

    async def _open(self, wires: Iterable[Binding]) -> list[_Line]:
        opened = []
        for binding in wires:
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    stream = await self._bench.wires.line(binding).open()
            except (DriverError, OSError, TimeoutError) as error:
                text = str(error) or "no connection in time"
                self._tell(row(wire_text([binding]), False, text, "it is left out; is somebody else on it?"))
            else:
                opened.append(_Line(binding, stream))
        return opened

    # Trying

    async def _is_it(self, binding: Binding, lines: list[_Line]) -> list[_Line] | None:
        """Return the lines that spoke each time this end gave the machine power; None: it does not."""
        outlet = self._outlet(binding)
        if outlet is None:
            return None
        before: PowerReading | None = None
        found = False
        outlet.queue.turns.expect(outlet.name, outlet.driver, None)
        try:
            before = await outlet.queue.call(outlet.driver.get)
            for _ in range(ROUNDS):
                spoke = await self._round(outlet, lines)
                if spoke is None:
                    return None
                lines = spoke
            found = True
        except DriverError as error:
            self._tell(row(wire_text([binding]), False, str(error), "look at this equipment; it is left out"))
            return None
        finally:
            if not found and before is not None:
                await _put_back(outlet, before)
            outlet.queue.turns.forget(outlet.name)
        return lines

    async def _round(self, outlet: Outlet, lines: list[_Line]) -> list[_Line] | None:
        """Switch off and on; return the lines that were silent and then spoke; None: it is not this end."""
        await outlet.queue.switch(outlet.name, outlet.driver, PowerState.OFF)
        await asyncio.sleep(SETTLE_SECONDS)
        with self._bench.ears.listen() as asked:
            for line in lines:
                line.said.clear()
            await asyncio.sleep(OFF_SECONDS)
            if self._heard(asked):
                return None
        silent = [line for line in lines if not _TEXT.search(line.said)]
        with self._bench.ears.listen() as asked:
            for line in silent:
                line.said.clear()
            try:
                await outlet.queue.switch(outlet.name, outlet.driver, PowerState.ON, seconds=DRAW_SECONDS)
            except DidNotHappen:
                return None  # nothing is behind it
            end = time.monotonic() + self._seconds
            while not self._heard(asked):
                if time.monotonic() > end:
                    return None
                await asyncio.sleep(_POLL_SECONDS)
            await asyncio.sleep(LISTEN_SECONDS)
        return [line for line in silent if _TEXT.search(line.said)]

    def _heard(self, asked: Asked) -> bool:
        return asked.first((self._mac,)) is not None

    def _judge_lines(self, spoke: list[_Line], tried: list[_Line]) -> None:
        what = f"console of {self._mac}"
        if len(spoke) == 1:
            self.console = spoke[0].binding
            self._tell(row(what, True, wire_text([self.console])))
        elif spoke:
            names = " or ".join(wire_text([line.binding]) for line in spoke)
            self._tell(
                row(what, False, f"{names}: each spoke when it came on", "look which, and write it down")
            )
        else:
            names = ", ".join(wire_text([line.binding]) for line in tried) or "no line is free"
            advice = "list the lines that may be tried as ports = […] in [equipment.NAME]"
            self._tell(row(what, False, f"not found; tried: {names}", advice))


async def _put_back(outlet: Outlet, before: PowerReading) -> None:
    """Leave an end as it was; one that is enabled with nothing behind it was on as well (RFC 3621)."""
    was_on = before.state is PowerState.ON or before.detail == "searching"
    state = PowerState.ON if was_on else PowerState.OFF
    with suppress(DriverError):
        await outlet.queue.switch(outlet.name, outlet.driver, state, seconds=DRAW_SECONDS)
