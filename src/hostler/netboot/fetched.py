"""What came of asking the rack for a chunk or an index that is not here yet."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

WAIT_SECONDS = 8.0
"""How long an agent's request waits for a chunk; it takes a rack for lost that says nothing for 15 s."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Its answer.

    Attributes:
        status: 200: it is here; 503: it is on its way, ask again; 404 and 424: it will not come.
        text: What is waited for, or why it will not come.
    """

    status: int
    text: str = ""

    @property
    def here(self) -> bool:
        """Whether it is here."""
        return self.status == HTTPStatus.OK

    @property
    def coming(self) -> bool:
        """Whether to ask again."""
        return self.status == HTTPStatus.SERVICE_UNAVAILABLE
