"""Wait for what a call has started; every wait has a deadline and survives a restart of the server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from hostler.client.documents import ENDED
from hostler.client.errors import DeadlineError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.client.client import Client
    from hostler.client.documents import Board, Claim, Run

T = TypeVar("T")

_POLL_SECONDS = 0.5
_AWAY_SECONDS = 60.0  # a server that restarts is back well before


def poll(
    look: Callable[[], T],
    good: Callable[[T], bool],
    *,
    seconds: float,
    what: str,
    seen: Callable[[T], None] = lambda _: None,
    interval: float = _POLL_SECONDS,
) -> T:
    """Look again and again until what is seen is good, and return it.

    A server that does not answer is forgiven for a minute.

    Args:
        look: Asks the server.
        good: Whether that is what was waited for.
        seconds: Deadline from now.
        what: What is waited for, for the error's text.
        seen: Called with every look.
        interval: Seconds between looks.

    Raises:
        DeadlineError: it did not happen in time.
        UnreachableError: the server was away too long.
        RefusedError: it said no.
    """
    end = time.monotonic() + seconds
    away_since: float | None = None
    while True:
        try:
            present = look()
        except UnreachableError:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _AWAY_SECONDS:
                raise
        else:
            away_since = None
            seen(present)
            if good(present):
                return present
        if time.monotonic() >= end:
            raise DeadlineError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(min(interval, max(0.0, end - time.monotonic())))


def wait_run(
    client: Client, run: str, *, seconds: float, seen: Callable[[Run], None] = lambda _: None
) -> Run:
    """Wait until a run has ended, however it ended; raises like ``poll``."""
    return poll(
        lambda: client.run(run),
        lambda present: present["state"] in ENDED,
        seconds=seconds,
        what=f"the end of run {run}",
        seen=seen,
    )


def wait_claim(
    client: Client,
    claim: str,
    *,
    seconds: float,
    states: frozenset[str] = frozenset({"active", "closed"}),
    seen: Callable[[Claim], None] = lambda _: None,
) -> Claim:
    """Wait until a claim is in one of ``states``; raises like ``poll``."""
    return poll(
        lambda: client.get_claim(claim),
        lambda present: present["state"] in states,
        seconds=seconds,
        what=f"claim {claim} becoming {' or '.join(sorted(states))}",
        seen=seen,
    )


def wait_release(
    client: Client, claim: str, *, seconds: float, seen: Callable[[Board], None] = lambda _: None
) -> tuple[Claim, Board | None]:
    """Wait until a claim has closed and tell how its board came out of it.

    Args:
        client: The server.
        claim: Id or name of a claim that is being released.
        seconds: Deadline from now.
        seen: Called with the board while it is being cleaned.

    Returns:
        The closed claim, and its board; None if it never had one.

    Raises:
        DeadlineError: it did not close in time.
        UnreachableError: the server was away too long.
        RefusedError: it said no.
    """

    def look() -> tuple[Claim, Board | None]:
        present = client.get_claim(claim)
        return present, client.board(present["board"]) if present["board"] else None

    def tell(both: tuple[Claim, Board | None]) -> None:
        if both[1] is not None and both[0]["state"] == "releasing":
            seen(both[1])

    return poll(
        look,
        lambda both: both[0]["state"] == "closed",
        seconds=seconds,
        what=f"the release of claim {claim}",
        seen=tell,
    )


def wait_board(
    client: Client,
    board: str,
    good: Callable[[Board], bool],
    *,
    seconds: float,
    what: str,
    seen: Callable[[Board], None] = lambda _: None,
) -> Board:
    """Wait until a board is as wanted; raises like ``poll``."""
    return poll(lambda: client.board(board), good, seconds=seconds, what=f"{board}: {what}", seen=seen)


def wait_healthy(client: Client, *, seconds: float, alive: Callable[[], bool] = lambda: True) -> None:
    """Wait until the server answers; ``alive`` false ends the wait early.

    Raises:
        UnreachableError: it did not answer in time, or is not ``alive``.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            client.health(seconds=2.0)
        except UnreachableError:
            if not alive() or time.monotonic() >= end:
                raise
            time.sleep(0.1)
        else:
            return
