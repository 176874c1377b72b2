"""What agents and other systems report, brought to the keeper of the board they run on."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from hostler.model.identity import contradiction
from hostler.model.json import count
from hostler.model.keeper_view import Report, agent_step
from hostler.model.plan import StepKind
from hostler.model.run import Phase
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.model.json import Document
    from hostler.model.plan import StepOrder
    from hostler.rack.captures import Captures
    from hostler.rack.keeper import Keeper

_LOG_LINES = 200
"""Lines of a log kept with a failure."""

SYSTEM_REPORTS = ("system-done", "system-fail")
"""What an installer or a live system says; anything else is an agent's word."""


class AgentReports:
    """Takes reports over HTTP and from the console, and gives each to its keeper.

    Args:
        keeper_of: The keeper of a board, or None.
        captures: Stores what agents capture.
    """

    def __init__(self, keeper_of: Callable[[str], Keeper | None], captures: Captures) -> None:
        self._keeper_of = keeper_of
        self._captures = captures

    def seen(self, board: str, boot: str, at: float) -> None:
        """Note that the agent of a boot spoke."""
        keeper = self._keeper_of(board)
        if keeper is not None and _is_agents(keeper, boot):
            keeper.agent_seen(boot, at)

    async def report(self, kind: str, board: str, boot: str, body: Document) -> int:
        """Take a report; returns the HTTP status the agent is answered with."""
        keeper = self._keeper_of(board)
        if keeper is None:
            return HTTPStatus.SERVICE_UNAVAILABLE  # its keeper is only starting: the agent comes again
        if not _is_present(keeper, boot):
            return HTTPStatus.FORBIDDEN
        if kind in SYSTEM_REPORTS:
            return await _take_from_system(keeper, kind, boot, body)
        if not _is_agents(keeper, boot):
            return HTTPStatus.FORBIDDEN
        keeper.agent_seen(boot, time.time())
        try:
            return await self._take(keeper, kind, body)
        except (KeyError, TypeError, ValueError):
            return HTTPStatus.BAD_REQUEST

    async def _take(self, keeper: Keeper, kind: str, body: Document) -> int:
        values: dict[str, Any] = body
        if kind == "hello":
            facts = _object(values.get("facts"))
            # Boards without DMI, such as a Raspberry Pi, have it in their device tree.
            told = {**_object(facts.get("device_tree")), **_object(facts.get("dmi"))}
            uuid, serial = (str(told[name]) if name in told else None for name in ("uuid", "serial"))
            keeper.agent_hello(facts, contradiction(keeper.view.desired.board, uuid, serial))
            return HTTPStatus.NO_CONTENT
        run, step = str(values["run"]), int(values["step"])
        if kind == "progress":
            phase = Phase(values.get("phase", Phase.EXECUTING))
            keeper.agent_progress(run, step, phase, count(values["done"]), count(values["total"]))
            return HTTPStatus.NO_CONTENT
        capture = _capture(keeper, run, step)
        if kind == "capture":
            if capture is None:
                return HTTPStatus.CONFLICT
            smaller, most = capture.params.get("shrink") is True, capture.params.get("most_data")
            return self._captures.finish(run, step, str(values["index"]), smaller=smaller, most_data=most)
        if kind == "done":
            report = Report(run, step, result=_object(values.get("result")))
            if capture is not None:
                report = self._captured(report)
        elif kind == "fail":
            log = tuple(printable(str(line)) for line in values.get("log") or ())[-_LOG_LINES:]
            error = printable(str(values.get("error") or "the agent gave no reason"))
            if capture is not None and (why := self._captures.trouble(run, step)):
                error = f"{error}: {why}"
            report = Report(
                run, step, error=error, log=log, cause=printable(str(values.get("cause") or ""))[:32]
            )
        else:
            return HTTPStatus.NOT_FOUND
        return HTTPStatus.NO_CONTENT if await keeper.agent_report(report) else HTTPStatus.CONFLICT

    def _captured(self, report: Report) -> Report:
        """Return the report with what the image became in the store, which the agent has no say in."""
        stored = self._captures.stored(report.run, report.step)
        if stored is None:
            why = "the server was restarted while it took the image in; capture the board again"
            return Report(report.run, report.step, error=why)
        return Report(report.run, report.step, result={**(report.result or {}), **stored})

    def marker(self, board: str, boot: str, marker: Document) -> None:
        """Take a marker line an agent wrote on the console: the only word of one that has no network."""
        keeper = self._keeper_of(board)
        if keeper is None or not _is_present(keeper, boot):
            return
        spoke = marker.get("board")
        if marker.get("event") == "hello" and isinstance(spoke, str) and spoke != board:
            keeper.another_spoke(printable(spoke))
        if marker.get("event") in ("lost", "fail"):
            text = str(marker.get("error") or marker.get("why") or "no reason given")
            if marker.get("event") == "lost" and "rack" in marker:
                text = f"it cannot reach {marker['rack']}: {text}"
            keeper.agent_trouble(printable(text), printable(str(marker.get("cause") or ""))[:32])


async def _take_from_system(keeper: Keeper, kind: str, boot: str, body: Document) -> int:
    if kind == "system-done":
        taken = await keeper.system_report(boot, body, "", ())
    else:
        said = body.get("body")
        lines = said.splitlines() if isinstance(said, str) else [json.dumps(said)] if said else []
        # Of a log the end tells most; of one line, that is all there is.
        error = printable(lines[-1]) if lines else "the system gave no reason"
        log = tuple(printable(line) for line in lines)[-_LOG_LINES:]
        taken = await keeper.system_report(boot, None, error, log if len(lines) > 1 else ())
    return HTTPStatus.NO_CONTENT if taken else HTTPStatus.CONFLICT


def _capture(keeper: Keeper, run: str, step: int) -> StepOrder | None:
    """Return the order of a board's present step if it is this one, and captures."""
    present = agent_step(keeper.view)
    if present is None or (present[0].id, present[0].step) != (run, step):
        return None
    return present[1] if present[1].kind is StepKind.CAPTURE else None


def _object(value: object) -> dict[str, Any]:
    """Return a JSON object that an agent told, empty if it told none; TypeError: it is something else."""
    if not value:
        return {}
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    return value


def _is_present(keeper: Keeper, boot: str) -> bool:
    present = keeper.view.memory.boot
    return present is not None and present.id == boot


def _is_agents(keeper: Keeper, boot: str) -> bool:
    """Tell whether a boot's token is an agent's: a live system's user has one too, and no say about facts."""
    present = keeper.view.memory.boot
    return present is not None and present.id == boot and present.purpose == "agent"
