"""Which names images may have, and which are free."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hostler.hub.errors import ConflictError
from hostler.model.plan import StepKind

if TYPE_CHECKING:
    from hostler.hub.records import RunRecord
    from hostler.hub.state import Draft

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def name_fault(name: str) -> str:
    """Say why an image cannot be called so; empty when it can."""
    if _NAME.fullmatch(name):
        return ""
    return f'"{name}" is not an image name; use lower-case letters, digits, ".", "_" and "-", at most 63'


def refuse_taken(draft: Draft, name: str) -> None:
    """Raise ConflictError when there is an image of this name, or a run captures one that is to have it."""
    known = draft.images.get(name)
    if known is not None and known.upstream:
        raise ConflictError(f'there is an image "{name}" at {known.upstream} already; choose another name')
    if known is not None:
        raise ConflictError(f'there is an image "{name}" already; remove it first or choose another name')
    run = being_captured(draft).get(name)
    if run is not None:
        raise ConflictError(
            f'run {run.id} captures an image "{name}" from board "{run.board}" at this moment; choose '
            "another name"
        )


def being_captured(draft: Draft) -> dict[str, RunRecord]:
    """Return the runs under way that capture images, by the names these are to have."""
    return {
        str(step.params.get("image")): run
        for run in draft.runs.values()
        if not run.status.state.ended
        for step in run.order.steps[len(run.status.results) :]
        if step.kind is StepKind.CAPTURE
    }
