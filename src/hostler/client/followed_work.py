"""Long work of the server, which tells in lines of JSON how far it is and how it ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hostler.client.errors import RefusedError, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

    from hostler.client.documents import ImportProgress, Problem

SECONDS = 600.0
"""Longest silence: an archive on a slow disk of the server is long in coming."""


def followed(response: httpx2.Response, what: str, progress: Callable[[ImportProgress], None]) -> Any:
    """Read an answer to its end and return its last line.

    Raises:
        RefusedError: the work failed, or ended without a result; ``what`` names it then.
    """
    for line in response.iter_lines():
        message: Any = json.loads(line) if line.strip() else {"event": ""}
        if message["event"] == "progress":
            progress(message)
        elif message["event"] == "done":
            return message
        elif message["event"] == "error":
            raise refusal(int(message["problem"].get("status", 500)), message["problem"])
    broken: Problem = {"detail": f"{what} ended without a result; look at the server's log"}
    raise RefusedError(502, broken)
