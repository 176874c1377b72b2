"""What was said of each fault: as lines to print, and kept from one run to the next."""

from __future__ import annotations

import fcntl
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_rows import ELSEWHERE, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fault_rows import Fault

RECORD = Path(__file__).with_name("last_run.json")


@dataclass(frozen=True)
class Said:
    """What was said of one fault.

    Attributes:
        fault: Its key.
        title: What went wrong.
        cause: The verdict's cause; empty: there was no verdict.
        right: Whether it is one of the right ones.
        text: The verdict's words, or what came instead of one.
        date: When, as an ISO date.
    """

    fault: str
    title: str
    cause: str
    right: bool
    text: str
    date: str

    @classmethod
    def of(cls, fault: Fault, cause: str, text: str) -> Said:
        """Hold what was said today against what is right."""
        today = datetime.now(UTC).date().isoformat()
        return cls(fault.key, fault.title, cause, cause in fault.causes, text, today)

    @property
    def line(self) -> str:
        """One line of the table."""
        return f"{' ' if self.right else '!'} {self.fault:<20}{self.cause or 'no verdict':<24}{self.text}"


SAID: pytest.StashKey[dict[str, Said]] = pytest.StashKey()
"""By fault, what was said in this run."""


def table(said: Mapping[str, Said]) -> Iterator[str]:
    """Yield fault and verdict, a line each, and how many are right."""
    rows = [said[fault.key] for fault in ROWS if fault.key in said]
    yield from (row.line for row in rows)
    yield from (f"  {row.key:<20}{row.cause:<24}not here: {row.proof}" for row in ELSEWHERE)
    yield f"{sum(row.right for row in rows)} of {len(rows)} rows have the right cause"


def keep(said: Mapping[str, Said], path: Path = RECORD) -> dict[str, Said]:
    """Put what this run found in the place of what is kept of the same faults, and return all of it.

    Parts of the faults may be run side by side: each keeps its own. What is no fault any more is left out.
    """
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        before = json.loads(file.read() or '{"rows": []}')["rows"]
        joined = {row["fault"]: Said(**row) for row in before} | dict(said)
        kept = {fault.key: _held(fault, joined[fault.key]) for fault in ROWS if fault.key in joined}
        record = {
            "right": sum(row.right for row in kept.values()),
            "of": len(ROWS),
            "rows": [asdict(row) for row in kept.values()],
            "elsewhere": [asdict(row) for row in ELSEWHERE],
        }
        file.truncate(0)
        file.write(json.dumps(record, indent=1) + "\n")
    return kept


def _held(fault: Fault, said: Said) -> Said:
    """Hold what was said, perhaps long ago, against what is right today."""
    return replace(said, title=fault.title, right=said.cause in fault.causes)
