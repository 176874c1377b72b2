"""A login by key that somebody in between passes on to the real server gets them no token there."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from test_login import Person, ask, make_key

from hostler.client.login import dialled
from hostler.client.tls import client_context
from running_server import RunningServer, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Rogue:
    """A server that passes everything on to the real one and keeps what comes back.

    Attributes:
        url: Where people are lured to.
        real: The server it passes on to.
        lie: What it writes into requests before it passes them on.
        answers: Path, status and document of every answer of the real server.
    """

    url: str = ""
    real: RunningServer | None = None
    lie: dict[str, Any] = field(default_factory=dict)
    answers: list[tuple[str, int, Any]] = field(default_factory=list)


@contextmanager
def in_between() -> Iterator[Rogue]:
    rogue = Rogue()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            """Be quiet."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if "signature" in body:
                body |= rogue.lie
            self.pass_on("POST", json=body)

        def do_GET(self) -> None:
            self.pass_on("GET", headers={"Authorization": self.headers.get("Authorization", "")})

        def pass_on(self, method: str, **content: Any) -> None:
            assert rogue.real is not None
            context = client_context(rogue.real.ca.read_text())
            answer = httpx2.request(
                method, rogue.real.url + self.path, verify=context, trust_env=False, **content
            )
            rogue.answers.append((self.path, answer.status_code, answer.json()))
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        rogue.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield rogue
        finally:
            http.shutdown()
            thread.join(10)


def test_a_login_that_is_passed_on_gets_no_token(tmp_path: Path) -> None:
    """Neither as it was signed nor with the real host written over; meant for the real one, it logs in."""
    anna = Person(tmp_path)
    public = make_key(anna.home / ".ssh/id_ed25519")
    with running_server(tmp_path / "state", "--tls", "auto") as real, in_between() as rogue:
        rogue.real = real
        ask(real, "principals", name="anna", role="member")
        ask(real, "keys", **{"key": public, "name": "laptop", "for": "anna"})
        plain = anna.hostler("login", rogue.url)
        assert plain.returncode == 1
        assert f'signed for "{dialled(rogue.url)}"' in plain.stderr
        assert f"--name {dialled(rogue.url)}" in plain.stderr
        rogue.lie = {"host": dialled(real.url)}
        forged = anna.hostler("login", rogue.url)
        assert forged.returncode == 1
        assert "does not let this key in" in forged.stderr
        assert [(path, status) for path, status, _ in rogue.answers] == 2 * [
            ("/api/v1/login/ssh-challenge", 200), ("/api/v1/login/ssh", 401)
        ]  # fmt: skip
        assert "hst_" not in str(rogue.answers)
        assert not anna.file.exists()
        straight = anna.hostler("login", real.url, "--fingerprint", real.fingerprint)
        assert straight.returncode == 0, straight


def test_a_proxy_that_was_named_may_pass_on(tmp_path: Path) -> None:
    """With --name HOST:PORT the administrator says that what is dialled there leads here."""
    anna = Person(tmp_path)
    public = make_key(anna.home / ".ssh/id_ed25519")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
    with (
        in_between() as proxy,
        running_server(
            tmp_path / "state", "--tls", "auto", "--name", dialled(proxy.url), listen=listen
        ) as real,
    ):
        assert real.url == proxy.url.replace("http:", "https:")
        real.url = f"https://{listen}"
        proxy.real = real
        ask(real, "principals", name="anna", role="member")
        ask(real, "keys", **{"key": public, "name": "laptop", "for": "anna"})
        done = anna.hostler("login", proxy.url)
        assert done.returncode == 0, done


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Lab.example", "lab.example:443"),
        ("http://lab.example", "lab.example:80"),
        ("https://lab.example.:8066", "lab.example:8066"),
        ("https://[fd00::1]:8066", "[fd00::1]:8066"),
        ("https://büro.example", "xn--bro-hoa.example:443"),
    ],
)
def test_what_is_dialled_is_signed_in_one_form(url: str, host: str) -> None:
    """Name and port, whatever of it the address leaves out."""
    assert dialled(url) == host
