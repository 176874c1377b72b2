"""The pages as `hostler serve` gives them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visitor import visiting

from running_server import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser


def test_over_tls_the_cookie_never_leaves_it(chromium: Browser, tmp_path: Path):
    """The real server with a certificate of its own: pages, log-in and live boards go by HTTPS alone."""
    with (
        running_server(tmp_path / "state", "--tls", "auto") as server,
        visiting(chromium, server.url, ignore_https_errors=True) as visitor,
    ):
        assert server.url.startswith("https://")
        visitor.log_in(server.token)
        visitor.sees("0 boards")
        (cookie,) = visitor.context.cookies()
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
        assert cookie["path"] == "/api/v1"
        assert cookie["value"] != server.token
