"""The verbs with which a lab is kept: health, train, maintenance, hook, and events by kind and time."""

from __future__ import annotations

import http.server
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from simulated_lab import simulated_lab
from test_commands import Shell

from hostler.client.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with simulated_lab(tmp_path / "state") as lab:
        yield Shell(lab)


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict]]]:
    """A plain HTTP server of the standard library; yields its address and what it was told."""
    told: list[dict] = []

    class Take(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_health_is_shown_and_asked_for(shell: Shell) -> None:
    """`health` lists every board, --check has one checked, and a verdict by hand comes with its reason."""
    assert "arm-1  arm    unknown" in shell("health").stdout
    assert "admin asked for a check" in shell("health", "pc-1", "--check").stdout
    with Client(shell.lab.settings) as client:
        until_good(client, "pc-1")
    assert shell.json("health", "pc-1")["passes"] == 1
    shell("health", "pc-2", "bad", "--reason", "burnt")
    assert "quarantined: health bad: set by admin: burnt" in shell("health", "pc-2").stdout
    assert "recover pc-2" in shell("health", "pc-2", "--check", status=1).stderr
    shell("health", "--check", status=2)
    shell("health", "pc-1", "splendid", status=2)


def until_good(client: Client, board: str) -> None:
    for _ in client.follow_events(0, board, kind="health.good"):
        return


def test_train_follows_every_boot_and_reports(shell: Shell) -> None:
    """`train` prints each boot as it comes, and in the end how long the stages took."""
    said = shell("train", "arm-1", "--boots", "2").stdout
    assert "boot 1: dhcp " in said
    assert "boot 2: dhcp " in said
    assert "2 boots, 0 failed" in said
    assert "FROM POWER-ON TO" in said
    assert "1 to 1000 boots" in shell("train", "arm-1", "--boots", "0", status=1).stderr


def test_looping_and_stop(shell: Shell) -> None:
    """`looping` checks a board again and again, `stop` ends it."""
    shell("health", "arm-1", "looping")
    assert shell.json("health", "arm-1")["verdict"] == "looping"
    assert "checked again and again" in shell("health", "arm-1").stdout
    shell("claim", "arm", status=1)
    shell("health", "arm-1", "stop")
    assert shell.json("health", "arm-1")["checkup"] is None


def test_maintenance_and_its_end(shell: Shell) -> None:
    """A board that is held goes aside once it is given back, a free one at once; --end gives it back."""
    claim = shell.json("claim", "arm")
    assert "once it is given back" in shell("maintenance", "arm-1", "--reason", "new fan").stdout
    shell("release", claim["id"])
    assert shell.json("show", "arm-1")["lifecycle"] == "maintenance"
    assert "wiped" in shell("maintenance", "arm-1", "--end").stdout
    assert "in maintenance" in shell("maintenance", "pc-1").stdout
    shell("maintenance", "pc-1", "--end", "--now", status=2)


def test_hooks(shell: Shell) -> None:
    """A hook is added, tried, listed with how far it is, and removed."""
    assert "no hooks" in shell("hook", "list").stdout
    with receiver() as (url, told):
        hook = shell.json("hook", "add", url, "--kind", "claim.*", "--kind", "run.*")
        assert hook["kinds"] == ["claim.*", "run.*"]
        assert "ok: answered 204" in shell("hook", "test", hook["id"]).stdout
        assert told[0]["kind"] == "hook.test"
        assert hook["id"] in shell("hook", "list").stdout
    assert "FAILED" in shell("hook", "test", hook["id"], status=1).stdout
    shell("hook", "remove", hook["id"])
    assert shell.json("hook", "list") == []
    assert "http://" in shell("hook", "add", "mailto:x", status=1).stderr


def test_events_by_kind_and_time(shell: Shell) -> None:
    """History is asked for by patterns of kinds, by time and by who caused it."""
    shell("claim", "arm")
    kinds = {event["kind"] for event in shell.json("events", "--kind", "claim.*")}
    assert kinds == {"claim.created", "claim.granted"}
    assert shell.json("events", "--kind", "claim.*", "--since", "1h") != []
    assert shell.json("events", "--since", "2999-01-01T00:00:00Z") == []
    assert {event["principal"] for event in shell.json("events", "--audit", "--principal", "admin")} == {
        "admin"
    }
    assert "length of time" in shell("events", "--since", "soon", status=1).stderr
