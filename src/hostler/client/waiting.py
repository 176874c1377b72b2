"""Wait for what a call has started; every wait has a deadline and survives a restart of the server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from hostler.client.documents import ENDED
from hostler.client.errors import DeadlineError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.client.claim_calls import Claim
    from hostler.client.client import Client
    from hostler.client.documents import Board, Run

T = TypeVar("T")

_POLL_SECONDS = 0.5
_AWAY_SECONDS = 60.0  # a server that restarts is back well before
_SILENCE_SECONDS = 20.0  # a stream in which nothing happens still says so every 15 s


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
    """Wait until a claim is in one of ``states``; the server tells when anything about it changes.

    Args:
        client: The server.
        claim: Id or name.
        seconds: Deadline from now.
        states: What is waited for.
        seen: Called with the claim as it is now, and whenever it, its place or its estimate changes.

    Raises:
        DeadlineError: it did not happen in time.
        UnreachableError: the server was away too long.
        RefusedError: it said no.
    """
    end = time.monotonic() + seconds
    away_since: float | None = None
    while (left := end - time.monotonic()) > 0:
        try:
            for present in client.watch_claim(claim, min(_SILENCE_SECONDS, max(left, 0.1))):
                away_since = None
                seen(present)
                if present["state"] in states:
                    return present
                if time.monotonic() >= end:
                    break
        except UnreachableError:
            # Also how a stream ends in which nothing was said until the deadline.
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _AWAY_SECONDS:
                raise
        time.sleep(min(_POLL_SECONDS, max(0.0, end - time.monotonic())))
    wanted = " or ".join(sorted(states))
    raise DeadlineError(f"claim {claim} becoming {wanted} did not happen within {seconds:.0f} s")


def wait_release(
    client: Client, claim: str, *, seconds: float, seen: Callable[[Board], None] = lambda _: None
) -> tuple[Claim, list[Board]]:
    """Wait until a claim has closed and tell how its boards came out of it.

    Args:
        client: The server.
        claim: Id or name of a claim that is being released.
        seconds: Deadline from now.
        seen: Called with each board while it is being cleaned.

    Returns:
        The closed claim, and its boards; none if it never had one.

    Raises:
        DeadlineError: it did not close in time.
        UnreachableError: the server was away too long.
        RefusedError: it said no.
    """

    def look() -> tuple[Claim, list[Board]]:
        present = client.get_claim(claim)
        return present, [client.board(name) for name in present["boards"]]

    def tell(both: tuple[Claim, list[Board]]) -> None:
        present, boards = both
        for board in boards:
            if present["state"] == "releasing" and board["lifecycle"] == "releasing":
                seen(board)

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
