"""The causes of a verdict, and the page that tells what to do about each."""

from __future__ import annotations

import re
from pathlib import Path

from hostler.model.cause import Cause

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"


def test_each_cause_has_its_row_in_the_docs() -> None:
    """A row a cause, each once, and none of a cause that is no more; each says what to do."""
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| ([^|]+) \|$", _section(), re.MULTILINE)
    assert sorted(cause for cause, _, _ in rows) == sorted(Cause)
    assert all(meaning.strip() and advice.strip() for _, meaning, advice in rows)


def _section() -> str:
    table = PAGE.read_text().partition("## What `hostler why` says")[2].partition("\n## ")[0]
    return table.partition("|---|---|---|\n")[2]
