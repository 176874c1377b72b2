"""The wall's last lines, and of a board's page the wires, the plan before it is run, boots side by side."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from simulated_lab import MARKUP
from visitor import Visitor, someone, visiting

from hostler.client.client import Client
from hostler.client.waiting import wait_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser
    from serial_line import SerialBoard
    from simulated_lab import SimulatedLab


@pytest.fixture
def held(lab: SimulatedLab) -> Iterator[str]:
    """A claim of the admin's on pc-1; given back at the end."""
    with Client(lab.settings) as client:
        claim = client.claim("pc", name="parts")
        assert claim["boards"] == ["pc-1"]
        yield claim["id"]
        client.kick(claim["id"])
        end = time.monotonic() + 60
        while client.board("pc-1")["lifecycle"] != "available":
            assert time.monotonic() < end, "pc-1 did not come back"
            time.sleep(0.05)


@pytest.fixture
def admin(chromium: Browser, lab: SimulatedLab) -> Iterator[Visitor]:
    with visiting(chromium, lab.settings.url) as visitor:
        visitor.log_in(lab.settings.token)
        yield visitor


def shows_command(visitor: Visitor, line: str) -> None:
    """Wait until the foot of the page shows the command that does the same."""
    expect(visitor.page.locator(".commandbar code")).to_have_text(line)


def said(lab: SimulatedLab, board: SerialBoard, words: bytes) -> None:
    """Have a board say something once its console is recorded: what it says before that nobody hears."""
    with Client(lab.settings) as client:
        end = time.monotonic() + 60
        while not client.console_log("pc-1", since="1h"):
            assert time.monotonic() < end, "the console is not connected"
            board.say(b".")
            time.sleep(0.1)
    board.say(words)


def nothing_ran(visitor: Visitor, title: str) -> None:
    """Tell that no name has become markup."""
    assert visitor.page.locator("main img, main script").count() == 0
    assert visitor.page.title() == title


def test_the_last_line_of_a_console_is_for_who_may_join_it(
    admin: Visitor, chromium: Browser, lab: SimulatedLab, held: str, serial_board: SerialBoard
):
    """It comes by itself, as plain text; a viewer sees none; a share shows it and takes it back."""
    assert held
    page = admin.page
    row = page.locator("li.row", has=page.get_by_role("link", name="pc-1", exact=True))
    said(
        lab,
        serial_board,
        b"\r\n\x1b[2J\x1b[31mred\x1b[0m\r\n\x1b]0;pwned\x07\x1b[1m" + MARKUP.encode() + b"\x00\r\n",
    )
    expect(row.locator(".said code")).to_have_text(MARKUP)
    nothing_ran(admin, "Boards · Hostler")
    vera = someone(lab.settings, "vera", "viewer")
    with visiting(chromium, lab.settings.url) as other:
        other.log_in(vera.token)
        theirs = other.page.locator("li.row", has=other.page.get_by_role("link", name="pc-1", exact=True))
        with Client(lab.settings) as client:
            client.share(held, "vera", "read")
            expect(theirs.locator(".said code")).to_have_text(MARKUP)
            client.unshare(held, "vera")
        expect(theirs.locator(".said")).to_have_count(0)
        serial_board.say(b"login: ")
        expect(row.locator(".said code")).to_have_text("login:")
        # What comes of this to vera's page comes after what her stream told of the line.
        theirs_too = other.page.locator("li.row", has=other.page.get_by_role("link", name="pc-2", exact=True))
        with Client(lab.settings) as client:
            for power in ("off", "on", "off"):
                client.set_power("pc-2", power)
                expect(theirs_too.locator(".power")).to_contain_text(power)
        assert theirs.locator(".said").count() == 0


def test_boards_are_chosen_by_label_and_owner(admin: Visitor, lab: SimulatedLab, held: str):
    """A label or an owner is picked from those there are; the choice is in the address."""
    assert held
    page = admin.page
    with Client(lab.settings) as client:
        text = client.inventory()["text"]
        assert text
        labelled = text.replace("[boards.pc-2]\n", '[boards.pc-2]\nlabels = { rack = "r7" }\n')
        client.apply(labelled, file="lab.toml", dry_run=False)
        page.get_by_label("Label").select_option("rack=r7")
        admin.sees("1 board")
        assert "label=rack%3Dr7" in page.url
        page.get_by_label("Label").select_option("")
        page.get_by_label("Held by").select_option("admin")
        admin.sees("1 board")
        page.get_by_text("until ").first.wait_for()
        page.get_by_label("Held by").select_option("")
        page.get_by_label("Group by").select_option("rack")
        page.get_by_role("heading", name=re.compile("^r7")).wait_for()
        client.apply(text, file="lab.toml", dry_run=False)


def test_a_plan_is_put_together_and_checked_before_it_is_run(admin: Visitor, held: str):
    """Steps are added, moved and taken out; what the server has against them is shown, in its own words."""
    assert held
    page = admin.page
    admin.open("/boards/pc-1")
    for step in ("+ boot", "+ wipe", "+ install"):
        admin.press(step)
    plan = page.get_by_label("Plan")
    expect(plan).to_have_value("boot,wipe,install:bad-one")
    page.get_by_label("What to install, step 3").select_option("debian")
    admin.press("Move down: boot, step 1")
    admin.press("Move down: boot, step 2")
    expect(plan).to_have_value("wipe,install:debian,boot")
    assert page.get_by_label("Move down: boot, step 3").is_disabled()
    admin.sees("It would wipe, install:debian, boot.")
    shows_command(admin, "hostler run pc-1 wipe,install:debian,boot")
    page.get_by_text("Disk and metadata").click()
    page.get_by_label("Disk", exact=True).fill("size>=lots")
    page.locator(".told .bad", has_text="size>=lots").wait_for()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
    page.get_by_label("Disk", exact=True).fill("")
    plan.fill(f"wipe,{MARKUP}")
    page.locator(".told .bad", has_text=f'there is no step "{MARKUP.partition(",")[0]}').wait_for()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
    nothing_ran(admin, "pc-1 · Hostler")
    admin.press("Take out: " + MARKUP + ", step 2", exact=False)
    expect(plan).to_have_value("wipe")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text(re.compile("wipe succeeded")).first.wait_for()
    # What the server said no to the browser counts as errors of its own.
    admin.faults[:] = [fault for fault in admin.faults if "status of 422" not in fault]


def test_wires_are_a_picture_for_the_keyboard_too(admin: Visitor, lab: SimulatedLab):
    """Each wire has its state in words; asking them all brings what the check found."""
    page = admin.page
    admin.open("/boards/pc-1")
    picture = page.get_by_role("group", name="3 wires of pc-1, the arrow keys go through them")
    picture.focus()
    page.keyboard.press("Home")
    picture.get_by_text("Network: boot, 52:54:00:00:00:01: works, has 10.77.0.100.").wait_for()
    page.keyboard.press("ArrowDown")
    picture.get_by_text(re.compile("^Power: fake: ")).wait_for()
    page.keyboard.press("End")
    picture.get_by_text(re.compile("^Console: fake: works, connected")).wait_for()
    page.keyboard.press("Home")
    admin.press("Ask every wire")
    picture.get_by_text("Network: boot, 52:54:00:00:00:01: works, served.").wait_for()
    shows_command(admin, "hostler check pc-1")
    page.get_by_text("All wires in words").click()
    assert page.locator("details[open] .plainlist li").count() == 3
    vic = someone(lab.settings, "vic", "viewer")
    with visiting(page.context.browser, lab.settings.url) as other:  # type: ignore[arg-type]
        other.log_in(vic.token)
        other.open("/boards/pc-1")
        other.page.get_by_role("group", name=re.compile("3 wires of pc-1")).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_boot_is_compared_with_one_that_came_up(
    chromium: Browser, lab: SimulatedLab, held: str, scheme: str, tmp_path: Path
):
    """The last good boot is offered, and stands beneath on the same scale; on a small phone, too."""
    assert held
    with Client(lab.settings) as client:
        disk = tmp_path / "disk.raw"
        disk.write_bytes(bytes(4096))
        client.import_image(f"whole-{scheme}", disk, arch="amd64", platforms=["x86-bios"])
        good = client.deploy("pc-1", f"whole-{scheme}")
        assert wait_run(client, good["id"], seconds=60)["state"] == "succeeded"
        number = client.board("pc-1")["boot"]["number"]
        wait_run(client, client.deploy("pc-1", "bad-one")["id"], seconds=60)
    size = {"width": 320, "height": 640}
    with visiting(chromium, lab.settings.url, color_scheme=scheme, viewport=size) as visitor:
        page = visitor.page
        visitor.log_in(lab.settings.token)
        visitor.open("/boards/pc-1")
        visitor.press(f"Compare with boot {number}, the last that came up")
        second = page.get_by_role("group", name=re.compile(f"^Boot {number}: "))
        second.focus()
        page.keyboard.press("End")
        second.get_by_text(re.compile("Agent done: all steps are done")).wait_for()
        page.keyboard.press("ArrowLeft")
        second.get_by_text(f"10.77.0.100 for 1 h to {MARKUP}").wait_for()
        visitor.press("+ install")
        visitor.sees("It would install")
        page.get_by_text("Disk and metadata").click()
        page.get_by_role("group", name=re.compile("wires of pc-1")).focus()
        page.keyboard.press("Home")
        page.get_by_text("never checked").or_(page.get_by_text("passed its check")).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        assert visitor.troubles() == []
        nothing_ran(visitor, "pc-1 · Hostler")


def test_health_has_a_history(admin: Visitor, lab: SimulatedLab):
    """A check is asked for, and what came of it stands in the list; a reason is text, whatever it says."""
    page = admin.page
    admin.open("/boards/pc-2")
    admin.press("Check its health")
    shows_command(admin, "hostler health pc-2 --check")
    page.locator("ol.events li", has_text="passed its check").first.wait_for()
    with Client(lab.settings) as client:
        client.set_health("pc-2", "bad", MARKUP)
        page.reload()
        page.locator("p.now", has_text=MARKUP).first.wait_for()
        nothing_ran(admin, "pc-2 · Hostler")
        client.set_health("pc-2", "good")


def test_a_console_switches_its_board(admin: Visitor, held: str):
    """Who may type may also power-cycle from the terminal, and sees the command for it."""
    assert held
    admin.open("/boards/pc-1")
    admin.press("Open the console")
    admin.sees("You type.")
    admin.press("Power-cycle")
    admin.sees("It is switched off and on.")
    shows_command(admin, "hostler power pc-1 cycle")
    admin.press("Send BREAK")
    admin.page.get_by_text(re.compile("BREAK")).first.wait_for()
