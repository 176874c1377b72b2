"""The shell around ``model.keeper.decide``: one task per board that looks, decides, acts, and tells."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostler.drivers.errors import DidNotHappen, DriverError
from hostler.model.boot import BootTarget
from hostler.model.keeper import decide, looked
from hostler.model.keeper_view import (
    DirectBoot,
    Memory,
    Record,
    Report,
    Seen,
    SetPower,
    StartBoot,
    View,
    Wait,
    agent_step,
    awaited_pattern,
    netboot_step,
    reboot_asked,
    working,
)
from hostler.model.plan import StepKind
from hostler.model.power import PowerReading, PowerState, draws_otherwise
from hostler.model.power_match import MENDS, agrees
from hostler.model.run import Phase
from hostler.model.seam import BootRecord, Observed
from hostler.model.standstill import Standstill
from hostler.model.trace import TraceEvent
from hostler.rack.handover import Handover, Sign
from hostler.rack.keeper_words import words_of_mismatch, words_of_run

if TYPE_CHECKING:
    from hostler.model.json import Document
    from hostler.model.keeper_view import Action
    from hostler.model.run import RunStatus
    from hostler.model.seam import Desired
    from hostler.rack.keeper_port import BoardBootControl, BoardConsole, BoardPower, KeeperPort

POLL_SECONDS = 5.0
"""How often a board's supply is read while nothing is being switched."""

ACTIVITY_SECONDS = 60.0
"""How coarsely signs of use are told: who types is not worth an observation a key."""

_TELL_SECONDS = 0.25
"""Shortest time between two observations sent up; progress comes faster than people can read."""


class Keeper:
    """Keeps one board: makes what is observed become what is desired."""

    def __init__(
        self,
        desired: Desired,
        memory: Memory,
        port: KeeperPort,
        power: BoardPower | None,
        console: BoardConsole | None,
        boot_control: BoardBootControl | None = None,
    ) -> None:
        self._view = View(desired, memory, Seen(since=time.time()))
        self._port = port
        self.power = power
        self.console = console
        self.boot_control = boot_control
        self._tasks: asyncio.TaskGroup | None = None
        self._taking_over: asyncio.Task[None] | None = None
        self._facts: dict[str, Any] = {}
        self._watts: float | None = None  # as told last
        self._conflict = ""
        self._wake = asyncio.Event()
        self._dirty = asyncio.Event()
        self._watched: tuple[str, str] | None = None
        self._active_at = self._view.seen.since
        self._handover = Handover()
        self._standstill = Standstill()
        self._remembering = asyncio.Lock()

    @property
    def name(self) -> str:
        """The board's name."""
        return self._view.desired.board.name

    @property
    def view(self) -> View:
        """What the keeper knows now."""
        return self._view

    def desire(self, desired: Desired) -> None:
        """Take a new order from the hub."""
        self._view = replace(self._view, desired=desired)
        self._changed()

    def agent_seen(self, boot: str, at: float) -> None:
        """Note that the agent of a boot spoke."""
        seen = replace(self._view.seen, agent_boot=boot, agent_at=max(at, self._view.seen.agent_at))
        first = self._view.seen.agent_boot != boot
        self._view = replace(self._view, seen=seen)
        if first:  # later words only move deadlines, which are looked at when they come
            self._trace("agent", "hello", "the agent is up")
            if self._taking_over is not None:
                self._taking_over.cancel()  # it has what it is for, whatever it still waits for
            self._changed()

    def agent_hello(self, facts: dict[str, Any], conflict: str) -> None:
        """Take the facts an agent reported and what they contradict."""
        self._facts, self._conflict = facts, conflict
        self._changed()

    def agent_progress(self, run: str, step: int, phase: Phase, done: int, total: int) -> None:
        """Take an agent's progress; one that is not about the present step is ignored."""
        if not self._current(run, step):
            return
        if phase is not self._view.seen.agent_phase:
            self._trace("agent", str(phase), f"step {step + 1}: {phase}", {"total": total})
        waits = phase is Phase.WAITING
        stuck = None if waits else self._standstill.note((run, step, phase), done, total, time.monotonic())
        if stuck is not None:
            self._trace("agent", *stuck)
        waited = time.time() if waits else self._view.seen.agent_waited
        self._see(agent_phase=phase, agent_waited=waited, done=done, total=total)

    def agent_trouble(self, text: str, cause: str = "") -> None:
        """Note what an agent complained of on the console, and its cause; told when a deadline passes."""
        self._trace("agent", "trouble", text, {"cause": cause} if cause else None)
        self._see(agent_trouble=text)

    def another_spoke(self, board: str) -> None:
        """Note that the agent of another board was heard on this board's console."""
        self._trace(
            "console", "other-board", f"the agent of {board} speaks on this console", {"other": board}
        )

    async def agent_report(self, report: Report) -> bool:
        """Take an agent's word that a step is done or failed.

        Returns:
            False when the report is about a step this keeper is not waiting for; taking the same report
            twice is harmless.
        """
        if report == self._view.memory.report:
            return True
        if not self._current(report.run, report.step):
            return self._is_past(report)
        if report.result is not None:
            present = agent_step(self._view)
            if present is not None and present[1].kind is StepKind.DISCOVER:
                self._facts = {**self._facts, **report.result}
            self._trace("agent", "done", f"step {report.step + 1} is done", report.result)
        else:
            self._trace("agent", "fail", report.error, {"cause": report.cause, "log": list(report.log)})
        await self._remember(report=report)
        return True

    def heard(self, event: TraceEvent) -> None:
        """Take what netboot saw of the board: whether it has fetched its system, or asks for it again."""
        boot, sign = event.boot, self._handover.note(event, self._view)
        if sign is Sign.HANDED and self._view.seen.handed != boot:
            self._trace("run", "handed", "the board has fetched its system whole")
            self._see(handed=boot, returned=None)
        elif sign is Sign.RETURNED and self._view.seen.returned != boot:
            self._trace("run", "returned", "the board has restarted: its firmware asks the network again")
            self._see(handed=None, returned=boot)

    async def system_report(
        self, boot: str, result: Document | None, error: str, log: tuple[str, ...]
    ) -> bool:
        """Take the word of an installer or live system that it is done, or that it failed.

        Returns:
            False when nobody waits for the word of this boot's system; the first word on a step counts, and
            any after it is taken for the same again.
        """
        present, memory = netboot_step(self._view), self._view.memory
        if present is None or present[0].boot != boot:
            return memory.run is not None and any(past.get("boot") == boot for past in memory.run.results)
        status, _ = present
        if memory.report is not None and (memory.report.run, memory.report.step) == (status.id, status.step):
            return True
        self._trace("system", "fail" if result is None else "done", error or "it says that it is done")
        report = Report(status.id, status.step, result=result, error=error, log=log)
        await self._remember(report=report)
        return True

    async def run(self) -> None:
        """Keep the board until cancelled."""
        self._see(directed=None)  # a takeover ended with the keeper that fell over
        async with asyncio.TaskGroup() as self._tasks:
            tasks = self._tasks
            tasks.create_task(self._decide_forever())
            tasks.create_task(self._poll_forever())
            tasks.create_task(self._tell_forever())

    async def _decide_forever(self) -> None:
        while True:
            action = self._decision()
            decided_on = self._view.memory
            match action:
                case Wait(until):
                    await self._wait(until)
                case Record(memory):
                    await self._carry_out(memory, decided_on)
                case SetPower(state):
                    await self._set_power(state)
                case StartBoot(purpose):
                    await self._start_boot(purpose)
                case DirectBoot(target, attempt):
                    await self._direct_boot(target, attempt)

    def _decision(self) -> Action:
        self._wake.clear()
        self._look()
        self._port.answer(self._view)
        return decide(self._view, time.time())

    def _look(self) -> None:
        """Refresh what can be looked up without waiting."""
        self._view = view = looked(self._view, time.time())
        missing = self._port.missing(view)
        if missing != view.seen.missing:
            self._view = replace(view, seen=replace(view.seen, missing=missing))
        self._watch_console()

    def _watch_console(self) -> None:
        """While a done-signal is awaited on the console, look for it there."""
        status, pattern = self._view.memory.run, awaited_pattern(self._view)
        if self.console is None or status is None or status.boot is None or not pattern:
            return
        wanted = (status.boot, pattern)
        if wanted != self._watched:
            self._watched = wanted
            self.console.watch(pattern.encode(), self._matched)

    def _matched(self, boot: str) -> None:
        self._trace("console", "done-signal", "the console showed the image's done-signal")
        self._see(matched_boot=boot)

    async def _wait(self, until: float | None) -> None:
        timeout = None if until is None else max(0.0, until - time.time())
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _carry_out(self, memory: Memory, decided_on: Memory) -> None:
        """Record what was decided, unless a report came in between: then it is decided again."""
        async with self._remembering:
            if self._view.memory is decided_on:
                await self._record(memory)

    async def _remember(self, **changes: Any) -> None:
        async with self._remembering:
            await self._record(replace(self._view.memory, **changes))

    async def _record(self, memory: Memory) -> None:
        before, mismatch = self._view.memory.run, self._view.memory.mismatch
        await self._port.keep(self.name, memory)
        self._view = replace(self._view, memory=memory)
        after = memory.run
        if memory.mismatch != mismatch:
            self._trace_mismatch(mismatch)
        if after is not None and after != before:
            if before is None or (before.step, before.id, before.phase) != (
                after.step,
                after.id,
                after.phase,
            ):
                self._see(done=0, total=0, agent_phase=Phase.EXECUTING)
            self._trace_run(after)
        self._changed()

    def _trace_run(self, status: RunStatus) -> None:
        if (words := words_of_run(status, self._view.desired.run)) is not None:
            self._trace("run", *words)

    def _trace_mismatch(self, before: float | None) -> None:
        self._trace("power", *words_of_mismatch(self._view, before, time.time()))

    async def _set_power(self, state: PowerState) -> None:
        """Switch; while that waits for its turn, it is given up as soon as something else is to be done."""
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(self._switch(state))
            while not work.done():
                self._wake.clear()
                wake = tasks.create_task(self._wake.wait())
                await asyncio.wait({work, wake}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                wake.cancel()
                if self._view.seen.waits and self._decision() != SetPower(state):
                    work.cancel()
                    await asyncio.wait({work})

    def _told(self, waits: str) -> None:
        """Note what switching on waits for, or that it waits no longer."""
        if not waits:
            self._see(waits="", waited=time.time())
        elif self._view.seen.waits:
            self._see(waits=waits)
        else:
            self._trace("power", "waits", waits)
            self._see(waits=waits, waits_since=time.time())

    def _count_switching(self) -> None:
        """Count a switching that did not last, or may not: it is not repeated for ever."""
        match = self._view.seen.match.switched(time.time())
        self._see(match=match)
        if match.given_up:
            text = f"switched {MENDS} times without it lasting; not again before somebody asks for it"
            self._trace("power", "given-up", text)

    async def _switch(self, state: PowerState) -> None:
        assert self.power is not None
        cycling = self._view.memory.cycling
        try:
            reading, seconds = await self.power.set(state, self._told)
        except DriverError as error:
            self._trace("power", "error", f"could not switch {state}: {error}")
            self._see(power_error=str(error), power_tried=time.time(), sent=None)
            if isinstance(error, DidNotHappen) and not working(self._view):
                self._count_switching()
            return
        if not cycling and not working(self._view):
            self._count_switching()
        self._see(power=reading, sent=state, power_error="", power_tried=0.0)
        if state is PowerState.OFF:
            await self._end_takeover()
        elif self.boot_control is not None:
            self.boot_control.powered()
        memory = self._view.memory
        if state is PowerState.ON and memory.boot is not None and not memory.boot.powered:
            boot = replace(memory.boot, powered=True, started=time.time() - seconds)
            await self._remember(boot=boot)
        watts = f", {reading.watts:g} W" if reading.watts is not None else ""
        how = "verified" if reading.state is state else "not verified"
        text = f"switched {state} in {seconds:.1f} s, {how} ({reading.detail}{watts})"
        self._watts = reading.watts
        self._trace("power", str(state), text, {"seconds": round(seconds, 3), "watts": reading.watts})

    async def _start_boot(self, purpose: str) -> None:
        memory = self._view.memory
        boot = BootRecord(
            id=f"b-{secrets.token_hex(8)}",
            number=memory.boots + 1,
            started=time.time(),
            purpose=purpose,
            token=secrets.token_urlsafe(32),
        )
        run = memory.run
        if run is not None and not run.state.ended:
            run = replace(run, boot=boot.id)
        if self.console is not None:
            self.console.new_boot(boot.id)
        await self._remember(boot=boot, boots=boot.number, run=run, rounds=0)
        self._see(agent_trouble="")
        self._trace("run", "boot", f"boot {boot.number} begins, to {purpose}", {"number": boot.number})

    async def _direct_boot(self, target: BootTarget, attempt: int) -> None:
        """Ask the boot controls for the boot that is about to begin; a takeover waits for its power."""
        boot, control = self._view.memory.boot, self.boot_control
        assert boot is not None
        await self._end_takeover()
        error = ""
        if control is None:
            error = "its bootctl in lab.toml is wrong; the trace of the rack's start says why"
        else:
            try:
                text = await control.direct(target, attempt)
            except DriverError as refused:
                error = str(refused)
            else:
                if text:
                    self._trace("bootctl", str(target), text)
                if control.armed and self._tasks is not None:
                    await self._remember(taking=boot.id)
                    self._taking_over = self._tasks.create_task(self._take_over(control, boot.id))
        if error:
            self._trace("bootctl", "error", f"could not direct the boot to {target}: {error}")
        # A local boot goes on: network-first firmware is told so by the network, and any other does it.
        self._see(directed=boot.id, direct_error=error if target is BootTarget.NETWORK else "")

    async def _take_over(self, control: BoardBootControl, boot: str) -> None:
        try:
            text = await control.take_over()
        except DriverError as error:
            self._trace("bootctl", "error", f"could not take the board over: {error}")
            if self._view.seen.directed == boot:
                self._see(direct_error=str(error))
        else:
            self._trace("bootctl", "taken-over", text)
        if self._view.memory.taking == boot:
            await self._remember(taking=None)

    async def _end_takeover(self) -> None:
        task, self._taking_over = self._taking_over, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _poll_forever(self) -> None:
        """Read the supply now and then, so that what is shown is what is."""
        if self.power is None:
            self._dirty.set()  # nothing will be read that could replace what was seen on a wire that is gone
        while self.power is not None:
            try:
                reading = await self.power.get()
            except DriverError as error:
                reading = PowerReading(PowerState.UNKNOWN, detail=str(error))
            self._note_activity()
            if self._view.seen.power_error and not working(self._view) and self._right(reading):
                self._see(power_error="", power_tried=0.0)
            if reading != self._view.seen.power:
                if reading.state is not self._view.seen.power.state:
                    self._trace("power", "observed", f"the supply reads {reading.state} ({reading.detail})")
                self._trace_watts(reading)
                self._see(power=reading)
            self._see(looked=True)
            await asyncio.sleep(POLL_SECONDS)

    def _trace_watts(self, reading: PowerReading) -> None:
        boot = self._view.memory.boot
        if boot and boot.powered and draws_otherwise(self._watts, reading, time.time() - boot.started):
            self._watts = reading.watts
            self._trace("power", "watts", f"draws {reading.watts:g} W", {"watts": reading.watts})

    def _right(self, reading: PowerReading) -> bool:
        return not self._view.memory.cycling and agrees(reading, self._view.desired.power)

    def _note_activity(self) -> None:
        at = self.console.active_at if self.console is not None else None
        if at is not None and at >= self._active_at + ACTIVITY_SECONDS:
            self._active_at = at
            self._dirty.set()

    async def _tell_forever(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._port.tell(self.observed())
            await asyncio.sleep(_TELL_SECONDS)

    def observed(self) -> Observed:
        """Return what the hub is to know of the board now."""
        memory, seen = self._view.memory, self._view.seen
        run = memory.run
        if run is not None and not run.state.ended:
            phase = run.phase
            if agent_step(self._view) is not None:
                phase = seen.agent_phase
            run = replace(run, phase=phase, done=seen.done, total=seen.total)
        return Observed(
            board=self.name,
            power=seen.power,
            power_sent=seen.sent,
            power_error=seen.power_error,
            power_waits=seen.waits,
            power_mismatch=memory.mismatch if self.power is not None else None,
            run=run,
            boot=replace(memory.boot, token="") if memory.boot is not None else None,
            facts=self._facts,
            conflict=self._conflict,
            console=self.console.connected if self.console is not None else None,
            cycles=memory.cycles,
            active_at=self._active_at,
            at=time.time(),
        )

    def _current(self, run: str, step: int) -> bool:
        status = self._view.memory.run
        if status is None or (status.id, status.step) != (run, step):
            return False
        return agent_step(self._view) is not None or reboot_asked(self._view)

    def _is_past(self, report: Report) -> bool:
        status = self._view.memory.run
        return status is not None and status.id == report.run and report.step < status.step

    def _see(self, **changes: Any) -> None:
        seen: Seen = replace(self._view.seen, **changes)
        if seen != self._view.seen:
            self._view = replace(self._view, seen=seen)
            self._changed()

    def _changed(self) -> None:
        self._wake.set()
        self._dirty.set()

    def _trace(self, source: str, kind: str, text: str, data: Document | None = None) -> None:
        boot = self._view.memory.boot
        event = TraceEvent(
            time.time(), source, kind, text, board=self.name, boot=boot.id if boot else None, data=data or {}
        )
        self._port.trace(event)
