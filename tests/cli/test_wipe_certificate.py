"""`wipe-certificate`: what a wipe did, for people, for programs and on paper; `show` says how disks are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from simulated_lab import simulated_lab
from test_commands import Shell

from hostler.cli.boards import disk_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with simulated_lab(tmp_path / "state") as lab:
        yield Shell(lab)


def test_a_board_that_was_given_back_has_a_certificate(shell: Shell, tmp_path: Path) -> None:
    """The last wipe by default, or one of an older run; a PDF where it was asked for."""
    assert "no wipe of board" in shell("wipe-certificate", "pc-1", status=1).stderr
    claim = shell.json("claim", "pc")["id"]
    run = shell.json("run", "pc-1", "wipe")["id"]
    shell("release", claim)
    last = shell.json("wipe-certificate", "pc-1")
    assert (last["purpose"], last["sanitized"]) == ("release", "clear")
    paper = tmp_path / "wipe.pdf"
    told = shell("wipe-certificate", "pc-1", "--run", run, "--pdf", str(paper)).stdout
    assert run in told
    assert "clear (NIST SP 800-88 Rev. 1)" in told
    assert paper.read_bytes().startswith(b"%PDF-")
    nowhere = shell("wipe-certificate", "pc-1", "--pdf", str(tmp_path / "none" / "x.pdf"), status=1)
    assert "x.pdf cannot be written" in nowhere.stderr


def test_show_says_how_disks_are() -> None:
    """A line for each disk that tells; one that does not, and facts that are none, have no line."""
    disks = [{"path": "/dev/sda", "health": {"text": "worn 3 %"}}, {"path": "/dev/sdb"}, 7]
    assert disk_rows({"disks": disks}) == [("disk /dev/sda", "worn 3 %")]
    assert disk_rows({"disks": 1}) == []
