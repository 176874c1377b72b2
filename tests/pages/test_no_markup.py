"""Whatever a board, a switch or a person may write, the pages show as text: no page makes markup of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from simulated_lab import MARKUP
from visitor import someone, visiting

from hostler.client.client import Client
from hostler.client.errors import RefusedError
from hostler.client.waiting import wait_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Route
    from simulated_lab import SimulatedLab

EQUIPMENT = """
[equipment.rack1]
driver = "snmp-poe"
host = "127.0.0.1"
community = "env:RACK1"
"""
KEPT = frozenset(
    {"kind", "state", "lifecycle", "observed", "desired", "phase", "role", "certainty", "sharing", "certain"}
)
"""Words of ours, and what is not shown."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT")
PATHS = [
    "/", "/boards/pc-1", "/claims", "/images", "/images/bad-one", "/switches", "/check", "/events",
    "/admin", "/admin?part=projects", "/admin?part=tokens", "/admin?part=keys", "/admin?part=hooks",
    "/admin?part=holdings",
]  # fmt: skip


@pytest.fixture(scope="module")
def told(lab: SimulatedLab) -> Iterator[SimulatedLab]:
    """A lab with something to tell on every page."""
    with Client(lab.settings) as client:
        text = client.inventory()["text"]
        wired = text.replace('power = { driver = "fake" }', 'power = { equipment = "rack1", port = 1 }', 1)
        client.apply(wired + EQUIPMENT, file="lab.toml", dry_run=False)
        claim = client.claim(wants=[{"board": "pc-1"}], name="work")
        wait_run(client, client.deploy(claim["boards"][0], "bad-one")["id"], seconds=60)
        client.claim("arm")
        client.claim("arm", wait=True)
        client.check()
        client.add_project("red")
        client.add_key("ssh-ed25519 " + _KEY, "laptop", None)
        client.add_hook("http://127.0.0.1:9/", ["lab.nothing"], "")
        client.begin_maintenance("pc-2", MARKUP)
    return lab


_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"


def poisoned(value: Any, key: str = "") -> Any:
    """Return a document in which every text that somebody else could have written is markup."""
    if isinstance(value, dict):
        return {name: poisoned(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one, key) for one in value]
    if not isinstance(value, str) or value == "" or key in KEPT or _MOMENT.match(value):
        return value
    return MARKUP


def poison(page: Page, url: str, token: str) -> None:
    """Let the page hear nothing but such documents; a stream is what it begins with, and asked for again."""
    headers = {"Authorization": f"Bearer {token}"}

    def answer(route: Route) -> None:
        address = route.request.url.removeprefix(f"{url}/api/v1")
        path = urlsplit(address).path
        if "follow=true" not in address and not path.endswith("/watch"):
            found = route.fetch()
            if "json" not in found.headers.get("content-type", ""):
                route.fulfill(response=found)
                return
            document = found.json()
            # Equipment is asked for by its name.
            kept = [row["name"] for row in document] if path == "/equipment" else []
            document = poisoned(document)
            for row, name in zip(document, kept, strict=False):
                row["name"] = name
            route.fulfill(response=found, json=document)
            return
        plain = {"/events": "/events?last=50", "/equipment": "/equipment/rack1?wait=true"}
        asked = plain.get(path, path.removesuffix("/watch"))
        document = page.request.get(f"{url}/api/v1{asked}", headers=headers).json()
        route.fulfill(content_type="text/event-stream", body=_stream(path, document))

    page.route("**/api/v1/**", answer)


def _stream(path: str, document: Any) -> str:
    rows = poisoned(document)
    if path == "/boards":
        # Rows are told apart by their names.
        told = [("board", {**row, "name": f"{row['name']}{number}"}) for number, row in enumerate(rows)]
        told += [("said", {"name": row["name"], "line": MARKUP, "at": None}) for _, row in told]
        told.append(("complete", {}))
    elif path == "/equipment":
        ends = [
            {**end, "id": str(number), "equipment": "rack1", "strangers": [MARKUP], "stranger_count": 1,
             "spanning_tree": MARKUP, "detail": MARKUP, "heard": [MARKUP]}
            for number, end in enumerate(rows["ends"])
        ]  # fmt: skip
        told = [("end", end) for end in ends]
        front = {**rows, "name": "rack1", "trouble": MARKUP, "ends": [end["id"] for end in ends]}
        told.append(("front", {**front, "pools": [{"pool": MARKUP, "limit": 1, "drawn": 1}]}))
    elif path == "/events":
        told = [("event", row) for row in rows]
    else:
        told = [("board", rows)]
    return "".join(f"event: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in told)


def test_no_page_makes_markup_of_what_it_is_told(chromium: Browser, told: SimulatedLab) -> None:
    """Each text in each answer that is no word of ours is markup: it is shown as it is, and nothing runs."""
    with visiting(chromium, told.settings.url) as visitor:
        page = visitor.page
        visitor.log_in(told.settings.token)
        poison(page, told.settings.url, told.settings.token)
        for path in PATHS:
            visitor.open("/switches?unit=rack1" if path == "/switches" else path)
            shown = page.locator("main").get_by_text("<img src=x").locator("visible=true")
            if path == "/switches":
                page.locator(".port").first.click()
            shown.first.wait_for()
            for summary in page.locator("main summary").all():
                summary.click()
            wrong = "main img, main script, main iframe, main a[href^=javascript], main a[href^=data]"
            assert page.locator(wrong).count() == 0, path
            assert page.title() != "pwned", path
        page.unroute_all(behavior="wait")
        # What has such a name is not found; but nothing fell over, and the browser stopped no script.
        assert [fault for fault in visitor.faults if "Failed to load resource" not in fault] == []
        visitor.faults.clear()


def test_names_that_would_be_markup_are_refused(told: SimulatedLab) -> None:
    """What stands in addresses and commands is a word: of equipment, boards, claims, images, people."""
    evil = "<b>x"
    with Client(told.settings) as client:
        text = str(client.inventory()["text"])
        for table in ("equipment", "boards", "classes", "networks", "hooks"):
            lines = f'\n[{table}."{evil}"]\ndriver = "snmp-poe"\n'
            with pytest.raises(RefusedError, match=re.escape(evil)):
                client.apply(text + lines, file="lab.toml", dry_run=True)
        for act in (
            lambda: client.claim("pc", name=evil),
            lambda: client.capture("pc-1", evil),
            lambda: client.add_principal(evil, "member"),
            lambda: client.add_project(evil),
            lambda: client.add_hook("http://x/", [evil], ""),
        ):
            with pytest.raises(RefusedError):
                act()
    anna = someone(told.settings, "anna", "member")
    with Client(anna) as client, pytest.raises(RefusedError, match="one line"):
        client.add_key(f"ssh-ed25519 {_KEY}", "two\nlines", None)
