"""ssh keys and hooks in a browser: added, listed, tried and taken away, by mouse and by keyboard alone."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from playwright.sync_api import expect
from visitor import Visitor, someone, visiting

from hostler.client.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser
    from simulated_lab import SimulatedLab

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def posted() -> Iterator[tuple[str, list[str]]]:
    """A listener: its address, and the paths that were posted to."""
    paths: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            paths.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", paths
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


def public_key(comment: str) -> tuple[str, str]:
    """Return a new key as a line, and its fingerprint."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    return f"{key.export_public_key().decode().strip()} {comment}", key.get_fingerprint()


def shows_command(visitor: Visitor, line: str) -> None:
    """Wait until the foot of the page shows the command that does the same."""
    expect(visitor.page.locator(".commandbar code")).to_have_text(line)


def refused(visitor: Visitor, button: str, why: str) -> None:
    """Press a button whose act the server refuses, and wait until it is said why."""
    with visitor.page.expect_console_message(lambda message: "422" in message.text):
        visitor.press(button)
    visitor.sees(why)
    assert all("422" in fault for fault in visitor.faults)
    visitor.faults.clear()


def test_everybody_has_keys_and_an_admin_those_of_all(chromium: Browser, lab: SimulatedLab) -> None:
    """A member adds and removes their own; an admin sees all and adds for others; a comment is no markup."""
    kate = someone(lab.settings, "kate", "member")
    own, fingerprint = public_key(EVIL)
    with visiting(chromium, lab.settings.url) as visitor:
        page = visitor.page
        visitor.log_in(kate.token)
        visitor.open("/admin?part=keys")
        shows_command(visitor, "hostler key list")
        visitor.sees("No key yet.")
        assert page.get_by_label("whose").count() == page.get_by_label("of everybody").count() == 0
        assert page.get_by_role("link", name="Hooks").count() == 0
        page.get_by_label("Public key").fill("nonsense")
        refused(visitor, "Add the key", "this is not a public ssh key")
        page.get_by_label("Public key").fill(own)
        visitor.press("Add the key")
        shows_command(visitor, f"echo '{own}' | hostler key add -")
        visitor.sees(f"{fingerprint} logs kate in.")
        page.locator(".plainrows .name", has_text=EVIL).wait_for()
        assert page.locator("main img").count() == 0
    other, other_print = public_key("laptop")
    with visiting(chromium, lab.settings.url) as visitor:
        page = visitor.page
        visitor.log_in(lab.settings.token)
        visitor.open("/admin?part=keys")
        page.get_by_label("Public key").fill(other)
        page.get_by_label("called").fill("her laptop")
        page.get_by_label("whose").fill("kate")
        visitor.press("Add the key")
        shows_command(visitor, f"echo '{other}' | hostler key add - --name 'her laptop' --for kate")
        page.get_by_label("of everybody").check()
        page.get_by_text("her laptop", exact=True).first.wait_for()
        visitor.press(f"Remove {EVIL}")
        shows_command(visitor, f"hostler key remove {fingerprint}")
        visitor.sees("It logs nobody in any more.")
        expect(page.locator(".plainrows").get_by_text(fingerprint)).to_have_count(0)
    with Client(kate) as client:
        assert [one["fingerprint"] for one in client.keys(None)] == [other_print]


def test_hooks_are_added_tried_and_removed(
    chromium: Browser, lab: SimulatedLab, posted: tuple[str, list[str]]
) -> None:
    """A hook's real listener is told; what is wrong with an address is said; an address is no markup."""
    url, paths = posted
    evil = f"{url}/<script>alert(1)</script>"
    with visiting(chromium, lab.settings.url) as visitor:
        page = visitor.page
        visitor.log_in(lab.settings.token)
        visitor.open("/admin?part=hooks")
        shows_command(visitor, "hostler hook list")
        page.get_by_label("Address").fill("ftp://somewhere")
        refused(visitor, "Add a hook", "begins with http:// or https://")
        page.get_by_label("Address").fill(evil)
        page.get_by_label("only kinds").fill("lab.nothing, *.never")
        visitor.press("Add a hook")
        shows_command(visitor, f"hostler hook add '{evil}' --kind lab.nothing --kind '*.never'")
        row = page.locator(".plainrows li", has_text="<script>")
        row.get_by_text("lab.nothing *.never").wait_for()
        row.get_by_role("button", name=re.compile("^Test h-")).click()
        row.get_by_role("status").wait_for()
        assert [path for path in paths if "script" in path]
        row.get_by_role("button", name=re.compile("^Remove h-")).click()
        visitor.sees("It is told nothing more.")
        expect(row).to_have_count(0)
        assert page.locator("main script").count() == 0


def test_keys_and_hooks_by_keyboard_alone(chromium: Browser, lab: SimulatedLab) -> None:
    """From the list of parts to a key that is added and removed without a mouse, also on a phone."""
    text, fingerprint = public_key("by keyboard")
    with visiting(chromium, lab.settings.url, viewport={"width": 320, "height": 700}) as visitor:
        page, keys = visitor.page, visitor.page.keyboard
        visitor.log_in(lab.settings.token)
        visitor.open("/admin")
        link = page.get_by_role("link", name="ssh keys")
        link.focus()
        keys.press("Enter")
        page.get_by_label("Public key").focus()
        keys.insert_text(text)
        for _ in range(4):  # called, whose, the button
            keys.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "Add the key":
                break
        keys.press("Enter")
        visitor.sees(f"{fingerprint} logs admin in.")
        page.get_by_role("button", name="Remove by keyboard").focus()
        keys.press("Enter")
        visitor.sees("It logs nobody in any more.")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
