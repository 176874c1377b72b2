"""The examples in README.md and docs/ are true."""

from __future__ import annotations

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hostler.cli.main import GROUPS
from hostler.drivers.registry import (
    BOOTCTL,
    CONSOLE,
    POWER,
    bootctl_driver,
    console_driver,
    driver_names,
    power_driver,
)
from hostler.hub.labfile import read_labfile
from hostler.virtual.config import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = {verb: module for verbs in GROUPS.values() for verb, (module, _) in verbs.items()}


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        found = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        yield from ((page.name, block) for block in found)


def check_binding(
    kind: str, driver: str, equipment: Mapping[str, object], binding: Mapping[str, object]
) -> str:
    makers = {"power": power_driver, "console": console_driver, "bootctl": bootctl_driver}
    makers[kind](driver, equipment, binding)
    return ""


LABS = [block for block in blocks("toml") if "classes" in block[1]]
VIRTUAL_LABS = [block for block in blocks("toml") if "state_dir" in block[1]]
COMMANDS = [
    line.split("#")[0].strip()
    for _, block in blocks("sh")
    for line in block.splitlines()
    if re.match(r"(\.venv/bin/)?hostler ", line)
]


@pytest.mark.parametrize(("page", "text"), LABS, ids=[page for page, _ in LABS])
def test_every_lab_can_be_applied(page: str, text: str) -> None:
    """An inventory shown to a reader is accepted, its drivers' keys included."""
    assert read_labfile(text, page, ROOT, check_binding).boards


@pytest.mark.parametrize(("page", "text"), VIRTUAL_LABS, ids=[page for page, _ in VIRTUAL_LABS])
def test_every_virtual_lab_can_be_started(page: str, text: str, tmp_path: Path) -> None:
    """A virtual lab shown to a reader is accepted."""
    path = tmp_path / page
    path.write_text(text)
    assert load(path).boards


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command: str) -> None:
    """A command shown to a reader is parsed by its verb."""
    _, verb, *arguments = shlex.split(command)
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lab")
    import_module(f"hostler.cli.{MODULES[verb]}").VERBS[verb][0](parser)
    if parser.get_default("command") is not None and "--" in arguments:
        arguments = arguments[: arguments.index("--")]  # what follows is the command's own
    parser.parse_args(arguments)


def test_links_lead_somewhere() -> None:
    """Every relative link of every page is a file."""
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_driver_has_its_line() -> None:
    """docs/drivers.md names each driver that is installed, and no other."""
    page = (ROOT / "docs/drivers.md").read_text()
    shown = re.findall(r"^\| (power|console|bootctl) \| `([a-z0-9-]+)`", page, re.MULTILINE)
    groups = (("power", POWER), ("console", CONSOLE), ("bootctl", BOOTCTL))
    installed = [(kind, name) for kind, group in groups for name in driver_names(group)]
    assert sorted(shown) == sorted(installed)


def test_every_room_has_its_line() -> None:
    """docs/architecture.md names each room of the tree."""
    page = (ROOT / "docs/architecture.md").read_text()
    rooms = {path.parent.name for path in (ROOT / "src/hostler").glob("*/__init__.py")}
    assert {room for room in rooms if f"`{room}/`" not in page} == set()
