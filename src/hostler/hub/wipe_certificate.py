"""The certificate of a wipe: what was done to each disk, in the words of NIST SP 800-88, and how it is known.

It is made from the run that wiped the board, whenever somebody asks for it, so that it is there as long as
the history is kept. It is not signed: its digest lets a printed one be held against the lab's own.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hostler.hub.errors import NotFoundError
from hostler.model.json import count
from hostler.model.plan import StepKind
from hostler.model.run import RunState
from hostler.model.wipe import Effort, Sanitized, unproven

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.hub.records import BoardRecord, RunRecord
    from hostler.model.plan import StepOrder

STANDARD = "NIST SP 800-88 Rev. 1"

_METHODS = {
    "zeroed": "zeroed by the disk itself",
    "discarded": "discarded, and overwritten where it was not zero",
    "overwritten": "overwritten with zeros",
    "purged": "zero as the purge left it",
}


def wipe_of(run: RunRecord) -> tuple[StepOrder, dict[str, Any]] | None:
    """Return the last wipe in a run, and what the agent told of it; None: there is none that was done."""
    found = None
    for order, result in zip(run.order.steps, run.status.results, strict=False):
        if order.kind is StepKind.WIPE:
            found = order, result
    return found


def last_wipe(name: str, runs: Iterable[RunRecord]) -> RunRecord:
    """Return the first of a board's runs that wiped it; raises NotFoundError if there is none."""
    for run in runs:
        if run.board == name and wipe_of(run) is not None:
            return run
    raise NotFoundError(
        f'there is no wipe of board "{name}" that you may see; it was not wiped, or too long ago',
        kind="no-wipe",
    )


def certificate(lab: str, record: BoardRecord, run: RunRecord) -> dict[str, Any]:
    """Return the certificate of the wipe in a run as a JSON object.

    Args:
        lab: The lab's name.
        record: The board.
        run: The run; one of this board.

    Raises:
        NotFoundError: it wiped nothing, or another board.
    """
    done = wipe_of(run)
    if done is None or run.board != record.name:
        raise NotFoundError(f'run {run.id} did not wipe board "{record.name}"', kind="no-wipe")
    order, result = done
    effort = Effort(order.params.get("effort", Effort.CLEAR))
    # What the board reported is known as it is now: it is held against its last wipe only.
    facts = record.facts if record.run == run.id and run.status.state is RunState.SUCCEEDED else {}
    gap = unproven(result, facts, effort)
    disks = [_disk(entry) for entry in _objects(result.get("disks"))]
    reached = {disk["sanitized"] for disk in disks}
    document: dict[str, Any] = {
        "standard": STANDARD,
        "lab": lab,
        "board": record.name,
        "board_class": record.board.board_class,
        "serial": record.board.serial,
        "uuid": record.board.uuid,
        "macs": list(record.board.macs),
        "machine": {str(key): value for key, value in _object(result.get("machine")).items()},
        "run": run.id,
        "purpose": str(run.purpose),
        "ordered_by": run.principal,
        "claim": run.claim,
        "began": _time(run.status.started or run.created),
        "ended": _time(run.status.ended) if run.status.ended is not None else None,
        "effort": str(effort),
        "sanitized": None
        if gap
        else str(Sanitized.PURGE if reached == {Sanitized.PURGE} else Sanitized.CLEAR),
        "unproven": gap,
        "disks": disks,
        "left_alone": [
            {**_named(_object(entry.get("disk"))), "reason": str(entry.get("reason", ""))}
            for entry in _objects(result.get("skipped"))
        ],
        "software": {"hostler": str(result.get("version", "")), "kernel": str(result.get("kernel", ""))},
    }
    return {**document, "digest": digest(document)}


def digest(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a certificate without its digest: of its JSON with sorted keys and no spaces."""
    plain = {key: value for key, value in document.items() if key != "digest"}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _disk(entry: dict[str, Any]) -> dict[str, Any]:
    method, purged_by = str(entry.get("method", "")), entry.get("purged_by")
    seconds, health = entry.get("seconds"), entry.get("health")
    words = _METHODS.get(method, method)
    if entry.get("passes") == 2:
        words = "overwritten with ones, then with zeros"
    sanitized = Sanitized.PURGE if entry.get("sanitized") == Sanitized.PURGE else Sanitized.CLEAR
    return {
        **_named(_object(entry.get("disk"))),
        "sanitized": str(sanitized),
        "purged_by": purged_by if isinstance(purged_by, str) else None,
        "method": words,
        "read_back_bytes": count(entry.get("verified_bytes")),
        "read_back_whole": entry.get("verified_whole") is True,
        "samples": count(entry.get("samples")),
        "repaired_bytes": count(entry.get("repaired_bytes")),
        "seconds": float(seconds) if isinstance(seconds, int | float) else None,
        "declined": _texts(entry.get("declined")),
        "untouched": _texts(entry.get("untouched")),
        "health": health if isinstance(health, dict) else None,
    }


def _named(disk: dict[str, Any]) -> dict[str, Any]:
    texts = {key: disk.get(key) for key in ("path", "bus", "model", "serial", "wwn")}
    named: dict[str, Any] = {key: None if text is None else str(text) for key, text in texts.items()}
    return {**named, "size": count(disk.get("size"))}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [str(entry) for entry in value] if isinstance(value, list) else []
