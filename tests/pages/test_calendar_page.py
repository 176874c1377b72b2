"""The calendar of claims in a browser: booking in two clicks, by keyboard, for who looks and on a phone."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from visitor import Visitor, someone, visiting

from hostler.client.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator
    from simulated_lab import SimulatedLab


@pytest.fixture
def admin(chromium: Browser, lab: SimulatedLab) -> Iterator[Visitor]:
    with visiting(chromium, lab.settings.url, timezone_id="UTC") as visitor:
        visitor.log_in(lab.settings.token)
        visitor.open("/claims")
        yield visitor


@pytest.fixture(autouse=True)
def _tidy(lab: SimulatedLab) -> Iterator[None]:
    """Leave no booking to the next test."""
    yield
    with Client(lab.settings) as client:
        for claim in client.claims():
            if claim["state"] in ("pending", "active"):
                client.kick(claim["id"])
        end = time.monotonic() + 60
        while any(board["lifecycle"] != "available" for board in client.boards()):
            assert time.monotonic() < end, "the boards did not come back"
            time.sleep(0.05)


def day(visitor: Visitor, row: str, column: int) -> Locator:
    """Return the day of a row; 0 is today."""
    head = visitor.page.get_by_role("rowheader").filter(has_text=re.compile(f"^{row}"))
    return (
        visitor.page.get_by_role("row").filter(has=head).get_by_role("gridcell").nth(column).locator("button")
    )


def at_hour(visitor: Visitor, row: str, column: int, hour: int) -> None:
    """Point at an hour of a day and click."""
    cell = day(visitor, row, column)
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    assert box
    cell.click(position={"x": box["width"] * (hour + 0.5) / 24, "y": box["height"] / 2})


def said(visitor: Visitor, text: str) -> None:
    """Wait until the foot of the page says how the last thing went."""
    expect(visitor.page.locator(".commandbar .outcome")).to_contain_text(text)


def test_two_clicks_make_a_booking(admin: Visitor, chromium: Browser, lab: SimulatedLab):
    """A click on a time and one on Book; others see it at once, who may only look as well, on a phone."""
    page = admin.page
    vera = someone(lab.settings, "vera", "viewer")
    small = {"viewport": {"width": 320, "height": 700}, "color_scheme": "dark", "timezone_id": "UTC"}
    with visiting(chromium, lab.settings.url, **small) as other:
        other.log_in(vera.token)
        other.open("/claims")
        expect(day(other, "pc", 2)).to_contain_text("nothing taken")
        at_hour(admin, "pc", 2, 14)
        when = page.get_by_label("From").input_value()
        assert when.endswith("T14:00")
        admin.sees("2 of 2 free then")
        admin.press("Book")
        said(admin, "pc is booked from")
        expect(page.locator(".commandbar code")).to_have_text(f"hostler claim pc --at {when} --ttl 2h")
        with Client(lab.settings) as client:
            (claim,) = [one for one in client.claims() if one["state"] == "pending"]
        assert datetime.fromisoformat(str(claim["start"])) == datetime.fromisoformat(when).replace(tzinfo=UTC)
        expect(day(other, "pc", 2)).to_contain_text("at most 1 of 2 taken, admin")
        day(other, "pc", 2).click()
        other.page.get_by_role("region", name=re.compile("^pc, ")).get_by_text("admin booked").wait_for()
        assert other.page.get_by_role("button", name="Book", exact=True).count() == 0
        assert other.page.evaluate("document.documentElement.scrollWidth") <= 320
        assert other.troubles() == []
    assert admin.troubles() == []


def test_by_keyboard_and_for_one_board(admin: Visitor, lab: SimulatedLab):
    """Arrow keys go through the days, Enter chooses one, and what cannot be booked is said in words."""
    page, keys = admin.page, admin.page.keyboard
    page.get_by_role("button", name="pc", exact=True).click()
    expect(day(admin, "pc-2", 1)).to_contain_text("nothing taken")
    day(admin, "arm", 0).focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft"):
        keys.press(key)
    expect(day(admin, "pc-1", 1)).to_be_focused()
    assert page.locator('.day[tabindex="0"]').count() == 1
    for count in (1, 2):
        day(admin, "pc-1", 1).focus()
        keys.press("Enter")
        expect(page.get_by_label("From")).to_be_focused()
        page.locator(".booking select").select_option("4h")
        when = page.get_by_label("From").input_value()
        page.get_by_role("button", name="Book", exact=True).focus()
        keys.press("Enter")
        expect(page.locator(".booking li")).to_have_count(count)
        said(admin, "pc-1 is booked from")
        expect(page.locator(".commandbar code")).to_have_text(
            f"hostler claim --board pc-1 --at {when} --ttl 4h"
        )
        expect(day(admin, "pc-1", 1)).to_contain_text("at most 1 of 1 taken")
    with Client(lab.settings) as client:
        found = [claim for claim in client.claims() if claim["state"] == "pending"]
    assert len(found) == 2  # the second one begins when the first is over and the board wiped
    page.get_by_role("button", name="Later").click()
    expect(day(admin, "pc-1", 1)).to_contain_text("nothing taken")
