"""Where a waiting claim stands, on one line that is drawn in place, or a line for each change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from hostler.cli.words import moment, seconds_text

if TYPE_CHECKING:
    from types import TracebackType

    from rich.status import Status

    from hostler.cli.output import Output
    from hostler.client.claim_calls import Claim


class QueueLine(Protocol):
    """Shows a waiting claim."""

    def __enter__(self) -> QueueLine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, claim: Claim) -> None:
        """Show the claim as it is now."""
        ...


def queue_line(out: Output) -> QueueLine:
    """Return what suits: a live line when somebody watches, else plain ones."""
    return _LiveLine() if out.live else _PlainLines(out)


def place_text(claim: Claim) -> str:
    """Return where a waiting claim stands and when it may expect its boards, in words."""
    if claim["position"] is None:
        start = moment(claim["start"])
        return f"booked for {start.astimezone():%Y-%m-%d %H:%M}" if start is not None else "waiting"
    return f"number {claim['position']} in the queue{estimate_text(claim, ', ')}"


def estimate_text(claim: Claim, before: str = "") -> str:
    """Return how long a claim may still have to wait, or nothing when nobody knows."""
    expected = moment(claim["estimate"])
    if expected is None or claim["position"] is None:
        return ""
    left = (expected - datetime.now(UTC)).total_seconds()
    return before + (f"about {seconds_text(left)} to go" if left >= 1 else "any moment now")


class _PlainLines:
    def __init__(self, out: Output) -> None:
        self._out = out
        self._said: object = None

    def __enter__(self) -> _PlainLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    def show(self, claim: Claim) -> None:
        """Print a line when its place has changed; an estimate alone draws nearer with every second."""
        if claim["state"] == "pending" and claim["position"] != self._said:
            self._said = claim["position"]
            self._out.line(f"claim {claim['id']}: {place_text(claim)}")


class _LiveLine:
    def __init__(self) -> None:
        self._status: Status | None = None

    def __enter__(self) -> _LiveLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, claim: Claim) -> None:
        """Draw the line anew."""
        from rich.console import Console
        from rich.markup import escape

        text = escape(f"claim {claim['id']}: {place_text(claim)}")
        if self._status is None:
            self._status = Console().status(text)
            self._status.start()
        self._status.update(text)
