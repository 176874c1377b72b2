"""The calls with which a lab is kept: health, training, maintenance, hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, cast

from hostler.client.transport import part

if TYPE_CHECKING:
    from hostler.client.documents import Board
    from hostler.client.transport import Transport

_TEST_SECONDS = 90.0  # a command may take a minute


class Checkup(TypedDict):
    """A check under way; ``of`` 0: until somebody says stop."""

    kind: str
    stage: str
    begun: str
    by: str
    run: str | None
    passed: int
    failed: int
    of: int


class Stage(TypedDict):
    """Seconds from power-on to a stage, over the boots of a training that succeeded."""

    stage: str
    boots: int
    min: float
    median: float
    max: float


class TrainedBoot(TypedDict):
    """One boot of a training; ``stages`` in seconds from power-on."""

    round: int
    fault: str
    stages: dict[str, float]


class Training(TypedDict):
    """What a board's last training measured."""

    began: str
    boots: list[TrainedBoot]
    stages: list[Stage]


class BoardHealth(TypedDict):
    """How a board did when it was last checked, and the check it is in."""

    board: str
    board_class: str
    lifecycle: str
    reason: str
    verdict: str
    at: str | None
    detail: str
    passes: int
    fails: int
    asked: str
    suspect: str
    checkup: Checkup | None


class HealthReport(BoardHealth):
    """A board's health, with its last training."""

    training: Training | None


class Hook(TypedDict):
    """Where events are told, and how far that has come."""

    id: str
    url: str
    command: list[str]
    kinds: list[str]
    secret: str
    principal: str
    in_lab_toml: bool
    created: str
    cursor: int
    behind: int
    trying_since: str | None
    attempts: int
    error: str
    told: int
    given_up: int
    told_at: str | None


class HookTest(TypedDict):
    """What came of telling a hook one event that means nothing."""

    ok: bool
    text: str
    seconds: float


class CareCalls:
    """Calls of the client; see ``client.Client``."""

    _http: Transport

    def all_health(self) -> list[BoardHealth]:
        """Return the health of every board."""
        return cast("list[BoardHealth]", self._http.call("GET", "health"))

    def board_health(self, board: str) -> HealthReport:
        """Return a board's health and what its last training measured."""
        return cast("HealthReport", self._http.call("GET", f"boards/{part(board)}/health"))

    def set_health(self, board: str, action: str, reason: str = "") -> BoardHealth:
        """Ask for a ``check``, say ``good``, ``bad``, ``unknown`` or ``looping``, or ``stop`` the check."""
        body = {"action": action, "reason": reason}
        return cast("BoardHealth", self._http.call("POST", f"boards/{part(board)}/health", body=body))

    def train(self, board: str, boots: int) -> BoardHealth:
        """Have a board boot so many times before anybody may have it."""
        body = {"boots": boots}
        return cast("BoardHealth", self._http.call("POST", f"boards/{part(board)}/training", body=body))

    def begin_maintenance(self, board: str, reason: str = "", *, now: bool = False) -> Board:
        """Take a board aside; with ``now`` the claim that holds it ends."""
        body: dict[str, Any] = {"reason": reason, "now": now}
        return cast("Board", self._http.call("POST", f"boards/{part(board)}/maintenance", body=body))

    def end_maintenance(self, board: str) -> Board:
        """Let a board come back by way of a wipe."""
        return cast("Board", self._http.call("DELETE", f"boards/{part(board)}/maintenance"))

    def hooks(self) -> list[Hook]:
        """Return the hooks and how far each has come."""
        return cast("list[Hook]", self._http.call("GET", "hooks"))

    def add_hook(self, url: str, kinds: list[str], secret: str = "") -> Hook:
        """Have events posted to an address; ``secret`` is a reference such as ``env:NAME``."""
        body = {"url": url, "kinds": kinds, "secret": secret}
        return cast("Hook", self._http.call("POST", "hooks", body=body))

    def remove_hook(self, hook: str) -> None:
        """Tell a hook nothing more."""
        self._http.call("DELETE", f"hooks/{part(hook)}")

    def test_hook(self, hook: str) -> HookTest:
        """Tell a hook one event that means nothing, now."""
        return cast("HookTest", self._http.call("POST", f"hooks/{part(hook)}/test", seconds=_TEST_SECONDS))
