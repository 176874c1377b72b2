"""A request of a board that is answered with an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from http import HTTPStatus


class Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    """The request is answered with this status and one line of text."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status
