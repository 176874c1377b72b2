"""What was said of each fault: as lines to print, and kept when all were run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_rows import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hostler.client.documents import Why

SAID: pytest.StashKey[dict[str, Why]] = pytest.StashKey()
"""By fault, the verdict."""
_RECORD = Path(__file__).with_name("last_run.json")


def summary(said: Mapping[str, Why]) -> Iterator[str]:
    """Yield fault and verdict, a line each; keep them if no fault lacks."""
    rows = [
        {
            "fault": fault.key, "title": fault.title, "cause": said[fault.key]["cause"],
            "right": said[fault.key]["cause"] in fault.causes, "text": said[fault.key]["text"],
        }
        for fault in FAULTS if fault.key in said
    ]  # fmt: skip
    for row in rows:
        yield f"{' ' if row['right'] else '!'} {row['fault']:<18}{row['cause']:<22}{row['text']}"
    right = sum(bool(row["right"]) for row in rows)
    yield f"{right} of {len(rows)} faults have the right cause"
    if len(rows) == len(FAULTS):
        record = {"date": datetime.now(UTC).date().isoformat(), "right": right, "of": len(rows), "rows": rows}
        _RECORD.write_text(json.dumps(record, indent=1) + "\n")
