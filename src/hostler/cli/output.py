"""What commands print: text for people or one JSON document for programs; errors on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hostler.cli.words import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostler.client.errors import ClientError

_STYLES = {
    "available": "green",
    "active": "green",
    "succeeded": "green",
    "on": "green",
    "claimed": "cyan",
    "running": "cyan",
    "releasing": "yellow",
    "pending": "yellow",
    "queued": "yellow",
    "unknown": "yellow",
    "quarantined": "red",
    "failed": "red",
    "timed_out": "red",
}


class Output:
    """Standard output of one command.

    Attributes:
        json: Whether the command prints JSON.
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json

    @property
    def live(self) -> bool:
        """Whether somebody watches: bars and colours make sense."""
        return not self.json and sys.stdout.isatty()

    def document(self, document: Any) -> None:
        """Print one JSON document on one line."""
        import json

        print(json.dumps(document, ensure_ascii=False, separators=(",", ":")), flush=True)

    def line(self, text: str = "") -> None:
        """Print a line for people; nothing with ``--json``."""
        if not self.json:
            print(plain(text), flush=True)

    def note(self, text: str) -> None:
        """Print a line for people that is no result, on stderr."""
        print(plain(text), file=sys.stderr, flush=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
        """Print rows under their columns, or ``empty`` when there are none."""
        if self.json:
            return
        if not rows:
            print(empty)
            return
        rows = [[plain(cell) for cell in row] for row in rows]
        if self.live:
            self._rich_table(columns, rows)
            return
        lines = [[column.upper() for column in columns], *rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
        for line in lines:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values under each other; those without a value are left out."""
        width = max((len(name) for name, value in pairs if value), default=0)
        for name, value in pairs:
            if value:
                self.line(f"{name.ljust(width)}  {value}")

    def fail(self, error: ClientError) -> int:
        """Print what went wrong and what to do; return the exit status."""
        from hostler.client.errors import RefusedError

        problem: Any = {"type": "about:blank", "title": type(error).__name__, "detail": str(error)}
        self.note(f"hostler: {error}")
        if isinstance(error, RefusedError):
            problem = error.problem
            for detail in error.problem.get("errors", []):
                if detail.get("text", "") in str(error):
                    continue
                self.note(f"  {_place(detail)}{detail.get('text', '')}")
        if error.advice:
            self.note(f"  {error.advice}")
        if self.json:
            self.document(problem)
        return 1

    @staticmethod
    def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell.split(" ", 1)[0], "")) for cell in row))
        Console().print(table)


def _place(detail: Any) -> str:
    """Return ``file:line: `` as far as it is known, unless the text begins with it."""
    parts = [str(detail[key]) for key in ("file", "line") if detail.get(key) is not None]
    place = ":".join(parts)
    return "" if not place or str(detail.get("text", "")).startswith(place) else f"{place}: "
