"""A lab whose admin token was lost is not lost to whoever owns its host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.client.client import Client
from hostler.client.errors import UnauthorizedError
from hostler.client.settings import Settings
from running_server import running_server

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lost_admin_token_is_replaced(tmp_path: Path):
    """``--new-admin-token`` prints one that works, and no other start does; the old one can be revoked."""
    with running_server(tmp_path) as server:
        first = server.token
    with running_server(tmp_path) as server:
        assert server.token == ""
    with running_server(tmp_path, "--new-admin-token") as server:
        assert server.token not in ("", first)
        with Client(Settings(server.url, server.token)) as client:
            old = next(token for token in client.tokens() if token["name"] == "first")
            client.revoke_token(old["id"])
            made = [event for event in client.all_events(audit=True) if event["kind"] == "token.created"]
            assert made[-1].get("principal") == "hostler"
        with Client(Settings(server.url, first)) as client:
            try:
                client.principals()
            except UnauthorizedError as error:
                assert "revoked" in str(error)  # noqa: PT017 - what it says counts
            else:
                raise AssertionError("the old token still works")
