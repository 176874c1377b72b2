"""Logging in and out, against the real server; by ssh key against OpenSSH's own verifier."""

from __future__ import annotations

import base64
import json
import os
import pty
import secrets
import select
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from hostler.client.settings_file import KeptLab, keep_lab, read_labs
from hostler.client.tls import client_context
from running_server import RunningServer, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG = "SHA256:" + ":".join(["00"] * 32)


@dataclass
class Person:
    """Somebody with a home directory.

    Attributes:
        home: Has nothing in it at first.
        variables: More of their environment.
    """

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Their settings."""
        return self.home / ".config/hostler/config.toml"

    @property
    def environment(self) -> dict[str, str]:
        base = {
            name: value for name, value in os.environ.items() if not name.startswith(("HOSTLER_", "XDG_"))
        }
        base.pop("SSH_AUTH_SOCK", None)
        return {**base, "HOME": str(self.home), **self.variables}

    def hostler(self, *arguments: str, feed: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command without a terminal."""
        return subprocess.run(
            [sys.executable, "-m", "hostler.cli.main", *arguments], input=feed, capture_output=True,
            text=True, timeout=60, env=self.environment, start_new_session=True, check=False,
        )  # fmt: skip

    def at_a_terminal(self, answer: str, *arguments: str, feed: str) -> tuple[int, str]:
        """Run a command that finds a terminal, type an answer there; return its status and what it showed."""
        pid, terminal = pty.fork()
        if pid == 0:
            command = f'printf %s "$FEED" | exec {sys.executable} -m hostler.cli.main "$@"'
            os.execvpe(  # noqa: S606 - the child of a fork has no other way
                "sh",
                ["sh", "-c", command, "sh", *arguments],
                {**self.environment, "FEED": feed},
            )
        shown, typed = b"", False
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    shown += os.read(terminal, 4096)
                except OSError:  # the last one has closed it
                    break
            if b"(yes/no)?" in shown and not typed:
                os.write(terminal, f"{answer}\n".encode())
                typed = True
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.fixture
def anna(tmp_path: Path) -> Person:
    home = tmp_path / "anna"
    home.mkdir()
    return Person(home)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("login") / "state", "--tls", "auto") as running:
        yield running


def test_a_login_is_all_a_client_needs(server: RunningServer, anna: Person) -> None:
    """A fingerprint and a token on stdin, once; then every verb finds the server and believes it."""
    login = ("login", server.url, "--fingerprint", server.fingerprint, "--token", "-")
    done = anna.hostler(*login, "--json", feed=f"{server.token}\n")
    assert done.returncode == 0, done
    document = json.loads(done.stdout)
    assert (document["name"], document["role"], document["url"]) == ("admin", "admin", server.url)
    assert server.token not in done.stdout + done.stderr
    assert anna.file.stat().st_mode & 0o777 == 0o600
    assert anna.hostler("boards", "--json").stdout == "[]\n"
    me = json.loads(anna.hostler("whoami", "--json").stdout)
    assert (me["name"], me["role"], me["url"]) == ("admin", "admin", server.url)
    assert me["server"] == json.loads(anna.hostler("version", "--json").stdout)["server"]
    assert f"{server.url}, version " in anna.hostler("whoami").stdout


def test_a_wrong_fingerprint_is_refused(server: RunningServer, anna: Person) -> None:
    """Nothing is sent and nothing is kept; both fingerprints are told."""
    done = anna.hostler("login", server.url, "--fingerprint", WRONG, "--token", "-", feed=server.token)
    assert done.returncode == 1
    assert "Somebody may be in between" in done.stderr
    assert WRONG in done.stderr
    assert server.fingerprint in done.stderr
    assert not anna.file.exists()


def test_without_a_terminal_a_fingerprint_is_needed(server: RunningServer, anna: Person) -> None:
    """A script is never taken to have said yes."""
    done = anna.hostler("login", server.url, "--token", "-", feed=server.token)
    assert done.returncode == 1
    assert "--fingerprint" in done.stderr
    assert not anna.file.exists()


def test_on_a_terminal_a_person_is_asked(server: RunningServer, anna: Person) -> None:
    """The fingerprint is shown as ssh shows a host's; only yes goes on, though the token comes by a pipe."""
    login = ("login", server.url, "--token", "-")
    status, shown = anna.at_a_terminal("no", *login, feed=server.token)
    assert status == 1
    assert server.fingerprint in shown
    assert "nothing is kept" in shown
    assert not anna.file.exists()
    status, shown = anna.at_a_terminal("yes", *login, feed=server.token)
    assert status == 0, shown
    assert server.fingerprint in shown
    assert server.token not in shown
    assert anna.hostler("whoami").returncode == 0


def test_a_ca_file_is_as_good(server: RunningServer, anna: Person) -> None:
    """Who was handed the CA itself needs no fingerprint."""
    done = anna.hostler("login", server.url, "--ca", str(server.ca), "--token", "-", feed=server.token)
    assert done.returncode == 0, done
    assert anna.hostler("whoami").returncode == 0


def test_a_token_that_is_none_is_not_kept(server: RunningServer, anna: Person) -> None:
    """The token is tried before it is kept."""
    login = ("login", server.url, "--fingerprint", server.fingerprint, "--token")
    done = anna.hostler(*login, "-", feed="hst_wrong\n")
    assert done.returncode == 1
    assert not anna.file.exists()
    done = anna.hostler(*login, "-", feed="")
    assert "no token" in done.stderr
    done = anna.hostler(*login, server.token)
    assert "seen by everybody on this machine" in done.stderr
    assert not anna.file.exists()


def test_several_labs_have_names(server: RunningServer, anna: Person) -> None:
    """A second lab needs a name, --lab chooses it, and a variable for another lab does not get in the way."""
    keep_lab(anna.file, None, KeptLab("https://usual.example", "hst_usual"))
    login = ("login", server.url, "--fingerprint", server.fingerprint, "--token", "-")
    done = anna.hostler(*login, feed=server.token)
    assert done.returncode == 1
    assert "--lab NAME" in done.stderr
    done = anna.hostler(*login, "--lab", "bench", feed=server.token)
    assert done.returncode == 0, done
    assert read_labs(anna.file)[None] == KeptLab("https://usual.example", "hst_usual")
    anna.variables = {"HOSTLER_URL": "http://127.0.0.1:9", "HOSTLER_TOKEN": "hst_other"}
    assert json.loads(anna.hostler("whoami", "--lab", "bench", "--json").stdout)["lab"] == "bench"
    anna.variables = {"HOSTLER_LAB": "bench"}
    assert anna.hostler("boards", "--json").stdout == "[]\n"
    unknown = anna.hostler("boards", "--lab", "bnech")
    assert 'no lab "bnech"' in unknown.stderr
    anna.variables = {}
    again = anna.hostler("login", "--lab", "bench", "--token", "-", feed=server.token)
    assert again.returncode == 0, "address and CA are known from before"


def test_a_logout_forgets_the_token(server: RunningServer, anna: Person) -> None:
    """The token ends at the server and is gone from the file; address and CA stay for the next login."""
    login = ("login", server.url, "--fingerprint", server.fingerprint, "--token", "-")
    # Not the admin's own: it ends with the logout, and other tests need that one.
    token = another_token(server)
    assert anna.hostler(*login, feed=token).returncode == 0
    done = anna.hostler("logout", "--json")
    assert done.returncode == 0, done
    assert token not in anna.file.read_text()
    assert json.loads(done.stdout)["revoked"] is True
    after = anna.hostler("whoami")
    assert after.returncode == 1
    assert "no token is configured" in after.stderr
    assert "hostler login" in after.stderr
    assert "not logged in" in anna.hostler("logout").stderr
    back = anna.hostler("login", "--token", "-", feed=token)
    assert back.returncode == 1, "a token that was ended at the server is good no more"


def ask(server: RunningServer, path: str, **body: Any) -> dict[str, Any]:
    """Make something as the admin, by the API."""
    answer = httpx2.post(
        f"{server.url}/api/v1/{path}", json=body, headers={"Authorization": f"Bearer {server.token}"},
        verify=client_context(server.ca.read_text()), trust_env=False,
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def another_token(server: RunningServer) -> str:
    """Return a new token, of a new principal."""
    return str(ask(server, "principals", name=f"p{secrets.token_hex(4)}", role="member")["token"])


def test_a_registered_key_logs_in(server: RunningServer, anna: Person) -> None:
    """The real server gives whoever holds a registered key a token of theirs; logout ends it."""
    ask(server, "principals", name="anna", role="member")
    login = ("login", server.url, "--fingerprint", server.fingerprint, "--name", "laptop")
    public = make_key(anna.home / ".ssh/id_ed25519")
    unknown = anna.hostler(*login)
    assert unknown.returncode == 1
    assert "does not let this key in" in unknown.stderr
    ask(server, "keys", **{"key": public, "name": "laptop", "for": "anna"})
    done = anna.hostler(*login, "--json")
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["name"] == "anna"
    shown = anna.hostler("whoami").stdout
    assert "laptop, until " in shown
    token = read_labs(anna.file)[None].token
    assert json.loads(anna.hostler("logout", "--json").stdout)["revoked"] is True
    anna.variables = {"HOSTLER_TOKEN": token}
    assert anna.hostler("whoami").returncode == 1


def test_a_token_for_one_use_becomes_one_that_lasts(server: RunningServer, anna: Person) -> None:
    """What an admin hands over may be seen on the way: after its use it is worth nothing."""
    once = ask(server, "tokens", name="for a newcomer", once=True)["token"]
    login = ("login", server.url, "--fingerprint", server.fingerprint, "--token", "-")
    assert anna.hostler(*login, feed=once).returncode == 0
    for _ in range(2):
        assert anna.hostler("whoami").returncode == 0
    assert once not in anna.file.read_text()
    again = anna.hostler(*login, feed=once)
    assert again.returncode == 1
    assert "does not take this token" in again.stderr


def test_a_logout_works_while_the_server_is_away(anna: Person) -> None:
    """What is kept here is forgotten in any case, and it is said that the server does not know."""
    keep_lab(anna.file, None, KeptLab("http://127.0.0.1:9", "hst_x"))
    done = anna.hostler("logout")
    assert done.returncode == 0
    assert "may still be good at the server" in done.stderr
    assert read_labs(anna.file)[None] == KeptLab("http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://lab.example:8066", "everybody on the way would read the token"),
        ("lab:8066", "is no address of a server"),
        ("https://lab:8066/api", "is no address of a server"),
        ("https://127.0.0.1:9", "cannot talk to https://127.0.0.1:9"),
    ],
)
def test_a_wrong_address_is_told(anna: Person, url: str, says: str) -> None:
    """What cannot be a server, or would carry the token in the clear, is refused before the token is read."""
    done = anna.hostler("login", url, "--token", "-")
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


# By ssh key


@dataclass
class KeyServer:
    """What the server does for a login by key, with OpenSSH as the one that verifies.

    Attributes:
        url: Where it answers.
        known: Public keys it lets in, each for "ada".
        names: What tokens were to be called.
    """

    url: str
    known: list[str]
    names: list[str]


@contextmanager
def key_server(folder: Path) -> Iterator[KeyServer]:
    given: set[str] = set()
    lab = KeyServer("", [], [])

    def verified(body: dict[str, str]) -> bool:
        if body["challenge"] not in given or body["key"] not in lab.known:
            return False
        given.remove(body["challenge"])
        (folder / "allowed").write_text(f"ada {body['key']}\n")
        (folder / "signature").write_text(body["signature"])
        signed = f"{body['challenge']} {lab.url.removeprefix('http://')}"
        done = subprocess.run(
            ["ssh-keygen", "-Y", "verify", "-f", str(folder / "allowed"), "-I", "ada", "-n", "hostler-login",
             "-s", str(folder / "signature")],
            input=signed.encode(), capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        return done.returncode == 0

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            """Be quiet."""

        def answer(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert "Authorization" not in self.headers
            if self.path == "/api/v1/login/ssh-challenge":
                challenge = base64.b64encode(secrets.token_bytes(32)).decode()
                given.add(challenge)
                self.answer(200, {"challenge": challenge, "principal": None})
            elif verified(body):
                lab.names.append(body["name"])
                self.answer(
                    200, {"token": "hst_by_key", "principal": "ada", "expires": "2033-05-18T03:33:20.000Z"}
                )
            else:
                self.answer(401, {"title": "no", "status": 401, "detail": "this key logs nobody in here"})

        def do_GET(self) -> None:
            if self.path == "/healthz":
                self.answer(200, {"ok": True, "version": "1"})
            else:
                assert self.headers["Authorization"] == "Bearer hst_by_key"
                self.answer(200, {"name": "ada", "role": "member", "projects": [], "login": None})

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        lab.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield lab
        finally:
            http.shutdown()
            thread.join(10)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[KeyServer]:
    with key_server(tmp_path) as made:
        yield made


def make_key(path: Path, kind: str = "ed25519") -> str:
    """Make a key without a passphrase and return its public half, without the comment."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True, timeout=60)
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_logs_in(lab: KeyServer, anna: Person, kind: str) -> None:
    """The usual key signs, OpenSSH verifies, and the token is kept."""
    lab.known.append(make_key(anna.home / f".ssh/id_{kind}", kind))
    done = anna.hostler("login", lab.url, "--name", "laptop")
    assert done.returncode == 0, done
    assert "as ada (member), until 2033-05-18" in done.stdout
    assert read_labs(anna.file)[None] == KeptLab(lab.url, "hst_by_key")
    assert lab.names == ["laptop"]


def test_a_key_that_is_chosen_is_used(lab: KeyServer, anna: Person) -> None:
    """--key takes either half of a pair, and the usual one is left alone."""
    make_key(anna.home / ".ssh/id_ed25519")
    lab.known.append(make_key(anna.home / "work"))
    assert anna.hostler("login", lab.url).returncode == 1
    assert anna.hostler("login", lab.url, "--key", str(anna.home / "work")).returncode == 0
    assert anna.hostler("login", lab.url, "--key", str(anna.home / "work.pub")).returncode == 0
    missing = anna.hostler("login", lab.url, "--key", str(anna.home / "none"))
    assert missing.returncode == 1
    assert "none.pub" in missing.stderr


def test_a_key_in_an_agent_signs(lab: KeyServer, anna: Person) -> None:
    """The private half need not be on this machine: the agent signs, with the usual key or its own."""
    public = make_key(anna.home / ".ssh/id_ed25519")
    lab.known.append(public)
    socket = anna.home / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as agent:
        try:
            anna.variables = {"SSH_AUTH_SOCK": str(socket)}
            end = time.monotonic() + 10
            while not socket.exists():
                assert time.monotonic() < end
                time.sleep(0.02)
            key = anna.home / ".ssh/id_ed25519"
            subprocess.run(["ssh-add", "-q", str(key)], check=True, timeout=30, env=anna.environment)
            key.unlink()
            assert anna.hostler("login", lab.url).returncode == 0
            key.with_name("id_ed25519.pub").unlink()
            assert anna.hostler("login", lab.url).returncode == 0
        finally:
            agent.terminate()
    done = anna.hostler("login", lab.url)
    assert done.returncode == 1
    assert "there is no ssh key" in done.stderr


def test_an_unknown_key_is_told_with_what_to_do(lab: KeyServer, anna: Person) -> None:
    """The public half is printed, for an admin to let in; nothing is kept."""
    public = make_key(anna.home / ".ssh/id_ed25519")
    done = anna.hostler("login", lab.url)
    assert done.returncode == 1
    assert "does not let this key in" in done.stderr
    assert public in done.stderr
    assert not anna.file.exists()


def test_a_key_of_somebody_else_does_not_log_in(lab: KeyServer, anna: Person) -> None:
    """A public half whose private one is another's cannot sign."""
    lab.known.append(make_key(anna.home / ".ssh/id_ed25519"))
    make_key(anna.home / "other")
    (anna.home / "other").replace(anna.home / ".ssh/id_ed25519")
    done = anna.hostler("login", lab.url)
    assert done.returncode == 1
    assert not anna.file.exists()
