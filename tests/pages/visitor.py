"""Somebody at a browser: Debian's Chromium on the pages of a running server."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.client.client import Client
from hostler.client.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

WAIT = 60_000
"""Longest wait for anything on a page, in milliseconds: the machine may be busy."""
AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"


@dataclass
class Visitor:
    """A browser of their own, logged in or not.

    Attributes:
        page: What they look at.
        url: The server.
        foreign: Requests to any other host.
        faults: Errors of scripts, and what the browser refused to load or run.
    """

    context: BrowserContext
    page: Page
    url: str
    foreign: list[str]
    faults: list[str]

    def log_in(self, token: str) -> None:
        """Log in by the page."""
        self.page.goto(self.url)
        self.page.get_by_label("Your token").fill(token)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("button", name="Log out").wait_for()

    def open(self, path: str) -> None:
        """Open a page by its address."""
        self.page.goto(self.url + path)

    def press(self, name: str, *, exact: bool = True) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name, exact=exact).click()

    def sees(self, text: str) -> None:
        """Wait until a text is there to be seen."""
        self.page.get_by_text(text).first.wait_for()

    def troubles(self) -> list[str]:
        """Return what axe-core finds against WCAG 2.2 AA on the page, all of it in sight."""
        size = self.page.viewport_size
        assert size is not None
        height = self.page.evaluate("document.documentElement.scrollHeight")
        self.page.set_viewport_size({"width": size["width"], "height": max(height, size["height"])})
        self.page.evaluate(AXE.read_text())
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = self.page.evaluate("tags => axe.run(document, {runOnly: tags})", tags)
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]


@contextmanager
def visiting(chromium: Browser, url: str, also: str = "", **options: Any) -> Iterator[Visitor]:
    """Open a browser; at the end nothing may have failed in it, and nothing have gone elsewhere.

    Args:
        chromium: The browser.
        url: The server.
        also: Another server it may go to, and what that one says is not our fault; empty: none.
        options: For the browser.
    """
    context = chromium.new_context(**options)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    visitor = Visitor(context, page, url, [], [])

    own = (f"{url}/", url.replace("http", "ws", 1), "data:", *([f"{also}/"] if also else []))

    def elsewhere() -> bool:
        return bool(also) and page.url.startswith(f"{also}/")

    def requested(request: Request) -> None:
        if not request.url.startswith(own) and not elsewhere():
            visitor.foreign.append(request.url)

    def said(message: ConsoleMessage) -> None:
        if elsewhere():
            return
        # That nobody is logged in yet is asked for, and the browser calls the answer an error.
        if message.type in ("error", "warning") and "401" not in message.text and "403" not in message.text:
            visitor.faults.append(message.text)

    if also:  # what it asks of third parties must not keep anybody waiting who has no way there
        context.route(lambda address: not address.startswith(own), lambda route: route.abort())
    context.on("request", requested)
    page.on("console", said)
    page.on("pageerror", lambda error: visitor.faults.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    try:
        yield visitor
    finally:
        context.close()
    assert visitor.foreign == [], visitor.foreign
    assert visitor.faults == [], visitor.faults


def someone(lab_settings: Settings, name: str, role: str) -> Settings:
    """Let somebody in and return their settings."""
    with Client(lab_settings) as client:
        made = client.add_principal(name, role)
    return Settings(lab_settings.url, str(made["token"]))


def chromium_options() -> dict[str, Any]:
    """Return how Debian's Chromium is started; as root it has no sandbox of its own."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {"executable_path": "/usr/bin/chromium", "args": arguments}
