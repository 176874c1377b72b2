"""How a disk is: what drives of every kind tell of themselves, in the same few words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostler.model.json import Document


@dataclass(frozen=True, slots=True)
class DiskHealth:
    """What a drive says of itself; None where it does not say.

    Attributes:
        source: Where this was read: ``nvme``, ``ata`` or ``emmc``.
        wear_percent: How much of its rated life is used up; more than 100 beyond it.
        spare_percent: How much of its spare blocks is left.
        errors: Sectors or accesses it could not do and knows of.
        hours: Hours it has been on.
        temperature: Degrees Celsius.
        failing: Why it is about to fail, in its own judgement or by the limits of its standard; empty: it
            is not.
    """

    source: str
    wear_percent: int | None = None
    spare_percent: int | None = None
    errors: int | None = None
    hours: int | None = None
    temperature: int | None = None
    failing: tuple[str, ...] = ()

    def to_json(self) -> Document:
        """Return it as a JSON object, with ``text`` for people."""
        return asdict(self) | {"failing": list(self.failing), "text": str(self)}

    def __str__(self) -> str:
        worded = (
            (self.wear_percent, "worn {} %"),
            (self.spare_percent, "spare {} %"),
            (self.errors, "{} errors"),
            (self.hours, "on for {} h"),
            (self.temperature, "{} °C"),
        )
        words = ["FAILING: " + "; ".join(self.failing)] if self.failing else []
        return ", ".join(words + [text.format(value) for value, text in worded if value is not None])


def failing_reasons(health: object) -> tuple[str, ...]:
    """Return why a disk is failing, out of ``DiskHealth.to_json``; empty when it is not.

    It is total: facts come from boards, and what is not as it should be is left out.
    """
    reasons = health.get("failing") if isinstance(health, dict) else None
    return tuple(str(reason) for reason in reasons) if isinstance(reasons, list) else ()


def failing_disks(facts: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return why disks of a board are failing, by path and serial number, out of the board's facts."""
    found: dict[str, tuple[str, ...]] = {}
    for disk in _disks(facts):
        reasons = failing_reasons(disk.get("health"))
        if reasons:
            found[" ".join(str(disk.get(key)) for key in ("path", "model", "serial") if disk.get(key))] = (
                reasons
            )
    return found


def _disks(facts: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    disks = facts.get("disks")
    return [disk for disk in disks if isinstance(disk, dict)] if isinstance(disks, list) else ()
