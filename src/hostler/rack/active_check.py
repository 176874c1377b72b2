"""Test a board's wires by using them: switch it off and on, and listen who answers.

The switching is left to the board's keeper, which is only told to want something else for a while: so every
power-up has its trace and its console log, and whatever the hub wants meanwhile goes first. Nothing is kept:
a rack that is killed in the middle starts with what the hub wants, which is a board that is off.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from hostler.drivers.errors import DriverError
from hostler.drivers.registry import network_driver
from hostler.link.port import RequestRefusedError
from hostler.model.power import PowerState
from hostler.model.trace import TraceEvent
from hostler.model.wire_check import (
    Row,
    Signs,
    Switched,
    Wiring,
    judge_port,
    judge_signs,
    judge_silence,
    judge_switching,
)
from hostler.rack.loan import Keepers, Loan, Overtaken
from hostler.rack.signs import ANYTHING, Heard, board_named, listen
from hostler.rack.wire_ends import equipment_of, find_port, wire_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hostler.model.json import Document
    from hostler.model.seam import Desired, RackPlan
    from hostler.rack.console import RackConsole
    from hostler.rack.ears import Ears
    from hostler.rack.keeper import Keeper

ORDER_SECONDS = 10.0
"""How long the hub's own order may be on its way: it travels beside the request."""

SWITCH_SECONDS = 120.0
"""Longest switching, with the equipment's queue, its stagger and the minimum off time."""

SETTLE_SECONDS = 1.5
"""Last words that are still in adapters and buffers after the power has gone."""

SILENCE_SECONDS = 2.0
"""How long a board that is off must say nothing."""

PORT_SECONDS = 4.0
"""How long a switch may take until it tells what it has learned."""

_POLL_SECONDS = 0.1


class Bench(Keepers, Protocol):
    """What the check needs of its rack."""

    ears: Ears

    @property
    def plan(self) -> RackPlan:
        """What the rack serves."""
        ...

    def console_of(self, board: str) -> RackConsole | None:
        """Return a board's console, or None."""
        ...

    def trace(self, event: TraceEvent) -> None:
        """Add an event to history; never blocks."""
        ...

    def recent_strangers(self) -> frozenset[str]:
        """Return the MACs of machines nobody knows that asked a moment ago."""
        ...


class ActiveChecks:
    """Carries out checks; boards may be checked side by side.

    They are switched on one after the other, each only when the one before has been heard: two boards whose
    wires are crossed would otherwise answer for each other.

    Attributes:
        turn: Held while something is switched on and listened to.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.turn = asyncio.Semaphore(1)
        self._loans: dict[str, Loan] = {}
        self._left: set[str] = set()  # boards whose check was called off, since somebody had the turn

    async def check(self, body: Document) -> Document:
        """Check one board.

        Args:
            body: ``board``; ``check`` (id, for the events); ``lifecycle`` and ``reason`` it must have been
                given before anything is tried; ``seconds`` until it must have asked for an address.

        Returns:
            ``{"ok", "checks": [row], "crossed": [board], "interrupted": text}``.

        Raises:
            RequestRefusedError: The board is not here, has no power wire, is at work, or is checked already.
        """
        name = str(body.get("board"))
        keeper = await self._ready(name, str(body.get("lifecycle")), str(body.get("reason") or ""))
        if name in self._loans:
            raise RequestRefusedError(f'board "{name}" is being checked already')
        loan = self._loans[name] = Loan(self._bench, keeper)
        one = _Check(self._bench, keeper, loan, str(body.get("check") or ""))
        interrupted = ""
        try:
            await one.run(self.turn, float(str(body.get("seconds") or 180.0)), self._idle, self._others_off)
        except Overtaken as error:
            interrupted = str(error)
        except asyncio.CancelledError:
            self._left.add(name)
            raise
        finally:
            loan.end()
            del self._loans[name]
        ok = not interrupted and all(row["ok"] for row in one.rows)
        rows: list[Any] = [dict(row) for row in one.rows]
        return {"ok": ok, "checks": rows, "crossed": list(one.crossed), "interrupted": interrupted}

    def through(self, desired: Desired) -> Desired:
        """Return what a board's keeper is to want when the hub has said this: a board on trial stays so."""
        loan = self._loans.get(desired.board.name)
        return desired if loan is None else loan.take(desired)

    async def _ready(self, name: str, lifecycle: str, reason: str) -> Keeper:
        """Return the keeper once the hub's order to stand by has reached it."""
        if name not in self._bench.keepers():
            raise RequestRefusedError(f'this rack does not keep a board "{name}"')
        end = time.monotonic() + ORDER_SECONDS
        while True:
            keeper = self._bench.keepers().get(name)
            if keeper is not None:
                desired = keeper.view.desired
                if (desired.lifecycle, desired.reason) == (lifecycle, reason):
                    break
            if time.monotonic() > end:
                raise RequestRefusedError(f'the rack has not heard yet that board "{name}" is to be checked')
            await asyncio.sleep(_POLL_SECONDS)
        if keeper.power is None:
            raise RequestRefusedError(
                f'board "{name}" has no power wire; add power = {{…}} to [boards.{name}]'
            )
        if _at_work(keeper):
            raise RequestRefusedError(f'board "{name}" is at work; wait until its run has ended')
        return keeper

    async def _others_off(self) -> None:
        """Wait until boards whose check was called off are off: what they still say would be an answer."""
        if not self._left:
            return
        end = time.monotonic() + SWITCH_SECONDS
        while True:
            if not any(map(self._fades, self._left)) or time.monotonic() > end:
                break
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
        self._left.clear()

    def _fades(self, name: str) -> bool:
        keeper = self._bench.keepers().get(name)
        if keeper is None or keeper.view.desired.power is not PowerState.OFF:
            return False
        return keeper.view.seen.power.state is PowerState.ON

    def _idle(self) -> dict[str, Keeper]:
        """Return the boards that should be off and silent, by name: who of them is heard has a wrong wire."""
        return {
            name: keeper
            for name, keeper in self._bench.keepers().items()
            if keeper.view.desired.power is PowerState.OFF
            and not _at_work(keeper)
            and keeper.view.seen.power.state is not PowerState.ON
        }


def _at_work(keeper: Keeper) -> bool:
    status, order = keeper.view.memory.run, keeper.view.desired.run
    return order is not None or (status is not None and not status.state.ended)


class _Check:
    """One board's check: what was found so far."""

    def __init__(self, bench: Bench, keeper: Keeper, loan: Loan, check: str) -> None:
        self.rows: list[Row] = []
        self.crossed: tuple[str, ...] = ()
        self._bench = bench
        self._keeper = keeper
        self._loan = loan
        self._check = check
        board = keeper.view.desired.board
        network = bench.plan.networks.get(board.network, {})
        self._wiring = Wiring(
            board.name,
            wire_text(board.power),
            wire_text((board.console,)) if board.console else None,
            board.macs,
            served=network.get("dhcp", "own") in ("own", "proxy"),
        )

    async def run(
        self,
        turn: asyncio.Semaphore,
        seconds: float,
        idle: Callable[[], dict[str, Keeper]],
        others_off: Callable[[], Awaitable[None]],
    ) -> None:
        """Try everything; stops early when its power cannot be controlled."""
        if not self._tell(judge_switching(self._wiring, PowerState.OFF, await self._off())):
            return
        async with turn:
            await others_off()
            others = {name: keeper for name, keeper in idle().items() if name != self._wiring.board}
            known = self._bench.recent_strangers()
            with self._bench.ears.listen() as asked, ExitStack() as stack:
                lines = listen(self._bench.console_of(self._wiring.board), stack)
                beside = {name: listen(self._bench.console_of(name), stack) for name in others}
                began, wall = time.monotonic(), time.time()
                powered = self._tell(judge_switching(self._wiring, PowerState.ON, await self._on()))
                if powered:
                    macs = {name: keeper.view.desired.board.macs for name, keeper in others.items()}
                    verdict = judge_signs(
                        self._wiring,
                        await self._signs(Heard(asked, lines, beside, macs, known, began, wall), seconds),
                    )
                    self.crossed = verdict.crossed
                    for row in verdict.rows:
                        self._tell(row)
            if powered and asked.first(self._wiring.macs) is not None:
                await self._switch_port()
            # Still in its turn: what a board says last, or says although it is off, is not to be taken for an
            # answer to whatever is switched on next.
            off = judge_switching(self._wiring, PowerState.OFF, await self._off())
            if self._tell({**off, "what": f"power off again of {self._wiring.board}"}) and powered:
                await self._silence()

    def _tell(self, row: Row) -> bool:
        self.rows.append(row)
        state = "ok" if row["ok"] else "FAILED"
        data: Document = {"check": self._check, **row}
        text = f"{row['what']}: {row['text']}" + ("" if row["ok"] else f" ({state})")
        self._bench.trace(TraceEvent(time.time(), "check", "step", text, board=self._wiring.board, data=data))
        return bool(row["ok"])

    async def _off(self) -> Switched:
        """Switch off in any case, also what reads off: an enabled port with nothing behind it does too."""
        self._loan.want(PowerState.OFF)
        power = self._keeper.power
        assert power is not None
        try:
            async with asyncio.timeout(SWITCH_SECONDS):
                reading, _ = await power.set(PowerState.OFF, lambda _: None)
                # The keeper must know too, or it would find nothing to do when it is to switch on.
                await self._until(lambda: self._keeper.view.seen.power.state is not PowerState.ON)
        except DriverError as error:
            return Switched(error=str(error))
        except TimeoutError:
            return Switched(error=f"could not be switched off within {SWITCH_SECONDS:g} s")
        return Switched(reading)

    async def _on(self) -> Switched:
        before = self._keeper.view.memory.boot
        self._loan.want(PowerState.ON)

        def done() -> bool:
            boot, seen = self._keeper.view.memory.boot, self._keeper.view.seen
            fresh = boot is not None and boot.powered and (before is None or boot != before)
            return bool(seen.power_error) or fresh

        try:
            async with asyncio.timeout(SWITCH_SECONDS):
                await self._until(done)
        except TimeoutError:
            return Switched(error=f"could not be switched on within {SWITCH_SECONDS:g} s")
        seen = self._keeper.view.seen
        return Switched(seen.power, seen.power_error)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._loan.look()
            await asyncio.sleep(_POLL_SECONDS)

    async def _signs(self, heard: Heard, seconds: float) -> Signs:
        """Listen until the board has been heard, or somebody else was, or for as long as it may take."""
        console = self._bench.console_of(self._wiring.board)
        while True:
            self._loan.look()
            now = time.monotonic()
            if now >= heard.began + seconds or heard.enough(self._wiring, now):
                break
            await asyncio.sleep(_POLL_SECONDS)
        own = heard.own
        boards = {name: keeper.view.desired.board.macs for name, keeper in self._bench.keepers().items()}
        named = own.name.seen.text if own is not None and own.name.seen else None
        asked = heard.asked.first(self._wiring.macs)
        return Signs(
            asked=None if asked is None else asked - heard.began,
            woke=heard.woke(),
            strangers=heard.strangers(frozenset(mac for macs in boards.values() for mac in macs)),
            connected=console is not None and console.connected,
            spoke=heard.spoke(),
            readable=own is not None and own.text.seen is not None,
            named=None if named is None else board_named(named, boards),
            lit=heard.lit(),
            seconds=time.monotonic() - heard.began,
        )

    async def _switch_port(self) -> None:
        """Ask the switch that powers the board where it hears it, if it can be asked."""
        board = self._keeper.view.desired.board
        for binding in board.power:
            unit = equipment_of(self._bench.plan, binding.equipment)
            if unit is None:
                continue
            try:
                switch = network_driver(unit.driver, unit.params)
                if switch is None:
                    continue
                place = await find_port(switch, board.macs, PORT_SECONDS)
            except DriverError:
                continue  # it powers boards, but does not tell who is where
            found = place.number if place else None
            expected = binding.params.get("port")
            owner = self._port_owner(unit.name, found)
            self._tell(
                judge_port(
                    self._wiring,
                    unit.name,
                    expected if isinstance(expected, int) else None,
                    found,
                    owner,
                )
            )

    def _port_owner(self, equipment: str, port: int | None) -> str | None:
        for name, keeper in self._bench.keepers().items():
            for binding in keeper.view.desired.board.power:
                if binding.equipment == equipment and binding.params.get("port") == port:
                    return None if name == self._wiring.board else name
        return None

    async def _silence(self) -> None:
        console = self._bench.console_of(self._wiring.board)
        if console is None or not console.connected:
            return
        await asyncio.sleep(SETTLE_SECONDS)
        with console.broker.watch(ANYTHING, since_boot=False) as watch:
            await asyncio.sleep(SILENCE_SECONDS)
            self._loan.look()
            self._tell(judge_silence(self._wiring, watch.seen is not None))
