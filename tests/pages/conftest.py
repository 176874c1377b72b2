"""A browser for all tests of the pages, and a lab for each file of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright
from serial_line import SerialBoard
from simulated_lab import SimulatedLab, simulated_lab
from visitor import WAIT, chromium_options

from hostler.client.client import Client
from hostler.drivers.console.tty import Tty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

# A browser's own timeout does not count for these, and 5 s are few on a busy machine.
expect.set_options(timeout=WAIT)


# Not for the session: while Playwright runs, its loop is this thread's, and other tests want their own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**chromium_options())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serial_board() -> Iterator[SerialBoard]:
    """What pc-1's console is wired to."""
    made = SerialBoard()
    yield made
    made.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, serial_board: SerialBoard) -> Iterator[SimulatedLab]:
    """Three boards and three images; what comes of a run is in the image's name."""
    folder = tmp_path_factory.mktemp("lab")
    disk = folder / "disk.raw"
    disk.write_bytes(os.urandom(100_000) + bytes(900_000))
    wire = Tty.from_config({}, {"path": serial_board.path})
    with simulated_lab(folder / "state", wire=wire) as lab:
        with Client(lab.settings) as client:
            for name in ("debian", "slow-one", "bad-one"):
                client.import_image(name, disk, arch="amd64", platforms=["x86-bios"])
        yield lab
