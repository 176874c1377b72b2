"""Why the hub says no. Each class is one kind of no; the text says what is wrong, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input.

    Attributes:
        text: What is wrong and what to do.
        file: The file it is in, or empty.
        line: Line in that file, from 1; None: not known.
        key: Dotted path of the key, or empty.
    """

    text: str
    file: str = ""
    line: int | None = None
    key: str = ""

    def __str__(self) -> str:
        place = (
            f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        )
        return place + self.text


class Refusal(Exception):  # noqa: N818 - the hub works; it is the request that is refused
    """The request cannot be granted; nothing was changed.

    Attributes:
        status: The HTTP status that says the same.
        kind: Short word for programs, ends the problem's type.
        title: The kind in words.
        detail: This case in words.
        faults: What is wrong, one by one, where there is more than one thing.
    """

    status = 400
    title = "Refused"

    def __init__(self, detail: str, *, kind: str = "", faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.kind = kind or type(self).__name__.removesuffix("Error").lower()
        self.faults = faults


class UnauthenticatedError(Refusal):
    """No token, or one that nobody knows."""

    status = 401
    title = "Not authenticated"


class ForbiddenError(Refusal):
    """This principal may not do that."""

    status = 403
    title = "Not allowed"


class NotFoundError(Refusal):
    """There is no such thing."""

    status = 404
    title = "Not found"


class ConflictError(Refusal):
    """Not in the present state; wait, or choose another."""

    status = 409
    title = "Not possible now"


class InvalidError(Refusal):
    """The request is wrong in itself; it would be refused at any time."""

    status = 422
    title = "Invalid request"


class DamagedFileError(InvalidError):
    """The bytes of a file are spoiled; they are to be sent again."""


class UnavailableError(Refusal):
    """Something the hub needs does not answer or has no room; try again later."""

    status = 503
    title = "Temporarily unavailable"


class NoSpaceError(Refusal):
    """The disk of the hub is full; make room and try again."""

    status = 507
    title = "No space left"


class DatabaseError(Exception):
    """The database cannot be used; the text says why and what to do."""
