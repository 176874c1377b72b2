"""What boards can be told apart by, and terms such as ``arch=arm64`` or ``ram>=4G`` that choose among them.

A term is a key, one of ``= != > >= < <=`` and a value. ``=`` and ``!=`` compare numbers where both sides are
numbers, else text; the others compare numbers. A board without the label satisfies ``!=`` and nothing else.
``ram`` and ``disk`` are sizes: a plain number is MiB, and K, M, G, T are powers of 1024.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_TERM = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9._-]{0,62})\s*(!=|>=|<=|=|>|<)\s*([^\s,<>=!][^,<>=!]{0,127})\s*"
)
_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*(?:([KMGT])(?:i?B)?)?")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZES = frozenset({"ram", "disk"})
_ORDER: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
# Firmware, graphics and the kernel keep part of the memory: a 4 GiB board reports 3.7.
_KEPT_FROM_USE = 0.08


class LabelError(ValueError):
    """A term makes no sense; the text names it and says how terms are written."""


def read_terms(text: str) -> tuple[str, ...]:
    """Read terms separated by commas and return each in its plain form; raises LabelError."""
    return tuple(_plain(term) for term in text.split(","))


def _plain(term: str) -> str:
    match = _TERM.fullmatch(term)
    if match is None:
        raise LabelError(f'"{term.strip()}" is not a term; write for example arch=arm64 or ram>=4096')
    key, sign, value = match[1], match[2], match[3].strip()
    if sign in _ORDER and _number(key, value) is None:
        raise LabelError(
            f'"{term.strip()}" compares with "{value}", which is no number; write for example {key}{sign}4G'
        )
    return f"{key}{sign}{value}"


def satisfies(labels: Mapping[str, str], terms: Iterable[str]) -> bool:
    """Tell whether labels meet every one of these plain terms."""
    return all(_meets(labels, term) for term in terms)


def _meets(labels: Mapping[str, str], term: str) -> bool:
    match = _TERM.fullmatch(term)
    assert match is not None, term
    key, sign, wanted = match[1], match[2], match[3].strip()
    present = labels.get(key)
    if present is None:
        return sign == "!="
    left, right = _number(key, present), _number(key, wanted)
    if sign in ("=", "!="):
        same = left == right if left is not None and right is not None else present == wanted
        return same == (sign == "=")
    return left is not None and right is not None and _ORDER[sign](left, right)


def _number(key: str, text: str) -> float | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    unit = _UNITS[match[2]] if match[2] else _UNITS["M"] if key in _SIZES else 1
    return float(match[1]) * unit


def derived_labels(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels that follow from what an agent reported: ``ram``, ``disk`` (MiB) and ``cpus``.

    ``ram`` is what the board was sold with, as far as that can be told; ``disk`` is its largest.
    """
    labels: dict[str, str] = {}
    if memory := _positive(facts.get("memory_bytes")):
        labels["ram"] = str(nominal_memory(memory) // 2**20)
    cpu = facts.get("cpu")
    if isinstance(cpu, dict) and (count := _positive(cpu.get("count"))):
        labels["cpus"] = str(count)
    disks = facts.get("disks")
    if isinstance(disks, list):
        fixed = [disk for disk in disks if isinstance(disk, dict) and not disk.get("removable")]
        if largest := max((_positive(disk.get("size")) for disk in fixed), default=0):
            labels["disk"] = str(largest // 2**20)
    return labels


def _positive(value: Any) -> int:
    """Return a number that somebody reported, or 0 when it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def nominal_memory(reported: int) -> int:
    """Return the memory a board was sold with: the next of 4, 5, 6, 7 times a power of two, if it is near.

    Args:
        reported: Bytes the kernel says it has.
    """
    unit = 1 << max(reported.bit_length() - 3, 0)  # of which it has between 4 and 8
    nominal = next((step * unit for step in (4, 5, 6, 7, 8) if step * unit >= reported), reported)
    return nominal if nominal * (1 - _KEPT_FROM_USE) <= reported else reported
