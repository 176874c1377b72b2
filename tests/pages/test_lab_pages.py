"""Switches, lab check and admin: `hostler serve` with a PoE switch that answers SNMP, used in a browser."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from lamps import Lamp
from playwright.sync_api import expect
from visitor import Visitor, someone, visiting

from hostler.client.client import Client
from hostler.client.settings import Settings
from hostler.virtual.switch import PoeSwitch, SnmpAgent
from running_server import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Route

EVIL = "<img src=x onerror=alert(1)>"
STRANGER = "52:54:00:aa:bb:cc"
LAB = """
[lab]
name = "bench"
[networks.boot]
interface = "eth9"
address = "10.9.0.1/24"
dhcp = "off"
[equipment.poe1]
driver = "snmp-poe"
host = "127.0.0.1:{port}"
community = "file:{community}"
[equipment.shelf]
driver = "telnet"
host = "127.0.0.1"
[classes.pc]
platform = "x86-bios"
[classes.bare]
platform = "x86-bios"
[boards.pc-1]
class = "pc"
mac = "52:54:00:00:00:01"
power = {{ equipment = "poe1", port = 1 }}
console = {{ equipment = "shelf", port = 9 }}
[boards.pc-2]
class = "pc"
mac = "52:54:00:00:00:02"
power = {{ equipment = "poe1", port = 2 }}
[boards.bare-1]
class = "bare"
mac = "52:54:00:00:00:03"
"""


@dataclass
class Poe:
    """The lab: how to reach its server, and what hangs on the switch."""

    settings: Settings
    lamps: dict[int, Lamp]


@contextmanager
def agent(switch: PoeSwitch) -> Iterator[int]:
    """Answer SNMP for a switch in a thread of its own; yields the UDP port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    making = loop.create_datagram_endpoint(lambda: SnmpAgent(switch, "test"), local_addr=("127.0.0.1", 0))
    transport, _ = asyncio.run_coroutine_threadsafe(making, loop).result(20)
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        loop.call_soon_threadsafe(transport.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


@pytest.fixture(scope="module")
def poe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poe]:
    """Two boards on a switch with eight ports, another heard on port 2, and on port 5 nobody knows who."""
    folder = tmp_path_factory.mktemp("poe")
    lamps = {1: Lamp(), 2: Lamp()}
    switch = PoeSwitch(8, lamps)
    switch.learn({"52:54:00:00:00:01": 1, "52:54:00:00:00:03": 2, STRANGER: 5})
    (folder / "community").write_text("test")
    with agent(switch) as port:
        (folder / "lab.toml").write_text(LAB.format(port=port, community=folder / "community"))
        with running_server(folder / "state", "--config", str(folder / "lab.toml")) as server:
            yield Poe(Settings(server.url, server.token), lamps)


def end(visitor: Visitor, name: str) -> Locator:
    """Return a button of a front by what it is called."""
    return visitor.page.get_by_role("button", name=re.compile(f"^{name},"))


def shows_command(visitor: Visitor, line: str) -> None:
    """Wait until the foot of the page shows the command that does the same."""
    expect(visitor.page.locator(".commandbar code")).to_have_text(line)


def test_a_switch_is_seen_and_a_board_switched_from_its_port(chromium: Browser, poe: Poe) -> None:
    """Ports show power, link, VLAN, boards and strangers as read; a power button switches the real port."""
    with visiting(chromium, poe.settings.url) as visitor:
        page = visitor.page
        visitor.log_in(poe.settings.token)
        page.get_by_role("link", name="Switches").click()
        page.get_by_text("once for all who look").wait_for()
        shows_command(visitor, "hostler equipment")
        expect(page.get_by_role("toolbar", name="Ends of poe1").get_by_role("button")).to_have_count(8)
        end(visitor, "port 5").click()
        visitor.sees(f"1 nobody knows: {STRANGER}")
        end(visitor, "port 2").click()
        visitor.sees("bare-1 is heard here, and lab.toml has it elsewhere")
        first = end(visitor, "port 1")
        first.focus()
        page.keyboard.press("ArrowRight")
        expect(end(visitor, "port 2")).to_be_focused()
        page.keyboard.press("Home")
        expect(first).to_be_focused()
        shows_command(visitor, "hostler show pc-1")
        expect(first).to_have_accessible_name(re.compile("off.*no link.*VLAN 1"))
        visitor.press("Power on pc-1")
        shows_command(visitor, "hostler power pc-1 on")
        expect(first).to_have_accessible_name(re.compile("on, pc-1.*link up.*VLAN 1"))
        assert poe.lamps[1].fed
        visitor.sees("group 1: 7 of 120 W")
        with page.expect_event("dialog") as dialog:
            visitor.press("Power off pc-1")
        assert dialog.value.message == "Power off pc-1, which nobody holds?"
        expect(first).to_have_accessible_name(re.compile("off, pc-1"))
        assert not poe.lamps[1].fed
        page.get_by_role("link", name="shelf 1").click()
        assert page.url.endswith("/switches?unit=shelf")
        visitor.sees("It cannot be asked as a whole")
        expect(end(visitor, "port 9")).to_have_accessible_name(re.compile("pc-1.*not connected"))


def test_equipment_that_leaves_takes_nothing_else_along(chromium: Browser, poe: Poe) -> None:
    """Who looks at fronts when one leaves lab.toml is shown the others, and that it is gone."""
    with Client(poe.settings) as client, visiting(chromium, poe.settings.url) as visitor:
        text = client.inventory()["text"]
        client.apply(f'{text}\n[equipment.leaving]\ndriver = "telnet"\nhost = "127.0.0.1"\n')
        visitor.log_in(poe.settings.token)
        visitor.open("/switches")
        left = visitor.page.get_by_role("link", name="leaving 0")
        left.wait_for()
        client.apply(text)
        expect(left).to_have_count(0)
        ends = visitor.page.get_by_role("toolbar", name="Ends of poe1").get_by_role("button")
        expect(ends).to_have_count(8)
        visitor.sees("and other equipment, 2")


def test_a_chosen_port_stays_or_goes_but_is_never_another(chromium: Browser, poe: Poe) -> None:
    """Ports come and go between readings; what switches power is that of the port chosen, or is not there."""
    missing: list[str] = ["port 3"]

    def fewer(route: Route) -> None:
        # The stream ends after the whole, and is asked for again.
        headers = {"Authorization": f"Bearer {poe.settings.token}"}
        panel = page.request.get(
            f"{poe.settings.url}/api/v1/equipment/poe1?wait=true", headers=headers
        ).json()
        ends = [
            {**end, "id": end["place"], "equipment": "poe1"}
            for end in panel["ends"]
            if end["place"] not in missing
        ]
        told = [("end", end) for end in ends]
        told.append(("front", {**panel, "ends": [end["id"] for end in ends]}))
        body = "".join(f"event: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in told)
        route.fulfill(content_type="text/event-stream", body=body)

    with visiting(chromium, poe.settings.url) as visitor:
        page = visitor.page
        visitor.log_in(poe.settings.token)
        page.route("**/api/v1/equipment?follow=true&unit=poe1", fewer)
        visitor.open("/switches?unit=poe1")
        ends = page.get_by_role("toolbar", name="Ends of poe1").get_by_role("button")
        expect(ends).to_have_count(7)
        found = page.get_by_role("button", name=re.compile("^Power on"))
        expect(found).to_have_count(0)
        end(visitor, "port 2").click()
        expect(found).to_have_accessible_name("Power on pc-2")
        missing[:] = ["port 1"]
        expect(end(visitor, "port 1")).to_have_count(0)
        expect(end(visitor, "port 2")).to_have_attribute("aria-pressed", "true")
        expect(found).to_have_accessible_name("Power on pc-2")
        missing[:] = ["port 2"]
        expect(end(visitor, "port 2")).to_have_count(0)
        expect(found).to_have_count(0)
        page.unroute_all(behavior="wait")


def test_others_see_what_hangs_where_and_switch_only_what_they_hold(chromium: Browser, poe: Poe) -> None:
    """A member switches the board they hold and no other; a viewer none; places are for admins."""
    anna, vera = someone(poe.settings, "anna", "member"), someone(poe.settings, "vera", "viewer")
    with Client(anna) as client:
        claim = client.claim(wants=[{"board": "pc-2"}])
        assert claim["boards"] == ["pc-2"]
    for settings, buttons in ((anna, ["Power on pc-2", "Power off pc-2", "Power cycle pc-2"]), (vera, [])):
        with visiting(chromium, settings.url) as visitor:
            page = visitor.page
            visitor.log_in(settings.token)
            visitor.open("/switches?unit=poe1")
            visitor.sees("is for admins; you see which boards hang on what")
            ends = page.get_by_role("toolbar", name="Ends of poe1").get_by_role("button")
            expect(ends).to_have_count(2)
            for number in range(2):
                ends.nth(number).click()
            page.locator(".portdetail").get_by_text("anna").wait_for()
            assert STRANGER not in page.content()
            found = page.get_by_role("button", name=re.compile("^Power "))
            expect(found).to_have_count(len(buttons))
            assert [re.sub(r"\s+", " ", text).strip() for text in found.all_text_contents()] == buttons
            if buttons:
                visitor.press("Power on pc-2")
                expect(ends.nth(1)).to_have_accessible_name(re.compile("on, pc-2"))
                visitor.press("Power off pc-2")
                expect(ends.nth(1)).to_have_accessible_name(re.compile("off, pc-2"))
    with Client(anna) as client:
        client.release(claim["id"])


def test_the_lab_is_checked_with_what_to_do(chromium: Browser, poe: Poe) -> None:
    """The last result stays with its time; a look names what is wrong and what to do; admins try wires."""
    with visiting(chromium, poe.settings.url) as visitor:
        page = visitor.page
        visitor.log_in(poe.settings.token)
        page.get_by_role("link", name="Lab check").click()
        shows_command(visitor, "hostler check --last")
        look = page.get_by_role("region", name="A look at every wire")
        look.get_by_text("Never done.").wait_for()
        # Answers that take longer than the page waits between two questions are shown all the same.
        line = visitor.context.new_cdp_session(page)
        slow = {"offline": False, "latency": 1500, "downloadThroughput": -1, "uploadThroughput": -1}
        line.send("Network.emulateNetworkConditions", slow)
        visitor.press("Look again")
        look.get_by_text("console of pc-1").wait_for()
        look.get_by_text("look at the serial adapter").wait_for()
        look.get_by_text("network boot").wait_for()
        look.get_by_text(re.compile(r"for admin$")).wait_for()
        line.send("Network.emulateNetworkConditions", {**slow, "latency": 0})
        page.reload()
        look.get_by_text("console of pc-1").wait_for()
        trial = page.get_by_role("region", name="A trial of wires")
        trial.get_by_label("Try").select_option(label="bare")
        visitor.press("Try wires")
        shows_command(visitor, "hostler check --active --all --class bare")
        trial.get_by_text("not tested").wait_for()
        trial.get_by_text("has no power wire in lab.toml").wait_for()
        trial.get_by_label("Try").select_option(label="pc-1")
        visitor.press("Try wires")
        trial.get_by_role("progressbar", name="Boards done").wait_for()
        assert visitor.troubles() == []
        page.get_by_role("button", name="Call it off").focus()
        page.keyboard.press("Enter")
        shows_command(visitor, "hostler check --stop")
        trial.get_by_text("admin called it off").wait_for()
        with Client(poe.settings) as client:
            assert client.board("pc-1")["lifecycle"] == "available"
    eva = someone(poe.settings, "eva", "viewer")
    with visiting(chromium, poe.settings.url) as visitor:
        visitor.log_in(eva.token)
        visitor.open("/check")
        visitor.sees("console of pc-1")
        visitor.sees("Admins may try them")
        assert visitor.page.get_by_role("button", name="Try wires").count() == 0


def test_an_admin_lets_people_in_and_shuts_them_out(chromium: Browser, poe: Poe) -> None:
    """People, projects, quotas and tokens are made and ended; a token is shown once; names are no markup."""
    with visiting(chromium, poe.settings.url) as visitor, visiting(chromium, poe.settings.url) as other:
        page = visitor.page
        visitor.log_in(poe.settings.token)
        page.get_by_role("link", name="Admin").click()
        page.get_by_label("Name", exact=True).fill("carl")
        visitor.press("Let somebody in")
        shows_command(visitor, "hostler principal add carl --role member")
        first = page.locator(".once code").inner_text()
        visitor.press("I have it")
        other.log_in(first)
        page.get_by_label("Role of carl").select_option("viewer")
        visitor.press("Change role of carl")
        visitor.sees("carl is viewer now.")
        page.get_by_role("link", name="Projects").click()
        page.get_by_label("New project").fill("red")
        visitor.press("Make a project")
        red = page.get_by_role("article", name="Project red")
        red.get_by_label("Member of red").fill("carl")
        visitor.press("Put in to red")
        red.locator("li", has_text="carl").wait_for()
        red.get_by_text("Weight, quotas").click()
        red.get_by_label("at most").fill("3")
        visitor.press("Set quota")
        shows_command(visitor, "hostler project set red --quota '*=3'")
        red.get_by_text("of 3").wait_for()
        page.get_by_role("link", name="Tokens").click()
        page.get_by_label("For what").fill(EVIL)
        page.get_by_label("whose").fill("carl")
        visitor.press("Make a token")
        shows_command(visitor, f"hostler token add '{EVIL}' --expires 30d --for carl")
        token = page.locator(".once code").inner_text()
        page.get_by_label("of everybody").check()
        visitor.press(f"Revoke {EVIL}")
        visitor.sees("It is ended.")
        assert token not in page.locator(".plainrows").inner_text()
        assert page.locator("main img").count() == 0
        ended = page.request.get(f"{visitor.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert ended.status == 401
        page.get_by_role("link", name="People").click()
        visitor.press("Shut out carl")
        visitor.sees("carl is shut out.")
        other.open("/claims")
        other.page.get_by_label("Your token").wait_for()
        page.get_by_role("link", name="Audit").click()
        visitor.sees("carl")
        visitor.open("/admin?part=holdings")
        visitor.sees("Who holds what")


def test_a_member_sees_what_is_theirs_and_cannot_act(chromium: Browser, poe: Poe) -> None:
    """Nothing but their own tokens can be changed; their projects and who holds what are seen."""
    dora = someone(poe.settings, "dora", "member")
    with Client(poe.settings) as client:
        client.add_project("green")
        client.set_member("green", "dora", "member")
        client.claim(wants=[{"board": "bare-1"}])
    with visiting(chromium, poe.settings.url) as visitor:
        page = visitor.page
        visitor.log_in(dora.token)
        visitor.open("/admin")
        visitor.sees("dora (you)")
        assert page.locator("main button").count() == 0
        visitor.open("/admin?part=projects")
        page.get_by_role("article", name="Project green").wait_for()
        assert page.locator("main button").count() == 0
        visitor.open("/admin?part=holdings")
        page.get_by_role("link", name="bare-1").wait_for()
        assert page.locator("main button").count() == 0
        visitor.open("/admin?part=tokens")
        page.get_by_label("For what").fill("mine")
        assert page.get_by_label("whose").count() == page.get_by_label("of everybody").count() == 0
        visitor.press("Make a token")
        page.locator(".once code").wait_for()


PATHS = {
    "/switches?unit=poe1": "once for all who look",
    "/check": "A trial of wires",
    "/admin": "Let somebody in",
    "/admin?part=projects": "Make a project",
    "/admin?part=tokens": "Make a token",
    "/admin?part=keys": "Add the key",
    "/admin?part=hooks": "Add a hook",
    "/admin?part=holdings": "Who holds what",
}


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1200), ("dark", 320)], ids=["light, wide", "dark, phone"]
)
def test_nothing_keeps_anybody_out(chromium: Browser, poe: Poe, scheme: str, width: int) -> None:
    """No page has anything against WCAG 2.2 AA, light or dark, and none is wider than a phone."""
    size = {"width": width, "height": 800}
    with visiting(chromium, poe.settings.url, color_scheme=scheme, viewport=size) as visitor:
        page = visitor.page
        visitor.log_in(poe.settings.token)
        found = {}
        for path, text in PATHS.items():
            visitor.open(path)
            visitor.sees(text)
            for summary in page.locator("main summary").all():
                summary.click()
            found[path] = visitor.troubles()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            page.set_viewport_size(size)
        assert {path: troubles for path, troubles in found.items() if troubles} == {}
