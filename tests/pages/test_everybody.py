"""The pages are for everybody: by keyboard, on a phone, in the dark, by screen reader; and for no script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from visitor import visiting

from hostler.client.client import Client
from hostler.client.waiting import wait_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser
    from serial_line import SerialBoard
    from simulated_lab import SimulatedLab

EVIL = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>"


@pytest.fixture(scope="module")
def busy(lab: SimulatedLab) -> Iterator[SimulatedLab]:
    """A lab with a claim, one that waits, a boot with a verdict, and names that would be markup."""
    with Client(lab.settings) as client:
        text = client.inventory()["text"]
        assert text
        text = text.replace(
            '[boards.pc-1]\nclass = "pc"\n', f'[boards.pc-1]\nclass = "pc"\nlabels = {{ note = "{EVIL}" }}\n'
        )
        client.apply(text, file="lab.toml", dry_run=False)
        claim = client.claim("pc", name="work")
        assert claim["boards"] == ["pc-1"]
        run = client.deploy("pc-1", "bad-one")
        wait_run(client, run["id"], seconds=60)
        client.claim("arm")
        client.claim("arm", wait=True)
    return lab


PATHS = ["/", "/boards/pc-1", "/claims", "/images", "/events"]


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1200), ("dark", 390)], ids=["light, wide", "dark, phone"]
)
def test_nothing_keeps_anybody_out(chromium: Browser, busy: SimulatedLab, scheme: str, width: int):
    """Nothing is found against WCAG 2.2 AA on any page, light or dark, and nothing is wider than a phone."""
    size = {"width": width, "height": 800}
    with visiting(chromium, busy.settings.url, color_scheme=scheme, viewport=size) as visitor:
        page = visitor.page
        visitor.open("/")
        page.get_by_label("Your token").wait_for()
        found = {"/login": visitor.troubles()}
        visitor.log_in(busy.settings.token)
        for path in PATHS:
            visitor.open(path)
            visitor.sees(
                {"/": "3 boards", "/images": "slow-one", "/claims": "in the queue"}.get(path, "pc-1")
            )
            if path == "/boards/pc-1":
                visitor.sees("disk is broken")
                page.locator(".waterfall").wait_for()
                visitor.press("Open the console")
                page.locator(".screen .xterm-rows").wait_for()
            found[path] = visitor.troubles()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert {path: troubles for path, troubles in found.items() if troubles} == {}


def test_the_keyboard_alone_is_enough(chromium: Browser, busy: SimulatedLab):
    """From the door to an extended claim without a mouse: what has the focus is always to be seen."""
    with visiting(chromium, busy.settings.url) as visitor:
        page, keys = visitor.page, visitor.page.keyboard
        visitor.open("/")
        page.get_by_label("Your token").wait_for()
        expect(page.get_by_label("Your token")).to_be_focused()
        keys.insert_text(busy.settings.token)
        keys.press("Enter")
        visitor.sees("3 boards")
        keys.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        for _ in range(40):
            keys.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "pc-1":
                break
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) == "solid"
        keys.press("Enter")
        page.get_by_role("heading", name="pc-1").wait_for()
        page.get_by_role("button", name="Extend by 1 hour").wait_for()
        for _ in range(40):
            keys.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "Extend by 1 hour":
                break
        expect(page.locator(".commandbar code")).to_have_text(re.compile("^hostler extend c-.* --by 1h$"))
        keys.press("Enter")
        visitor.sees("An hour longer.")


def test_no_name_becomes_markup(chromium: Browser, busy: SimulatedLab, serial_board: SerialBoard):
    """Labels and what a board prints are shown as they are; other names are refused when they are given."""
    with visiting(chromium, busy.settings.url) as visitor:
        page = visitor.page
        visitor.log_in(busy.settings.token)
        page.locator("li.row .labels").get_by_text(f"note={EVIL}").wait_for()
        visitor.open("/events")
        visitor.sees("claim.granted")
        visitor.open("/boards/pc-1")
        page.locator("dl.facts").get_by_text(EVIL).wait_for()
        visitor.press("Open the console")
        visitor.sees("You type.")
        serial_board.say(
            b"\x1b]0;pwned\x07\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\x1b]52;c;aGk=\x07\r\n"
        )
        serial_board.say(b"\x1b[38;2;9;200;9mgreen\x1b[0m " + EVIL[:50].encode() + b"\r\n")
        rows = page.locator(".screen .xterm-rows")
        rows.scroll_into_view_if_needed()
        rows.get_by_text("link").click(force=True)  # what takes clicks lies over the rows
        rows.get_by_text(EVIL[:50]).wait_for()
        # The policy lets colours through though it forbids style attributes.
        expect(rows.get_by_text("green")).to_have_css("color", "rgb(9, 200, 9)")
        page.get_by_label("In the log of this claim").fill("onerror")
        visitor.press("Search")
        page.locator(".logsearch code", has_text="onerror").first.wait_for()
        assert page.locator("main img, main script, main a[href^=javascript]").count() == 0
        assert page.title() == "pc-1 · Hostler"
        assert len(visitor.context.pages) == 1
