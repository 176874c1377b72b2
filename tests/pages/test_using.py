"""What people do with the pages, in a browser against the real server with a rack that plays its part."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from visitor import Visitor, someone, visiting

from hostler.client.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page
    from serial_line import SerialBoard
    from simulated_lab import SimulatedLab


@pytest.fixture
def visitor(chromium: Browser, lab: SimulatedLab) -> Iterator[Visitor]:
    with visiting(chromium, lab.settings.url) as visitor:
        yield visitor


@pytest.fixture
def admin(visitor: Visitor, lab: SimulatedLab) -> Visitor:
    visitor.log_in(lab.settings.token)
    return visitor


@pytest.fixture(autouse=True)
def _tidy(lab: SimulatedLab) -> Iterator[None]:
    """Leave no claim to the next test."""
    yield
    with Client(lab.settings) as client:
        for claim in client.claims():
            if claim["state"] in ("pending", "active"):
                client.kick(claim["id"])
        end = time.monotonic() + 60
        while any(board["lifecycle"] != "available" for board in client.boards()):
            assert time.monotonic() < end, "the boards did not come back"
            time.sleep(0.05)


def row(page: Page, name: str):
    """Return a board's row of the wall."""
    return page.locator("li.row", has=page.get_by_role("link", name=name, exact=True))


def shows_command(visitor: Visitor, line: str) -> None:
    """Wait until the foot of the page shows the command that does the same."""
    expect(visitor.page.locator(".commandbar code")).to_have_text(line)


def test_logging_in_and_out(visitor: Visitor, lab: SimulatedLab):
    """A wrong token is refused in words; a right one logs in, no script reads it, and logging out ends it."""
    page = visitor.page
    visitor.open("/")
    page.get_by_label("Your token").fill("hst_wrong")
    visitor.press("Log in")
    page.get_by_role("alert").get_by_text("this token is not known").wait_for()
    visitor.log_in(lab.settings.token)
    assert page.evaluate("document.cookie") == ""
    assert lab.settings.token not in page.content()
    (cookie,) = visitor.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.reload()
    visitor.sees("3 boards")
    visitor.press("Log out")
    page.get_by_label("Your token").wait_for()
    assert visitor.context.cookies() == []
    again = page.request.get(
        f"{visitor.url}/api/v1/me", headers={"Authorization": f"Bearer {cookie['value']}"}
    )
    assert again.status == 401


def test_the_wall_is_live_and_filtered(admin: Visitor, chromium: Browser, lab: SimulatedLab):
    """What one person does another sees without doing anything; the filter is in the address."""
    page = admin.page
    admin.sees("3 boards")
    anna = someone(lab.settings, "anna", "member")
    with visiting(chromium, lab.settings.url) as other:
        other.log_in(anna.token)
        other.open("/boards/pc-2")
        other.press("Claim for 2 hours")
        other.sees("It is yours for 2 hours.")
        shows_command(other, "hostler claim --board pc-2 --ttl 2h")
        held = row(page, "pc-2")
        held.get_by_text("claimed").wait_for()
        assert "anna" in held.inner_text()
        assert "h" in held.inner_text()
        other.press("Power on")
        expect(held.locator(".power")).to_contain_text("on")
        page.get_by_label("Find").fill("anna")
        admin.sees("1 board")
        assert page.url.endswith("?q=anna")
        page.reload()
        row(page, "pc-2").wait_for()
        assert row(page, "pc-1").count() == 0
        page.get_by_label("Held by").select_option("nobody")
        admin.sees("0 boards")
        page.get_by_label("Find").fill("")
        admin.sees("2 boards")
        page.get_by_label("Group by").select_option("network")
        page.get_by_role("heading", name=re.compile("^boot")).wait_for()
        page.get_by_role("link", name="Claims").click()
        page.get_by_text("1 of 2 free").wait_for()
        other.press("Release")
        page.get_by_text("2 of 2 free").wait_for()


def test_a_deployment_moves_and_is_called_off(admin: Visitor):
    """A board is claimed, installed with progress, and the run called off; each has its command."""
    page = admin.page
    admin.open("/boards/pc-1")
    admin.press("Claim for 2 hours")
    page.get_by_label("Image").select_option("slow-one")
    admin.press("Deploy")
    bar = page.get_by_role("progressbar").first  # the history shows it, too
    bar.wait_for()
    shows_command(admin, "hostler deploy pc-1 slow-one")
    first = float(bar.get_attribute("value") or 0)
    page.wait_for_function(
        "first => Number(document.querySelector('progress')?.getAttribute('value')) > first", arg=first
    )
    page.get_by_text(re.compile(r"\d+ % of 100 MB, .*/s")).wait_for()
    assert page.get_by_role("button", name="Power on").is_disabled()
    admin.press("Cancel the run")
    page.get_by_text(re.compile("install:slow-one,boot cancelled")).first.wait_for()
    page.get_by_label("Plan").fill("wipe")
    shows_command(admin, "hostler run pc-1 wipe")
    page.get_by_role("button", name="+ boot").click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text(re.compile("wipe,boot succeeded")).first.wait_for()


def test_a_failure_has_its_reason_and_its_picture(admin: Visitor, lab: SimulatedLab):
    """A run that fails says why; the boot is a picture for the keyboard, too, with a verdict on top."""
    page = admin.page
    admin.open("/boards/pc-1")
    admin.press("Claim for 2 hours")
    page.get_by_label("Image").select_option("bad-one")
    admin.press("Deploy")
    page.get_by_text(re.compile("failed: disk is broken")).first.wait_for()
    with Client(lab.settings) as client:
        verdict = client.why("pc-1")
    page.locator(".verdict").get_by_text(verdict["text"]).wait_for()
    picture = page.get_by_role("group", name=re.compile(r"^Boot \d+: \d+ events"))
    assert picture.locator("svg circle, svg rect.good, svg rect.plain").count() >= 2
    picture.focus()
    page.keyboard.press("Home")
    picture.get_by_text(re.compile("Power on: switched on")).wait_for()
    page.keyboard.press("ArrowRight")
    picture.get_by_text(re.compile("DHCP ack: 10.77.0.100 for 1 h")).wait_for()
    page.get_by_text("As a list").click()
    page.locator("details[open] li", has_text="dhcp ack").wait_for()
    shows_command(admin, "hostler trace pc-1")


def test_the_console_is_typed_on_and_handed_over(
    admin: Visitor, chromium: Browser, lab: SimulatedLab, serial_board: SerialBoard
):
    """What is typed reaches the board; a second viewer sees it, takes the keyboard and gives it back."""
    page = admin.page
    assert not [url for url in scripts(page) if "Console" in url]
    admin.open("/boards/pc-1")
    admin.press("Claim for 2 hours")
    admin.sees("It is yours for 2 hours.")
    with Client(lab.settings) as client:
        (claim,) = client.claims()
        bert = someone(lab.settings, "bert", "member")
        client.share(claim["id"], "bert")
    admin.press("Open the console")
    admin.sees("You type.")
    page.keyboard.type("uname\n")
    terminal(page, "UNAME")
    assert b"uname\r" in bytes(serial_board.heard)
    assert [url for url in scripts(page) if "Console" in url]
    with visiting(chromium, lab.settings.url) as other:
        other.log_in(bert.token)
        other.open("/boards/pc-1")
        other.press("Open the console")
        terminal(other.page, "UNAME")
        other.sees("admin types.")
        other.press("Take the keyboard")
        other.sees("You type.")
        admin.sees("bert took the keyboard")
        admin.sees("bert types.")
        other.page.locator(".screen textarea").focus()
        other.page.keyboard.type("id\n")
        terminal(page, "ID")
        admin.press("Ask for it")
        other.sees("admin asks for the keyboard")
        other.press("Hand over to admin")
        admin.sees("You type.")
        other.page.locator(".screen textarea").focus()
        other.page.keyboard.press("Control+]")
        assert other.page.evaluate("document.activeElement.textContent") == "Close"
    page.get_by_label("In the log of this claim").fill("UNA.E")
    admin.press("Search")
    page.locator(".logsearch code", has_text="UNAME").first.wait_for()
    shows_command(admin, f"hostler console pc-1 --log --claim {claim['id']} --search UNA.E")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the log").click()
    assert b"UNAME" in download.value.path().read_bytes()


def scripts(page: Page) -> list[str]:
    """Return the addresses of what the page has fetched."""
    return page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")


def terminal(page: Page, text: str) -> None:
    """Wait until the terminal shows a text; what is out of sight it does not draw."""
    page.locator(".screen").scroll_into_view_if_needed()
    expect(page.locator(".screen .xterm-rows")).to_contain_text(text)


def test_the_queue_has_places(admin: Visitor):
    """A claim takes two clicks; when nothing is free it queues, with its place, and can be taken back."""
    page = admin.page
    for _ in range(2):
        page.get_by_role("link", name="Claims").click()
        page.get_by_role("button", name="Claim pc").click()
        page.get_by_text("is yours.").wait_for()
        page.get_by_role("link", name="Events").click()
    page.get_by_role("link", name="Claims").click()
    page.get_by_label("how long, pc").select_option("30m")
    page.get_by_role("button", name="Queue pc").click()
    page.get_by_text("You are number 1 in the queue.").wait_for()
    shows_command(admin, "hostler claim pc --ttl 30m --wait")
    waiting = page.locator("li.claim", has_text="pending")
    waiting.get_by_text(re.compile("number 1 in the queue")).wait_for()
    active = page.locator("li.claim", has_text="active").first
    before = active.get_by_text(re.compile("^until")).inner_text()
    active.get_by_role("button", name="Extend by 1 hour").click()
    active.get_by_text(before).wait_for(state="detached")
    waiting.get_by_role("button", name="Take back").click()
    waiting.wait_for(state="detached")
    page.get_by_role("link", name="Images").click()
    page.get_by_role("row", name=re.compile("^slow-one disk amd64: x86-bios 1.0 MB")).wait_for()


def test_a_viewer_looks_and_does_nothing(visitor: Visitor, lab: SimulatedLab):
    """Who may only look is offered nothing to do, and is refused when asking all the same."""
    vera = someone(lab.settings, "vera", "viewer")
    visitor.log_in(vera.token)
    page = visitor.page
    visitor.open("/boards/pc-1")
    visitor.sees("available")
    for name in ("Claim for 2 hours", "Power on", "Deploy", "Release"):
        assert page.get_by_role("button", name=name).count() == 0
    page.get_by_role("link", name="Claims").click()
    page.get_by_text("2 of 2 free").wait_for()
    assert page.get_by_role("button", name="Claim pc").count() == 0
    status = page.evaluate(
        "fetch('/api/v1/claims', {method: 'POST', body: '{\"class\":\"pc\"}',"
        " headers: {'Content-Type': 'application/json'}}).then(answer => answer.status)"
    )
    assert status == 403


def test_who_is_shut_out_is_back_at_the_door(visitor: Visitor, lab: SimulatedLab):
    """When a principal is disabled, the open page asks for a token by itself."""
    carl = someone(lab.settings, "carl", "member")
    visitor.log_in(carl.token)
    visitor.sees("3 boards")
    with Client(lab.settings) as client:
        client.change_principal("carl", disabled=True)
    visitor.page.get_by_label("Your token").wait_for()


def test_the_events_go_on(admin: Visitor, lab: SimulatedLab):
    """The newest stand on top, by kind if asked, and what happens now is added."""
    page = admin.page
    admin.open("/events")
    page.get_by_text("inventory.applied").wait_for()
    page.get_by_label("Kind").fill("claim.*")
    page.keyboard.press("Enter")
    page.get_by_text("inventory.applied").wait_for(state="detached")
    shows_command(admin, "hostler events --follow --kind 'claim.*'")
    with Client(lab.settings) as client:
        client.claim("pc", name="seen-live")
    page.locator("ol.events li").first.get_by_text("claim.granted").wait_for()
