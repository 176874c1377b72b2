"""Whom the client believes, and that it sends nothing to anybody else."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from hostler.client.client import Client
from hostler.client.console import ConsoleSession
from hostler.client.errors import SettingsError, UnreachableError, UntrustedError
from hostler.client.first_contact import find_ca, normal_fingerprint
from hostler.client.settings import Settings
from tls_peer import Vouching, showing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def never(_fingerprint: str) -> bool:
    raise AssertionError("nobody is to be asked")


def asked(answer: bool) -> tuple[Callable[[str], bool], list[str]]:
    seen: list[str] = []

    def confirm(fingerprint: str) -> bool:
        seen.append(fingerprint)
        return answer

    return confirm, seen


def test_a_kept_ca_is_believed(tmp_path: Path) -> None:
    """With the CA that was kept for it the server is talked to."""
    lab = Vouching()
    with (
        showing(tmp_path, lab.server(), lab.pem) as peer,
        Client(Settings(peer.url, "hst_x", lab.pem)) as client,
    ):
        assert client.health()["ok"]
    assert b"Bearer hst_x" in b"".join(peer.heard)


def test_somebody_in_between_gets_nothing(tmp_path: Path) -> None:
    """Another CA, of the same name and with the lab's own shown beside it, is told in clear words."""
    lab, other = Vouching(), Vouching()
    with showing(tmp_path, other.server(), other.pem, lab.pem) as peer:
        settings = Settings(peer.url, "hst_secret", lab.pem)
        with (
            Client(settings) as client,
            pytest.raises(UntrustedError, match="is not the server it was") as told,
        ):
            client.boards()
        assert "Somebody may be in between" in str(told.value)
        assert f"hostler login {peer.url} --fingerprint" in told.value.advice
        with (
            pytest.raises(UntrustedError, match="is not the server it was"),
            ConsoleSession(settings, "pc-1", write=False),
        ):
            pass
    assert peer.heard == [], "not a byte, so no token either"


def test_a_server_nobody_knows_is_not_talked_to(tmp_path: Path) -> None:
    """Without a CA the system's count; the text says how to get to know the server."""
    lab = Vouching()
    with showing(tmp_path, lab.server(), lab.pem) as peer:
        with Client(Settings(peer.url, "hst_x")) as client, pytest.raises(UntrustedError) as told:
            client.boards()
        assert "nobody this machine knows vouches for" in str(told.value)
        assert f"hostler login {peer.url}" in told.value.advice
    assert peer.heard == []


def test_what_the_system_knows_needs_no_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that the system's CAs vouch for is believed as any web site is, and nothing is kept."""
    lab = Vouching()
    (tmp_path / "system.pem").write_text(lab.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    with showing(tmp_path, lab.server(), lab.pem) as peer:
        assert find_ca(peer.url, None, never) is None
        with Client(Settings(peer.url, "hst_x")) as client:
            assert client.health()["ok"]


def test_other_names_and_ended_certificates_are_told_apart(tmp_path: Path) -> None:
    """Not every refusal is an attack: a wrong name and a wrong clock have texts of their own."""
    lab = Vouching("lab.example")
    with (
        showing(tmp_path, lab.server(), lab.pem) as peer,
        Client(Settings(peer.url, "hst_x", lab.pem)) as client,
        pytest.raises(UntrustedError, match="is for other names") as told,
    ):
        client.boards()
    assert "--name" in told.value.advice
    past = Vouching(at=dt.datetime.now(dt.UTC) - dt.timedelta(days=200))
    with (
        showing(tmp_path, past.server(), past.pem) as peer,
        Client(Settings(peer.url, "hst_x", past.pem)) as client,
        pytest.raises(UntrustedError, match="has ended"),
    ):
        client.boards()


def test_the_ca_is_found_in_what_the_server_shows(tmp_path: Path) -> None:
    """Who is asked sees the CA's fingerprint, and the CA is returned if he says yes."""
    lab = Vouching()
    confirm, seen = asked(answer=True)
    with showing(tmp_path, lab.server(), lab.pem) as peer:
        assert find_ca(peer.url, None, confirm) == lab.pem
    assert seen == [lab.fingerprint]
    assert peer.heard == []


def test_who_says_no_keeps_nothing(tmp_path: Path) -> None:
    """Nothing is believed without a yes."""
    lab = Vouching()
    confirm, _ = asked(answer=False)
    with (
        showing(tmp_path, lab.server(), lab.pem) as peer,
        pytest.raises(UntrustedError, match="was not trusted"),
    ):
        find_ca(peer.url, None, confirm)


def test_a_fingerprint_that_was_told_needs_no_question(tmp_path: Path) -> None:
    """The right one gives the CA; a wrong one is refused, with those that were shown."""
    lab, other = Vouching(), Vouching()
    with showing(tmp_path, lab.server(), lab.pem) as peer:
        assert find_ca(peer.url, normal_fingerprint(lab.fingerprint), never) == lab.pem
        with pytest.raises(UntrustedError, match="Somebody may be in between") as told:
            find_ca(peer.url, other.fingerprint, never)
        assert other.fingerprint in str(told.value)
        assert lab.fingerprint in str(told.value)
    assert peer.heard == []


@pytest.mark.parametrize("wanted", [True, False])
def test_showing_somebody_elses_ca_helps_nobody(tmp_path: Path, wanted: bool) -> None:
    """A man in between may show the lab's CA and so its fingerprint: it must vouch for him too."""
    lab, other = Vouching(), Vouching()
    confirm, seen = asked(answer=True)
    with (
        showing(tmp_path, other.server(), other.pem, lab.pem) as peer,
        pytest.raises(UntrustedError, match="is not the server it was"),
    ):
        find_ca(peer.url, lab.fingerprint if wanted else None, never if wanted else confirm)
    assert seen == ([] if wanted else [lab.fingerprint])
    assert peer.heard == []


def test_a_single_certificate_can_be_believed(tmp_path: Path) -> None:
    """A server that shows no CA, only itself: its own fingerprint is as good."""
    lab = Vouching()
    own = lab.server()
    confirm, _ = asked(answer=True)
    with showing(tmp_path, own) as peer:
        pem = find_ca(peer.url, None, confirm)
        assert pem is not None
        assert pem in own
        with Client(Settings(peer.url, "hst_x", pem)) as client:
            assert client.health()["ok"]


@pytest.mark.parametrize("kind", ["SHA256:{colons}", "{colons}", "{plain}", "sha256:{plain}", " {lower}\n"])
def test_fingerprints_may_be_written_as_other_tools_do(kind: str) -> None:
    """With colons or without, in either case, with SHA256: before it or not."""
    colons = ":".join(f"{number:02X}" for number in range(32))
    plain = colons.replace(":", "")
    text = kind.format(colons=colons, plain=plain, lower=colons.lower())
    assert normal_fingerprint(text) == f"SHA256:{colons}"


@pytest.mark.parametrize("text", ["", "SHA256:", "MD5:" + "00:" * 15 + "00", "00" * 31, "00" * 33, "zz" * 32])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    """A shortened or other fingerprint is never taken for a right one."""
    with pytest.raises(SettingsError, match="no SHA-256 fingerprint"):
        normal_fingerprint(text)


def test_plain_http_behind_https_is_told() -> None:
    """A server without TLS is named as such, at the first word and later."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UnreachableError, match="speaks no TLS") as told:
            find_ca(f"https://127.0.0.1:{port}", "SHA256:" + "00" * 32, never)
        assert f"http://127.0.0.1:{port}" in told.value.advice
        with (
            Client(Settings(f"https://127.0.0.1:{port}", "hst_x")) as client,
            pytest.raises(UnreachableError) as told,
        ):
            client.boards()
        assert f"http://127.0.0.1:{port}" in told.value.advice
        thread.join(10)


def test_tls_behind_http_is_told(tmp_path: Path) -> None:
    """Who writes http:// for a server with TLS is told to write https://."""
    lab = Vouching()
    with showing(tmp_path, lab.server(), lab.pem) as peer:
        url = peer.url.replace("https", "http")
        with Client(Settings(url, "hst_x")) as client, pytest.raises(UnreachableError) as told:
            client.boards()
        assert peer.url in told.value.advice
    assert peer.heard == []
