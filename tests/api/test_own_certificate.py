"""The files of the lab's own authority: kept over restarts, renewed, never half written."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING

import pytest

from hostler.api.authority import CertificateError, Identity, names_of
from hostler.api.own_certificate import OwnCertificate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Host:
    """A host whose clock and names are set by the test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)
        self.names = ["bench", "10.0.0.5"]

    def start(self, asked: Iterable[str] = ()) -> OwnCertificate:
        return OwnCertificate(self.directory / "tls", "bench", asked, lambda: self.names, lambda: self.now)

    def served(self) -> Identity:
        return Identity.from_pem((self.directory / "tls/server.pem").read_bytes())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_keys_are_for_their_owner_only(host: Host) -> None:
    """Whatever the umask: directory 0700, keys 0600, and the certificate to hand out for everybody."""
    before = os.umask(0)
    try:
        host.start()
    finally:
        os.umask(before)
    folder = host.directory / "tls"
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"authority.pem": 0o600, "server.pem": 0o600, "ca.pem": 0o644}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert b"PRIVATE" not in (folder / "ca.pem").read_bytes()


def test_a_restart_changes_nothing(host: Host) -> None:
    """Authority and certificate are those of the last start."""
    first = host.start(["lab.example"])
    served = host.served().certificate
    again = host.start(["lab.example"])
    assert again.fingerprint == first.fingerprint
    assert host.served().certificate == served
    assert names_of(served) == ["lab.example", "bench", "10.0.0.5"]


def test_it_is_renewed_while_it_runs(host: Host) -> None:
    """Two months later there is a new certificate and key of the same authority; until then there is not."""
    own = host.start()
    first = host.served()
    host.now += dt.timedelta(days=50)
    assert not own.renew()
    host.now += dt.timedelta(days=15)
    assert own.renew()
    second = host.served()
    assert second.certificate.not_valid_after_utc > first.certificate.not_valid_after_utc
    assert second.key.public_key() != first.key.public_key()
    assert own.fingerprint == host.start().fingerprint


def test_a_new_address_gets_into_the_certificate(host: Host) -> None:
    """The host's address changes while it runs: clients find it by the new one."""
    own = host.start()
    host.names = ["bench", "10.0.0.99"]
    assert own.renew()
    assert "10.0.0.99" in names_of(host.served().certificate)


def test_found_names_it_may_not_vouch_for_are_left_out(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """A new host name or public address does not keep the server from starting; it is told once."""
    host.start()
    host.names = ["renamed", "10.0.0.5", "203.0.113.1", "not a name"]
    own = host.start()
    assert names_of(host.served().certificate) == ["10.0.0.5"]
    own.renew()
    assert caplog.text.count("not made for renamed") == 1


def test_asked_names_it_may_not_vouch_for_are_refused(host: Host) -> None:
    """A name somebody asks for must work, or it is said what to do."""
    host.start()
    with pytest.raises(CertificateError, match=r'was not made for "lab\.example".*move .*tls away'):
        host.start(["lab.example"])


def test_a_damaged_certificate_is_made_anew_and_a_damaged_authority_is_not(host: Host) -> None:
    """The first costs nothing. The second would lock everybody out in silence, so it is for the admin."""
    fingerprint = host.start().fingerprint
    (host.directory / "tls/server.pem").write_bytes(b"\0" * 100)
    assert host.start().fingerprint == fingerprint
    assert host.served()
    damaged = host.directory / "tls/authority.pem"
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(CertificateError, match="put it back from a backup, or remove it"):
        host.start()
    assert len(damaged.read_bytes()) == 200


def test_scraps_of_a_killed_server_harm_nobody(host: Host) -> None:
    """A file that was being written when the server was killed is not the one that is read."""
    fingerprint = host.start().fingerprint
    (host.directory / "tls/.authority.pem.0123abcd").write_bytes(b"half")
    assert host.start().fingerprint == fingerprint


def test_a_place_that_cannot_be_written_is_named(host: Host) -> None:
    """The file and the reason are told."""
    (host.directory / "tls").write_text("a file where the directory should be")
    with pytest.raises(CertificateError, match="tls: File exists"):
        host.start()
