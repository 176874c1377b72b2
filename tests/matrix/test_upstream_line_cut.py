"""A site's line is cut while boards install an image that is at home behind it: they wait, and go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netns import SERVER_INTERFACE
from upstream_line import Boards, at_home, cached, site, until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.matrix
@pytest.mark.netns
def test_a_line_that_is_cut(tmp_path: Path) -> None:
    """Of each board it is told what it waits for and since when, and it goes on once the line is back."""
    with at_home(tmp_path / "home") as home, home.slowed("50mbit"), site(home, tmp_path, 2) as here:
        boards = Boards(home, here.index, tmp_path, 2)
        until(lambda: len(cached(tmp_path)) > 4)
        home.lan.server.run("ip", "link", "set", SERVER_INTERFACE, "down")
        lost = f"waits for chunks from {home.url}: link lost"
        until(lambda: {"b0", "b1"} <= {text.split()[0] for text in here.told() if lost in text})
        home.lan.server.run("ip", "link", "set", SERVER_INTERFACE, "up")
        assert [one.get("sha256") for one in boards.done()] == [home.sha256] * 2
        until(lambda: any("goes on: what it waited for has come" in text for text in here.told()))
