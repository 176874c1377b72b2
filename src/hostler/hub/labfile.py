"""Reading ``lab.toml``: every mistake in it at once, each with its line, its key and what to do."""

from __future__ import annotations

import difflib
import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from hostler.hub import labfile_schema as schema
from hostler.hub.errors import Fault, InvalidError
from hostler.hub.labfile_rules import Reader
from hostler.hub.toml_lines import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import ErrorDetails

    from hostler.hub.inventory import Inventory

    BindingCheck = Callable[[str, str, Mapping[str, Any], Mapping[str, Any]], str]
    """Kind (``power``, ``console``), driver, the equipment's keys, the wire's -> what is wrong, or empty."""


class LabfileError(InvalidError):
    """The file is not a description of a lab; ``faults`` has every mistake."""

    title = "The inventory is not right"

    def __init__(self, faults: list[Fault]) -> None:
        ordered = tuple(sorted(faults, key=lambda fault: fault.line or 0))
        super().__init__("\n".join(str(fault) for fault in ordered), kind="bad-inventory", faults=ordered)


def read_labfile(
    text: str, file: str = "lab.toml", base: Path | None = None, check: BindingCheck | None = None
) -> Inventory:
    """Read a description of a lab.

    Args:
        text: The TOML text.
        file: Its name, for messages.
        base: Directory that relative paths in it start from; the current one by default.
        check: Asked about the keys of every wire whose driver is known.

    Raises:
        LabfileError: with all mistakes found.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LabfileError([_syntax(str(error), file, text)]) from None
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond what Python reads
        raise LabfileError([Fault(f"this cannot be read: {error}", file, 1)]) from None
    places = Places(text)
    faults: list[Fault] = []
    names = {table: _names(raw, table) for table in ("networks", "equipment", "classes")}
    try:
        parsed = schema.LabFile.model_validate(raw)
    except ValidationError as error:
        faults = [_fault(detail, file, places) for detail in error.errors(include_url=False)]
        parsed = _what_is_right(raw, error)
    drivers = {
        kind: frozenset(entry_points(group=f"hostler.{kind}").names)
        for kind in ("power", "console", "bootctl")
    }
    reader = Reader(parsed, places, file, base or Path.cwd(), drivers, check, names)
    inventory = reader.inventory(text)
    faults += reader.faults
    if faults:
        raise LabfileError(faults)
    return inventory


def _names(raw: dict[str, Any], table: str) -> list[str]:
    value = raw.get(table)
    return list(value) if isinstance(value, dict) else []


def _what_is_right(raw: dict[str, Any], error: ValidationError) -> schema.LabFile:
    """Return the file without the tables that are wrong, so that the others can be looked at as well."""
    for detail in error.errors(include_url=False):
        loc = detail["loc"]
        table = raw.get(str(loc[0]))
        if len(loc) == 1 or not isinstance(table, dict) or loc[0] in ("lab", "images"):
            raw.pop(str(loc[0]), None)
        else:
            table.pop(str(loc[1]), None)
    raw.setdefault("lab", {"name": "lab"})
    return schema.LabFile.model_validate(raw)


def _syntax(message: str, file: str, text: str) -> Fault:
    match = re.search(r"\(at line (\d+), column \d+\)", message)
    line = int(match[1]) if match else text.count("\n") + 1
    plain = re.sub(r"\s*\(at [^)]*\)", "", message)
    return Fault(f"this is not TOML: {plain[:1].lower()}{plain[1:]}", file, line)


def _fault(detail: ErrorDetails, file: str, places: Places) -> Fault:
    path = tuple(str(part) for part in detail["loc"] if part != "[key]")
    key = ".".join(path)
    line = places.line(path)
    table, last = ".".join(path[:-1]), path[-1]
    where = f"in [{table}]" if table else "at the top"
    if detail["type"] == "extra_forbidden":
        known = sorted(_known_keys(path[:-1]))
        near = difflib.get_close_matches(last, known, 1)
        advice = f'did you mean "{near[0]}"?' if near else f"known keys: {', '.join(known)}"
        return Fault(f'unknown key "{last}" {where}; {advice}', file, line, key)
    if detail["type"] == "missing":
        lacks = f'[{table}] lacks "{last}"' if table else f"the file lacks [{last}]"
        return Fault(f"{lacks}; add it", file, line, key)
    message = detail["msg"].removeprefix("Value error, ")
    value = detail["input"]
    shown = (
        f" (it is {value!r})" if isinstance(value, (str, int, float)) and str(value) not in message else ""
    )
    return Fault(f"{key}: {message[:1].lower()}{message[1:]}{shown}", file, line, key)


def _known_keys(path: tuple[str, ...]) -> set[str]:
    tables: dict[str, type[BaseModel]] = {
        "lab": schema.LabTable,
        "networks": schema.NetworkTable,
        "equipment": schema.EquipmentTable,
        "classes": schema.ClassTable,
        "boards": schema.BoardTable,
        "hooks": schema.HookTable,
        "images": schema.ImagesTable,
    }
    model = tables.get(path[0], schema.LabFile) if path else schema.LabFile
    return {field.alias or name for name, field in model.model_fields.items()}
