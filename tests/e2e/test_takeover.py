"""A board that boots its disk first, with a system on that disk, is taken over on its serial console."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from whole_lab import DISK, WholeLab

from hostler.build.agent_image import build_agent
from hostler.build.tiny import build_tiny
from hostler.demo.material import Material

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.qemu, pytest.mark.netns]

BOARD = "va-uboot"
CACHE = Path(__file__).parents[2] / "var" / "cache"


@pytest.fixture
def disk_first(tmp_path: Path) -> Iterator[WholeLab]:
    """The virtual lab and the server: an arm64 board as it is shipped, with a working system on its disk."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a network namespace for the boards")
    agent = build_agent("arm64", CACHE / "built", CACHE)
    system = build_tiny("arm64", CACHE / "built", CACHE).path
    lab = WholeLab(tmp_path / "lab")
    for path, table, line in (
        (tmp_path / "lab" / "virtual.toml", rf'^name = "{BOARD}"$', 'first = "disk"'),
        (lab.toml, rf"^\[boards\.{BOARD}\]$", 'bootctl = { driver = "uboot-console" }'),
    ):
        text, count = re.subn(table, rf"\g<0>\n{line}", path.read_text(), flags=re.MULTILINE)
        assert count == 1
        path.write_text(text)
    lab.disk(BOARD).parent.mkdir(parents=True)
    shutil.copyfile(system, lab.disk(BOARD))
    os.truncate(lab.disk(BOARD), DISK)
    try:
        lab.start()
        lab.import_images(
            Material({"arm64": (agent.kernel, agent.initrd)}, {"tiny-arm64": system}), "tiny-arm64"
        )
        yield lab
    finally:
        lab.stop()


def test_the_agent_comes_up_whatever_is_on_the_disk(disk_first: WholeLab) -> None:
    """Left alone the board boots its own system; for a run its U-Boot is caught; then it is left alone."""
    lab = disk_first
    lab.claim(BOARD)
    lab.client.set_power(BOARD, "on")
    with lab.client.console(BOARD) as console:
        console.expect("login:", seconds=240)
    assert not [event for event in lab.events(BOARD) if event["kind"] == "taken-over"]
    local = lab.newest_boot(BOARD)

    run = lab.wait_run(lab.client.deploy(BOARD, "tiny-arm64")["id"], seconds=240)
    assert run["state"] == "succeeded", run
    assert run["attempt"] == 1
    events = lab.events(BOARD, since=local)
    kinds = [(event["source"], event["kind"]) for event in events]
    assert kinds.index(("bootctl", "network")) < kinds.index(("power", "on"))
    assert ("bootctl", "taken-over") in kinds
    assert ("agent", "hello") in kinds
    assert ("tftp", "done") in kinds
    # The system that was installed came up by itself, from the disk: one takeover, one local boot.
    assert kinds.count(("bootctl", "taken-over")) == 1
    assert kinds.index(("agent", "hello")) < kinds.index(("console", "done-signal"))
