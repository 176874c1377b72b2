"""The agent's loop: ask the rack for a step, do it, report, ask again."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from hostler.agent.capture_step import capture_step
from hostler.agent.disks import find_disks
from hostler.agent.drives import drive_of, health_of, unlock
from hostler.agent.efi_boot import EfiBootError, put_network_first
from hostler.agent.facts import discover, machine_identity
from hostler.agent.install_step import install_step
from hostler.agent.rack import RefusedError, StoppedError
from hostler.agent.signed import NOBODY, Trust
from hostler.agent.wipe import wipe
from hostler.agent.work import DiskFaultError, StepError, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.agent.console import Console
    from hostler.agent.disks import Machine
    from hostler.agent.power import Power
    from hostler.agent.rack import BootConfig, Rack
    from hostler.model.json import JSON, Document

POLL_SECONDS = 1.0
PROGRESS_SECONDS = 0.5
NO_LONGER_WANTED = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT, HTTPStatus.GONE}
)


class Agent:
    """Carries out the steps of one boot.

    A step is known by its run and number. One that was carried out in this boot, well or not, is not carried
    out again: when the rack still names it, only its result is reported once more.

    Args:
        config: The boot.
        rack: The client to talk through.
        console: What people and the console broker see.
        machine: Where the hardware is.
        power: How to leave.
        stop: Ends the loop once set; a board never sets it.
        trust: Whose images it writes.
    """

    def __init__(
        self,
        config: BootConfig,
        rack: Rack,
        console: Console,
        machine: Machine,
        power: Power,
        stop: threading.Event,
        trust: Trust = NOBODY,
    ) -> None:
        self._config = config
        self._rack = rack
        self._console = console
        self._machine = machine
        self._power = power
        self._stop = stop
        self._trust = trust
        self._outcomes: dict[tuple[str, int], tuple[str, Document]] = {}
        self._kinds: dict[str, Callable[[Document, Work], Document]] = {
            "discover": lambda _params, _work: discover(self._machine),
            "wipe": self._wipe,
            "install": lambda params, work: install_step(
                params, self._machine, self._rack, work, self._trust
            ),
            "capture": lambda params, work: capture_step(params, self._machine, self._rack, work),
            "reboot": lambda _params, _work: {},
            "poweroff": lambda _params, _work: {},
        }

    def run(self) -> None:
        """Work until the power goes, or until told to stop."""
        self._console.mark("hello", board=self._config.board, boot=self._config.boot)
        if self._config.network_first:
            self._put_network_first()
        try:
            self._hello()
            while not self._stop.is_set():
                step = self._rack.step()
                if step is None:
                    self._stop.wait(POLL_SECONDS)
                else:
                    self._take(step)
        except StoppedError:
            return

    def _put_network_first(self) -> None:
        """Set the firmware's boot order; one that cannot be set is told, and the work goes on."""
        try:
            self._console.say(put_network_first(self._machine))
        except EfiBootError as error:
            self._console.mark("fail", error=f"the network is not first in the boot order: {error}")

    def _hello(self) -> None:
        for line in unlock(find_disks(self._machine)):
            self._console.say(line)
        try:
            self._rack.post("hello", {"facts": discover(self._machine)})
        except RefusedError as error:
            self._console.say(str(error))  # the loop below goes on asking, and says so

    def _take(self, step: Document) -> None:
        """Carry out a step, or report it again; then leave if that was the step."""
        try:
            run, number, kind = str(step["run"]), int(cast("int", step["step"])), str(step["kind"])
            params = step.get("params") or {}
            if not isinstance(params, dict):
                raise TypeError("params is not an object")  # noqa: TRY301
        except (KeyError, TypeError, ValueError) as error:
            self._console.mark("fail", error=f"the rack's step cannot be understood: {error}")
            self._stop.wait(POLL_SECONDS)
            return
        again = (run, number) in self._outcomes
        if not again:
            self._outcomes[run, number] = self._carry_out(run, number, kind, params)
        verb, report = self._outcomes[run, number]
        try:
            self._rack.post(verb, report)
        except RefusedError as error:
            # Perhaps the first delivery was taken, only its answer was lost, and the boot has moved on.
            self._console.say(f"{error}; going on")
        if verb == "done" and kind in ("reboot", "poweroff"):
            self._leave(kind, run, number)
        elif again:
            self._stop.wait(POLL_SECONDS)

    def _carry_out(self, run: str, number: int, kind: str, params: Document) -> tuple[str, Document]:
        """Return what to report and how: ``done`` with the result, or ``fail`` with the error."""
        self._console.forget()
        self._console.mark("step", run=run, step=number, kind=kind)
        work = Work(self._console.say)
        finished = threading.Event()
        reporter = threading.Thread(target=self._report, args=[run, number, work, finished], name="progress")
        reporter.start()
        try:
            if kind not in self._kinds:
                raise StepError(f"this agent knows no step {kind!r}, only {', '.join(self._kinds)}")  # noqa: TRY301
            result = self._kinds[kind](params, work)
        except StoppedError:
            raise
        except DiskFaultError as error:
            return self._failed(run, number, kind, self._with_health(str(error)), error.cause)
        except StepError as error:
            return self._failed(run, number, kind, str(error), error.cause)
        except Exception as error:  # noqa: BLE001  (whatever it was, the rack must hear of it)
            return self._failed(run, number, kind, f"{type(error).__name__}: {error}", "agent-trouble")
        finally:
            finished.set()
            reporter.join()
        self._console.mark("done", run=run, step=number, kind=kind)
        return "done", {"run": run, "step": number, "result": result}

    def _wipe(self, params: Document, work: Work) -> Document:
        disks = find_disks(self._machine, removable=params.get("removable") is True)
        result = wipe(disks, work, params, open_drive=lambda disk: drive_of(disk, self._machine))
        return result | {"machine": machine_identity(self._machine)}

    def _with_health(self, error: str) -> str:
        """Add to an error what the disks that it names say of themselves."""
        for disk in find_disks(self._machine, removable=True):
            if disk.path in error and (health := health_of(disk, self._machine)) is not None:
                error += f"; {disk.path} says of itself: {health}"
        return error

    def _failed(self, run: str, number: int, kind: str, error: str, cause: str) -> tuple[str, Document]:
        self._console.mark("fail", run=run, step=number, kind=kind, error=error)
        log = cast("JSON", self._console.last_lines())
        return "fail", {"run": run, "step": number, "error": error, "cause": cause, "log": log}

    def _report(self, run: str, number: int, work: Work, finished: threading.Event) -> None:
        """Tell the rack how far the step is, until it is finished; a rack that refuses ends the step."""
        while not finished.wait(PROGRESS_SECONDS):
            phase, done, total = work.progress()
            report: Document = {"run": run, "step": number, "phase": phase, "done": done, "total": total}
            try:
                self._rack.try_post("progress", report)
            except RefusedError as error:
                if error.status in NO_LONGER_WANTED:
                    work.cancel(f"{error}; the step is no longer wanted")
                    return

    def _leave(self, kind: str, run: str, number: int) -> None:
        try:
            if kind == "reboot":
                self._power.reboot()
            else:
                self._power.poweroff()
        except OSError as error:
            self._console.mark("fail", run=run, step=number, kind=kind, error=f"the kernel refused: {error}")
        self._stop.wait(POLL_SECONDS)
