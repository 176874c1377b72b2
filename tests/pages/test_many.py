"""A lab with more boards and claims than fit a screen: all can be seen, and what is in sight comes first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from playwright.sync_api import expect
from visitor import visiting

from hostler.client.client import Client

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route
    from simulated_lab import SimulatedLab

BOARDS, CLAIMS = 450, 120


def test_all_of_many_boards_are_on_the_wall(chromium: Browser, lab: SimulatedLab) -> None:
    """Every row is drawn in the end, also after a choice that left few of them."""
    with Client(lab.settings) as client:
        one = client.board("pc-1")

    def many(route: Route) -> None:
        rows = [{**one, "name": f"b{number:03d}"} for number in range(BOARDS)]
        told = "".join(f"event: board\ndata: {json.dumps(row)}\n\n" for row in rows)
        route.fulfill(content_type="text/event-stream", body=f"{told}event: complete\ndata: {{}}\n\n")

    with visiting(chromium, lab.settings.url) as visitor:
        page = visitor.page
        page.route("**/api/v1/boards?follow=true*", many)
        visitor.log_in(lab.settings.token)
        rows = page.locator("li.row")
        expect(rows).to_have_count(BOARDS)
        search = page.get_by_role("searchbox")
        search.fill("b00")
        expect(rows).to_have_count(10)
        search.fill("")
        expect(rows).to_have_count(BOARDS)
        expect(rows.last).to_contain_text("b449")
        page.unroute_all(behavior="wait")


def test_long_lists_of_claims_are_shown_on_demand(chromium: Browser, lab: SimulatedLab) -> None:
    """The first fifty are there, with a button for all, by keyboard."""
    with Client(lab.settings) as client:
        made = client.claim("pc", ttl="1h")
        claim = client.get_claim(made["id"])

    def many(route: Route) -> None:
        route.fulfill(json=[{**claim, "id": f"c-{number:012x}"} for number in range(CLAIMS)])

    with visiting(chromium, lab.settings.url) as visitor:
        page = visitor.page
        page.route("**/api/v1/claims", many)
        visitor.log_in(lab.settings.token)
        visitor.open("/claims")
        rows = page.locator("li.claim")
        expect(rows).to_have_count(50)
        button = page.get_by_role("button", name=f"Show all {CLAIMS}")
        button.focus()
        page.keyboard.press("Enter")
        expect(rows).to_have_count(CLAIMS)
        expect(button).to_have_count(0)
        page.unroute_all(behavior="wait")
    with Client(lab.settings) as client:
        client.kick(made["id"])
