"""What can go wrong between a person and a server, named by what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.client.documents import Problem


class ClientError(Exception):
    """Anything that kept a call from doing what was asked.

    Attributes:
        advice: What to do about it, one line, or empty.
    """

    def __init__(self, text: str, advice: str = "") -> None:
        super().__init__(text)
        self.advice = advice


class SettingsError(ClientError):
    """Nobody said which server to talk to, or with which token."""


class UnreachableError(ClientError):
    """The server did not answer; start it, or correct its address."""


class UntrustedError(UnreachableError):
    """Nobody believed vouches for the server; nothing was sent to it."""


class RefusedError(ClientError):
    """The server said no.

    Attributes:
        status: The HTTP status.
        problem: The whole problem body (RFC 9457).
    """

    def __init__(self, status: int, problem: Problem, advice: str = "") -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"status {status}", advice)
        self.status = status
        self.problem = problem


class UnauthorizedError(RefusedError):
    """The token is missing, unknown or does not allow this."""


class NotFoundError(RefusedError):
    """There is no board, claim, image or run of that name."""


class DeadlineError(ClientError):
    """What was waited for did not happen in time; the server goes on with it."""


class LoginError(ClientError):
    """The board's console did not let us in, or the shell there did not answer."""


def refusal(status: int, problem: Problem) -> RefusedError:
    """Return the error that fits a problem body."""
    if status in (401, 403):
        advice = "" if status == 403 else "`hostler login`, or set HOSTLER_TOKEN to a token this server knows"
        return UnauthorizedError(status, problem, advice)
    if status == 404:
        return NotFoundError(status, problem)
    return RefusedError(status, problem)
