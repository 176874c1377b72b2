"""Which of a board's disks is meant: hints such as ``bus=nvme,size>=100G,smallest``.

A hint is terms joined by commas; all of them must hold of a disk. It speaks of facts that the agent reports
(``agent/disks.py``), so the hub can answer with what a board reported last, and the agent with what is
there now. Shared with the agent, so it has the standard library only.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Disk = Mapping[str, Any]

REMOVABLE = "removable medium"
"""Why a stick or card is spared on a board whose class does not say that its removable media are disks."""

_TERM = re.compile(r"(?P<key>[a-z-]*)\s*(?P<sign>!=|>=|<=|=|>|<)\s*(?P<value>.*\S)", re.DOTALL)
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)([KMGT]?)(i?)B?")  # more digits than any size has, and finite
_TEXTS = {
    "path": "path",
    "bus": "bus",
    "transport": "transport",
    "model": "model",
    "serial": "serial",
    "wwn": "wwn",
    "by-path": "by_path",
}
_FLAGS = {"rotational": "rotational", "removable": "removable"}
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_ORDER: dict[str, Callable[[int, int], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_CHOICES = ("smallest", "largest", "first")
_LONGEST = 500  # characters; a hint is written by hand


class DiskHintError(ValueError):
    """No disk, or more than one, is meant; or the hint cannot be read. The text says what would do."""


@dataclass(frozen=True, slots=True)
class DiskHint:
    """A hint that was read.

    Attributes:
        text: As it was written.
        tests: What must hold of a disk: key, sign and value, the latter as text, truth, or bytes.
        choices: Which of those left is taken, one after another: ``smallest``, ``largest``, ``first``.
    """

    text: str
    tests: tuple[tuple[str, str, str | bool | int], ...] = ()
    choices: tuple[str, ...] = ()

    def matches(self, disk: Disk) -> bool:
        """Tell whether every test holds of a disk."""
        return all(_holds(disk, *test) for test in self.tests)


def parse_hint(text: str) -> DiskHint:
    """Read a hint; raises DiskHintError naming the term that is wrong.

    | term | holds of |
    |---|---|
    | ``/dev/nvme0n1``, ``/dev/disk/by-path/…`` | the disk of this name, or in this place |
    | ``size>=100G``, ``>=100G`` | sizes; ``K M G T`` are powers of 1000, as of disks, ``Ki`` … of 1024 |
    | ``bus= transport= model= serial= wwn= by-path= path=`` | texts; ``*`` and ``?`` stand for anything |
    | ``rotational=yes``, ``removable=no`` | facts that are so or not |
    | ``smallest``, ``largest``, ``first`` | this one of those for which all else holds; ``first`` by path |
    """
    if not text.strip() or len(text) > _LONGEST:
        raise DiskHintError(f"a hint for a disk has 1 to {_LONGEST} characters, such as bus=nvme,smallest")
    tests: list[tuple[str, str, str | bool | int]] = []
    choices = []
    for word in (word.strip() for word in text.split(",")):
        if word in _CHOICES:
            choices.append(word)
        elif word.startswith("/dev/disk/by-path/"):
            tests.append(("by-path", "=", word.rpartition("/")[2]))
        elif word.startswith("/dev/"):
            tests.append(("path", "=", word))
        else:
            tests.append(_test(word))
    return DiskHint(text, tuple(tests), tuple(choices))


def _test(word: str) -> tuple[str, str, str | bool | int]:
    term = _TERM.fullmatch(word)
    known = ", ".join(("size", *_TEXTS, *_FLAGS))
    if term is None:
        raise DiskHintError(
            f'"{word}" says nothing of a disk; write {", ".join(_CHOICES)}, a path, or one of {known} with = '
            "and a value"
        )
    key, sign, value = term["key"] or "size", term["sign"], term["value"]
    if key == "size":
        size = _SIZE.fullmatch(value)
        if size is None or sign not in _ORDER:
            raise DiskHintError(f'"{word}" is no size; write for example size>=100G or size<2T')
        return key, sign, int(float(size[1]) * (1024 if size[3] else 1000) ** " KMGT".index(size[2] or " "))
    if sign in _ORDER or key not in {**_TEXTS, **_FLAGS}:
        raise DiskHintError(f'"{word}" says nothing of a disk; what can be said: {known}')
    if key in _FLAGS:
        if value.lower() not in _YES:
            raise DiskHintError(f'"{word}": {key} is yes or no')
        return key, sign, _YES[value.lower()]
    return key, sign, value


def _holds(disk: Disk, key: str, sign: str, value: str | bool | int) -> bool:
    if key == "size":
        return _ORDER[sign](_size(disk), int(value))
    if key in _FLAGS:
        return (bool(disk.get(_FLAGS[key])) is value) == (sign == "=")
    fact = str(disk.get(_TEXTS[key]) or "")
    return fnmatchcase(fact.lower(), str(value).lower()) == (sign == "=")


def choose_disk(disks: Sequence[Disk], hint: DiskHint | None, *, removable: bool = False) -> Disk:
    """Choose the disk to install on.

    It is total over what boards report: a fact that is not as it should be is only not the one that is meant.

    Args:
        disks: The facts of all disks of the board.
        hint: Which; None: there is to be only one.
        removable: Whether removable media are disks like any other.

    Raises:
        DiskHintError: There is no such disk, or more than one; the message names them and their facts.
    """
    usable = [disk for disk in disks if why_not(disk, removable=removable) is None]
    if hint is None:
        if not usable:
            has = _listed(disks, removable=removable)
            raise DiskHintError(f"no disk to install on; this board has: {has}")
        if len(usable) > 1:
            raise DiskHintError(
                f"more than one disk to install on: {_listed(usable, removable=removable)}; "
                "say which, for example: --disk smallest"
            )
        return usable[0]
    left = [disk for disk in usable if hint.matches(disk)]
    if not left:
        raise DiskHintError(
            f'no disk is "{hint.text}"; this board has: {_listed(disks, removable=removable)}'
        )
    for choice in hint.choices:
        left = _chosen(left, choice)
    if len(left) > 1:
        raise DiskHintError(
            f'more than one disk is "{hint.text}": {_listed(left, removable=removable)}; '
            "say more, for example a serial number"
        )
    return left[0]


def _chosen(disks: list[Disk], choice: str) -> list[Disk]:
    if choice == "first":
        return [min(disks, key=lambda disk: str(disk.get("path")))]
    sizes = [_size(disk) for disk in disks]
    wanted = min(sizes) if choice == "smallest" else max(sizes)
    return [disk for disk, size in zip(disks, sizes, strict=True) if size == wanted]


def _size(disk: Disk) -> int:
    """Return a disk's size in bytes; 0 when its board told none, or something else than a whole number."""
    size = disk.get("size")
    return size if isinstance(size, int) else 0


def why_not(disk: Disk, *, removable: bool) -> str | None:
    """Say why a disk is neither installed on nor wiped; None: it may be.

    Args:
        disk: Its facts.
        removable: Whether removable media are disks like any other.
    """
    spared = disk.get("spared")
    if spared is not None and not (removable and spared == REMOVABLE):
        return str(spared)
    return "write-protected" if disk.get("read_only") else None


def with_removable_disks(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a board's facts with its removable media as disks like any other."""
    disks = facts.get("disks")
    if not isinstance(disks, list):
        return dict(facts)
    ordinary = {"removable": False, "spared": None}
    return {
        **facts,
        "disks": [
            {**disk, **ordinary} if isinstance(disk, dict) and disk.get("spared") == REMOVABLE else disk
            for disk in disks
        ],
    }


def described(disk: Disk) -> str:
    """Return a disk and the facts that tell it from others, for people."""
    facts = [
        *(str(disk[key]) for key in ("bus", "model") if disk.get(key)),
        *(f"{key} {disk[key]}" for key in ("serial", "wwn") if disk.get(key)),
        *([f"at {disk['by_path']}"] if disk.get("by_path") else []),
        f"{disk.get('size') or 0} bytes",
    ]
    return f"{disk.get('path')} ({', '.join(facts)})"


def _listed(disks: Iterable[Disk], *, removable: bool) -> str:
    words = []
    for disk in disks:
        why = why_not(disk, removable=removable)
        words.append(described(disk) + (f", left alone: {why}" if why else ""))
    return "; ".join(words) or "none"
