"""The table of docs/boot.md agrees with the platforms, the boot paths and the last run of the matrix."""

from __future__ import annotations

import re
from dataclasses import replace

import last_run
import pytest
from boot_paths import BY_KEY, PATHS
from last_run import BEGIN, END, Result, stages

from hostler.model.platform import PLATFORMS
from hostler.virtual.config import Kind


def test_every_platform_and_loader_has_its_row() -> None:
    """What the code can boot is in the table, and the table has nothing that the code cannot."""
    told = {(path.platform, path.loader) for path in PATHS if path.first != "media"}  # brings its own
    exist = {
        (name, loader) for name, row in PLATFORMS.items() for loader in row.loaders or (None, *row.instead)
    }
    assert exist <= told
    for name, loader in told - exist:
        assert loader in PLATFORMS[name].choices


def test_the_page_shows_the_last_run() -> None:
    """Nobody edits the table by hand: it is what the matrix wrote."""
    shown = re.search(f"{BEGIN}(.*){END}", last_run.PAGE.read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] == last_run.table(PATHS, last_run.load())


def test_what_failed_and_what_was_not_run_says_so() -> None:
    """No row looks proved that is not."""
    good = Result(True, "2026-01-02", "ovmf 1", {"DHCP": 2.4, "agent": 31.0})
    bad = replace(good, ok=False, error="no | hello")
    paths = [BY_KEY["uefi-ipxe"], BY_KEY["uefi-grub"], BY_KEY["uefi-uki"], BY_KEY["raspberrypi4"]]
    rows = last_run.table(paths, {"uefi-ipxe": good, "uefi-grub": bad}).splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert cells[0][3:] == ["2", "–", "–", "31", "–", "–", "2026-01-02, ovmf 1"]
    assert cells[1][3:] == ["–"] * 6 + ["**failed** 2026-01-02: no / hello"]
    assert cells[2][-1] == "not run"
    assert cells[3][-1] == BY_KEY["raspberrypi4"].elsewhere
    assert "FAILED: no | hello" in last_run.plain(paths, {"uefi-grub": bad})


def test_stages_are_counted_from_the_first_power_on() -> None:
    """A second boot goes on, and a login before the step is that of what was on the disk."""
    events = [
        {"at": at, "source": source, "kind": kind, "since": 0.0, "text": ""}
        for at, source, kind in (
            (1, "dhcp", "discover"), (10, "power", "on"), (12, "dhcp", "discover"),
            (13, "http", "get"), (14, "console", "login"), (20, "console", "kernel"),
            (30, "agent", "hello"), (40, "agent", "done"), (41, "power", "on"),
            (50, "console", "kernel"), (60, "console", "login"),
        )
    ]  # fmt: skip
    assert stages(events) == {  # type: ignore[arg-type]
        "DHCP": 2, "file": 3, "kernel": 10, "agent": 20, "done": 30, "login": 50,
    }  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=[path.key for path in PATHS])
def test_a_row_is_proved_or_says_what_stands_in(path) -> None:
    """A row without a virtual board and without words would show nothing."""
    assert bool(path.kind) != bool(path.elsewhere)
    assert not path.kind or path.kind in set(Kind)
