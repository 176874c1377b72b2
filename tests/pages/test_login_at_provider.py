"""Logging in at the lab's OpenID Connect provider, in a browser and against node-oidc-provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from visitor import Visitor, visiting

from foreign_provider import CLIENT, foreign_provider
from hostler.client.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser
    from simulated_lab import SimulatedLab

SECRET = "a:secret with/signs+that&are=encoded"


@pytest.fixture(scope="module")
def issuer(lab: SimulatedLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The lab's provider, which knows the lab by a password in a file."""
    secret: Path = tmp_path_factory.mktemp("secret") / "oidc"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    with foreign_provider(f"{lab.settings.url}/login", SECRET) as issuer, Client(lab.settings) as client:
        text = client.inventory()["text"]
        assert text
        table = f'[lab.oidc]\nissuer = "{issuer}"\nclient_id = "{CLIENT}"\nauto_create = true\n'
        table += f'client_secret = "file:{secret}"\n'
        client.apply(text + table, file="lab.toml", dry_run=False)
        yield issuer


@pytest.fixture
def visitor(chromium: Browser, lab: SimulatedLab, issuer: str) -> Iterator[Visitor]:
    with visiting(chromium, lab.settings.url, issuer) as visitor:
        yield visitor


def go_to_provider(visitor: Visitor, issuer: str) -> None:
    """Press the button, and wait until the provider asks who it is."""
    visitor.press(f"Log in at {issuer.removeprefix('http://')}")
    visitor.page.get_by_placeholder("Enter any login").wait_for()


def test_there_and_back(visitor: Visitor, issuer: str):
    """One comes back to where one was, as whom the provider says, with nothing of it left in the page."""
    page = visitor.page
    visitor.open("/images?with=debian")
    page.get_by_label("Your token").wait_for()
    assert visitor.troubles() == []
    go_to_provider(visitor, issuer)
    page.get_by_placeholder("Enter any login").fill("dora")
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Log out").wait_for()
    assert page.url == f"{visitor.url}/images?with=debian"
    visitor.sees("dora")
    assert page.evaluate("[document.cookie, sessionStorage.length]") == ["", 0]
    kept = [one for one in visitor.context.cookies() if one["name"].startswith("hostler")]
    assert [(one["httpOnly"], one["sameSite"]) for one in kept] == [(True, "Strict")]
    visitor.press("Log out")
    page.get_by_label("Your token").wait_for()


def test_who_is_not_vouched_for(visitor: Visitor, issuer: str):
    """Who turns back at the provider is told so, and so is who opens an answer that is not theirs."""
    page = visitor.page
    visitor.open("/")
    go_to_provider(visitor, issuer)
    page.get_by_role("link", name="Cancel").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("You did not agree at the provider")
    assert page.url == f"{visitor.url}/login"
    visitor.open("/login?code=stolen&state=somebodys")
    expect(alert).to_contain_text("another login")
    visitor.open("/login?error=x&error_description=Call+me+at+555")
    expect(alert).to_contain_text("ask who runs it")
    assert "555" not in page.content()
