"""The main job on one board: claim, deploy, log in, run a command, release, clean again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hostler.cli.progress import run_text
from hostler.client.documents import Trace
from hostler.client.errors import ClientError
from hostler.client.shell import login, run_command
from hostler.client.waiting import wait_board, wait_claim, wait_release, wait_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.cli.progress import Progress
    from hostler.client.client import Client
    from hostler.client.documents import Board, Run

CLAIM_SECONDS = 60.0
DEPLOY_SECONDS = 2400.0
LOGIN_SECONDS = 300.0
COMMAND_SECONDS = 120.0
RELEASE_SECONDS = 1500.0
COMMAND = "uname -a; cat /etc/os-release"
USER, PASSWORD = "root", "hostler"  # of the images the demo builds

JOB_SECONDS = CLAIM_SECONDS + DEPLOY_SECONDS + LOGIN_SECONDS + COMMAND_SECONDS + RELEASE_SECONDS


class StepFailedError(ClientError):
    """A step of the job did not hold."""


@dataclass(slots=True)
class Outcome:
    """How the job went on one board.

    Attributes:
        board: Its name.
        board_class: What was claimed.
        image: What was deployed.
        steps: Seconds of each step that held, in order.
        stages: Seconds of each phase of the runs, as ``install:debian executing``.
        output: What the command printed.
        error: Why the job failed, or empty.
        traces: The timelines of all boots of the job, oldest first.
        console: Last bytes of the console, if the job failed.
    """

    board: str
    board_class: str
    image: str
    steps: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    output: str = ""
    error: str = ""
    traces: list[Trace] = field(default_factory=list)
    console: bytes = b""

    @property
    def seconds(self) -> float:
        """Length of all steps together."""
        return sum(self.steps.values())

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as a JSON object; a boot is told by its length and number of events."""
        boots = [
            {
                "number": trace["boot"]["number"],
                "purpose": trace["boot"]["purpose"],
                "events": len(trace["events"]),
                "seconds": round(trace["events"][-1]["since"], 3) if trace["events"] else 0.0,
            }
            for trace in self.traces
            if trace["boot"] is not None
        ]
        return {
            "board": self.board,
            "class": self.board_class,
            "image": self.image,
            "ok": not self.error,
            "seconds": round(self.seconds, 3),
            "steps": {name: round(seconds, 3) for name, seconds in self.steps.items()},
            "stages": {name: round(seconds, 3) for name, seconds in self.stages.items()},
            "output": self.output,
            "boots": boots,
            "error": self.error,
        }


class Job:
    """One board's way through the main job."""

    def __init__(self, client: Client, view: Progress, outcome: Outcome) -> None:
        self._client = client
        self._view = view
        self.outcome = outcome
        self._phase: tuple[str, float] | None = None

    def run(self) -> None:
        """Do the job; what went wrong is in the outcome, nothing is raised."""
        board = self.outcome.board
        before = 0
        try:
            before = self._newest_boot()
            self._work()
        except ClientError as error:
            self.outcome.error = str(error)
            self._view.say(board, f"FAILED: {error}")
            self._keep(lambda: self._client.console_log(board, tail=4000), "console")
        self._keep(lambda: self._traces(before), "traces")

    def _work(self) -> None:
        board = self.outcome.board
        with self._step("claim"):
            claim = self._client.claim(self.outcome.board_class, name=f"demo-{board}", ttl="2h", wait=True)
            claim = wait_claim(self._client, claim["id"], seconds=CLAIM_SECONDS)
            if claim["board"] != board:
                raise StepFailedError(f"the claim is {claim['state']} with {claim['board']}, not {board}")
        with self._step("deploy"):
            run = self._client.deploy(board, self.outcome.image)
            self._succeed(wait_run(self._client, run["id"], seconds=DEPLOY_SECONDS, seen=self._seen))
        with self._client.console(board) as session:
            with self._step("login"):
                self._view.say(board, "logging in on the console")
                login(session, USER, PASSWORD, seconds=LOGIN_SECONDS)
            with self._step("command"):
                result = run_command(session, COMMAND, seconds=COMMAND_SECONDS)
                self.outcome.output = result.output
                if result.status != 0:
                    last = (result.output.strip().splitlines() or [""])[-1]
                    raise StepFailedError(f"`{COMMAND}` ended with {result.status}: {last}")
        with self._step("release"):
            self._client.release(claim["id"])
            closed, _ = wait_release(self._client, claim["id"], seconds=RELEASE_SECONDS, seen=self._clean)
        with self._step("clean"):
            now = wait_board(
                self._client,
                board,
                lambda board: (
                    board["lifecycle"] in ("available", "quarantined") and board["power"]["observed"] == "off"
                ),
                seconds=CLAIM_SECONDS,
                what="being available and off",
            )
            if now["lifecycle"] != "available":
                raise StepFailedError(f"{board} is {now['lifecycle']}: {now['reason'] or closed['reason']}")
        self._view.say(board, "clean and off again")

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        except ClientError as error:
            raise StepFailedError(f"{name}: {error}") from error
        self.outcome.steps[name] = time.monotonic() - begun

    def _seen(self, run: Run) -> None:
        self._view.run(self.outcome.board, run)
        now = time.monotonic()
        if self._phase is not None:
            name, since = self._phase
            self.outcome.stages[name] = self.outcome.stages.get(name, 0.0) + now - since
        step = run["steps"][min(run["step"], len(run["steps"]) - 1)] if run["steps"] else run["plan"]
        ended = run["ended"] is not None
        self._phase = None if ended else (f"{run['purpose']}: {step} {run['phase']}", now)

    def _clean(self, board: Board) -> None:
        if board["run"] is not None and board["run"]["purpose"] == "release":
            self._seen(board["run"])

    def _succeed(self, run: Run) -> None:
        if run["state"] != "succeeded":
            log = "".join(f"\n  | {line}" for line in run["log"])
            raise StepFailedError(run_text(run) + log)

    def _newest_boot(self) -> int:
        boots = self._client.trace(self.outcome.board)["boots"]
        return boots[0]["number"] if boots else 0

    def _traces(self, before: int) -> list[Trace]:
        boots = self._client.trace(self.outcome.board)["boots"]
        numbers = sorted(boot["number"] for boot in boots if boot["number"] > before)
        return [self._client.trace(self.outcome.board, number) for number in numbers]

    def _keep(self, look: Any, name: str) -> None:
        """Keep what helps to understand the outcome; a server that has gone must not hide it."""
        try:
            setattr(self.outcome, name, look())
        except ClientError as error:
            self.outcome.error = self.outcome.error or f"cannot read the {name}: {error}"
