"""Images in a browser: bringing, looking at, comparing, fetching and removing them."""

from __future__ import annotations

import os
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from visitor import WAIT, Visitor, someone, visiting

from hostler.client.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Route
    from simulated_lab import SimulatedLab

MB = 1024 * 1024


@pytest.fixture
def admin(chromium: Browser, lab: SimulatedLab) -> Iterator[Visitor]:
    with visiting(chromium, lab.settings.url) as visitor:
        visitor.log_in(lab.settings.token)
        yield visitor


def said(visitor: Visitor, text: str) -> None:
    """Wait until the foot of the page says how the last thing went."""
    expect(visitor.page.locator(".commandbar .outcome")).to_contain_text(text)


def fill(visitor: Visitor, name: str) -> None:
    """Open the form of an import and name the image."""
    visitor.page.get_by_text("Import an image").click()
    visitor.page.get_by_label("Name", exact=True).fill(name)


def test_a_file_is_brought_and_fetched(admin: Visitor, lab: SimulatedLab, tmp_path: Path):
    """A file goes up, is whole, comes back byte for byte, and is removed when one is sure."""
    page = admin.page
    disk = tmp_path / "new disk.raw"
    disk.write_bytes(os.urandom(3 * MB) + bytes(2 * MB))
    admin.open("/images")
    page.get_by_text("Import an image").click()
    page.get_by_label("File", exact=True).set_input_files(disk)
    name = page.get_by_label("Name", exact=True)
    expect(name).to_have_value("new-disk")
    name.fill("debian")
    admin.sees("There is an image of that name")
    assert page.get_by_role("button", name="Import", exact=True).is_disabled()
    name.fill("fresh")
    admin.press("Import")
    said(admin, "fresh is here.")
    expect(page.locator(".commandbar code")).to_have_text(
        "hostler image import fresh 'new disk.raw' --arch amd64 --platforms x86-bios"
    )
    page.get_by_role("link", name="fresh").click()
    page.locator("dl.facts").get_by_text("new disk.raw").wait_for()
    admin.press("Verify")
    said(admin, "It is whole: 3 chunks")
    with page.expect_download(timeout=WAIT) as download:
        page.get_by_role("link", name="Download (raw)").click()
    assert download.value.path().read_bytes() == disk.read_bytes()
    admin.press("Remove")
    said(admin, "fresh is removed.")
    admin.sees("There is no image “fresh” any more.")
    with Client(lab.settings) as client:
        assert "fresh" not in {image["name"] for image in client.images()}


def test_what_the_server_fetches(admin: Visitor, tmp_path: Path):
    """From an address the server itself fetches; what is wrong with it is said, and nothing is kept."""
    (tmp_path / "there.raw").write_bytes(os.urandom(MB))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        page = admin.page
        admin.open("/images")
        fill(admin, "fetched")
        where = f"http://127.0.0.1:{server.server_port}"
        page.get_by_label("or address").fill(f"{where}/nothing.raw")
        admin.press("Import")
        said(admin, "404")
        page.get_by_label("or address").fill(f"{where}/there.raw")
        admin.press("Import")
        said(admin, "fetched is here.")
        page.get_by_role("row", name=re.compile("^fetched disk amd64: x86-bios 1.0 MB")).wait_for()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)


def test_an_upload_is_stopped(admin: Visitor, lab: SimulatedLab, tmp_path: Path):
    """Whoever stops an upload half way has no image, and goes on with the same file where it stopped."""
    page = admin.page
    big = tmp_path / "big.raw"
    with big.open("wb") as file:
        file.truncate(100 * MB)
    network = admin.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": MB / 2}
    network.send("Network.emulateNetworkConditions", slow)
    admin.open("/images")
    fill(admin, "big")
    page.get_by_label("File", exact=True).set_input_files(big)
    admin.press("Import")
    bar = page.get_by_role("progressbar", name="How far it is")
    page.wait_for_function(
        "() => Number(document.querySelector('.followed progress')?.getAttribute('value')) > 0"
    )
    assert float(bar.get_attribute("max") or 0) == 100 * MB
    admin.press("Stop")
    said(admin, "Stopped; import the same file again")
    assert page.get_by_role("button", name="Import", exact=True).is_enabled()
    with Client(lab.settings) as client:
        assert "big" not in {image["name"] for image in client.images()}
        [begun] = client.uploads()
        assert 0 < begun["offset"] < 100 * MB
    network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    offsets: list[int] = []
    page.on(
        "request",
        lambda request: request.method == "PATCH" and offsets.append(int(request.headers["upload-offset"])),
    )
    admin.press("Import")
    said(admin, "big is here.")
    assert offsets[0] >= begun["offset"]
    with Client(lab.settings) as client:
        assert client.uploads() == []
        client.remove_image("big")


def test_an_image_that_runs_live_is_in_use(admin: Visitor):
    """Beside the button that removes it stands which board has it, installed or not."""
    page = admin.page

    def live(route: Route) -> None:
        answer = route.fetch()
        boards = answer.json()
        boards[0]["run"] = {"state": "succeeded", "steps": ["live:debian"]}
        route.fulfill(response=answer, json=boards)

    page.route("**/api/v1/boards", live)
    admin.open("/images/debian")
    admin.sees("had it last")
    page.unroute_all(behavior="wait")


def test_what_differs(admin: Visitor, lab: SimulatedLab, chromium: Browser, tmp_path: Path):
    """Two images are compared in a picture and in a table; a viewer sees that and is offered nothing."""
    same, old, new = (os.urandom(MB) for _ in range(3))
    with Client(lab.settings) as client:
        for name, content in (("base-1", same + old + bytes(2 * MB)), ("base-2", same + new + same + new)):
            file = tmp_path / name
            file.write_bytes(content)
            client.import_image(name, file, arch="amd64", platforms=["x86-bios"])
    page = admin.page
    admin.open("/images/base-1")
    choice = page.get_by_label("Compare with")
    assert choice.locator("option").nth(1).inner_text() == "base-2"  # what is called alike stands first
    choice.select_option("base-2")
    expect(page.locator(".commandbar code")).to_have_text("hostler image diff base-1 base-2")
    for words in ("only in base-1 1 1.0 MB", "in both 1 1.0 MB", "only in base-2 1 1.0 MB"):
        page.get_by_role("row", name=re.compile(f"^{re.escape(words)}")).wait_for()
    page.get_by_role("img", name="1 stretch of the disk differ").wait_for()
    assert page.locator(".compare svg").first.locator("rect").count() == 3
    assert page.url.endswith("/images/base-1?with=base-2")
    vera = someone(lab.settings, "vera", "viewer")
    with visiting(
        chromium, lab.settings.url, viewport={"width": 320, "height": 700}, color_scheme="dark"
    ) as other:
        other.log_in(vera.token)
        other.open("/images/base-1?with=base-2")
        other.sees("are written")
        assert other.page.evaluate("document.documentElement.scrollWidth") <= 320
        for name in ("Verify", "Remove", "Download"):
            assert other.page.get_by_text(name, exact=True).count() == 0
        assert other.page.get_by_text("Import an image").count() == 0
        assert other.troubles() == []
    page.get_by_text("Import an image").click()
    assert admin.troubles() == []
