"""What boards' consoles say at this moment, one line each: for whoever looks at all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.model.json import Document
    from hostler.rack.console import RackConsole


def last_lines(consoles: Mapping[str, RackConsole]) -> Document:
    """Return ``{"lines": [{"board", "line", "at", "claim"}]}`` of the boards that said something.

    Each line was said under the claim that holds the board now (None: nobody's), at a Unix time
    (None: before this rack's start).
    """
    rows: list[Any] = [
        {"board": board, "line": line, "at": console.broker.heard, "claim": console.claim}
        for board, console in consoles.items()
        if (line := console.last_line())
    ]
    return {"lines": rows}
