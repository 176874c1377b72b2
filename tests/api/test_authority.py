"""The lab's own certificate authority: what it vouches for, and when a certificate is made anew."""

from __future__ import annotations

import datetime as dt
import ipaddress
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.api import authority as ca
from hostler.api.authority import CertificateError

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def openssl_verifies(tmp_path: Path, authority: ca.Identity, server: ca.Identity) -> str:
    """Return what OpenSSL says of a certificate."""
    (tmp_path / "ca.pem").write_bytes(ca.certificate_pem(authority.certificate))
    (tmp_path / "server.pem").write_bytes(ca.certificate_pem(server.certificate))
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", str(int(NOW.timestamp())),
         "-CAfile", str(tmp_path / "ca.pem"), str(tmp_path / "server.pem")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_openssl_believes_what_was_issued(tmp_path: Path) -> None:
    """A certificate for a name and for addresses passes OpenSSL's strict check of RFC 5280."""
    names = ["lab.example", "localhost", "192.168.1.2", "2001:db8::7"]
    authority = ca.make_authority("lab", names, NOW)
    assert openssl_verifies(tmp_path, authority, ca.issue(authority, names, NOW)).endswith("server.pem: OK\n")


@pytest.mark.parametrize("name", ["bank.example", "evillab.example", "203.0.113.9", "2001:db8::8"])
def test_nobody_believes_it_about_other_sites(tmp_path: Path, name: str) -> None:
    """Even with the authority's key nobody can make a certificate for a name the lab has not."""
    authority = ca.make_authority("lab", ["lab.example", "203.0.113.8", "2001:db8::7"], NOW)
    assert not ca.may_vouch(authority.certificate, name)
    forged = ca.issue(authority, ["lab.example", name], NOW)
    assert "permitted subtree violation" in openssl_verifies(tmp_path, authority, forged)


def test_a_host_may_get_another_private_address(tmp_path: Path) -> None:
    """An address of a site, which a host may get from DHCP tomorrow, needs no new authority."""
    authority = ca.make_authority("lab", ["lab"], NOW)
    for address in ("10.1.2.3", "172.31.0.1", "192.168.7.7", "169.254.1.1", "100.64.0.1", "fd00::5"):
        assert ca.may_vouch(authority.certificate, address)
        made = ca.issue(authority, ["lab", address], NOW)
        assert openssl_verifies(tmp_path, authority, made).endswith("OK\n")


host_names = st.from_regex(
    r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,8}){0,3}", fullmatch=True
).filter(lambda text: not text.rpartition(".")[2].isdigit())


@settings(max_examples=30, deadline=None)
@given(st.lists(host_names | st.ip_addresses().map(str), min_size=1, max_size=5))
def test_it_vouches_for_all_it_was_made_for(names: list[str]) -> None:
    """Whatever the host is called, its own certificate is for exactly those names."""
    normal = list(map(ca.normal_name, names))
    authority = ca.make_authority("lab", normal, NOW)
    assert all(ca.may_vouch(authority.certificate, name) for name in normal)
    assert set(ca.names_of(ca.issue(authority, normal, NOW).certificate)) == set(normal)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Lab.Example.", "lab.example"), ("[2001:DB8::0:1]", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"),
     ("bücher.example", "xn--bcher-kva.example"), ("10.0.0.1", "10.0.0.1")],
)  # fmt: skip
def test_names_are_written_in_one_way(text: str, name: str) -> None:
    """Case, dots at the end and ways to write an address make no difference."""
    assert ca.normal_name(text) == name


@pytest.mark.parametrize(
    "text", ["", "a b", "https://lab", "lab:8066", "*.lab", "a..b", "x" * 64, "lab\n", "-a"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    """A name that no client could ask for is told, and not put into a certificate."""
    with pytest.raises(CertificateError, match="neither a host name nor an IP address"):
        ca.normal_name(text)


def test_a_certificate_is_renewed_in_time_and_not_before() -> None:
    """Sixty days nothing is done; then it is renewed each time a third of its life is left."""
    authority = ca.make_authority("lab", ["lab"], NOW)
    made = ca.issue(authority, ["lab"], NOW).certificate
    vouching = authority.certificate
    assert ca.why_issue(made, vouching, ["lab"], NOW) == ""
    assert ca.why_issue(made, vouching, ["lab"], NOW + 59 * DAY) == ""
    assert ca.why_issue(made, vouching, ["lab"], NOW + 61 * DAY).startswith("it ends on 2027-05-30")
    assert "names" in ca.why_issue(made, vouching, ["lab", "lab.example"], NOW)
    assert "set back" in ca.why_issue(made, vouching, ["lab"], NOW - DAY)
    other = ca.make_authority("lab", ["lab"], NOW)
    assert ca.why_issue(made, other.certificate, ["lab"], NOW) == "it is of another authority"


def test_no_certificate_outlives_its_authority() -> None:
    """Near its end it gives shorter ones and is not asked for ever; after it the text says what to do."""
    authority = ca.make_authority("lab", ["lab"], NOW)
    ends = authority.certificate.not_valid_after_utc
    assert ends - NOW >= 3652 * DAY
    last = ca.issue(authority, ["lab"], ends - 5 * DAY).certificate
    assert last.not_valid_after_utc == ends
    assert ca.why_issue(last, authority.certificate, ["lab"], ends - 4 * DAY) == ""
    with pytest.raises(CertificateError, match="move the authority away"):
        ca.issue(authority, ["lab"], ends + DAY)


def test_a_clock_that_was_never_set_makes_no_authority() -> None:
    """A host without a clock of its own begins in 1970; ten years from then have passed."""
    with pytest.raises(CertificateError, match="set the clock"):
        ca.make_authority("lab", ["lab"], dt.datetime(1970, 1, 1, 0, 5, tzinfo=dt.UTC))


def test_key_and_certificate_are_read_back_together() -> None:
    """What was written is read; a key beside another one's certificate is not."""
    one, other = (ca.make_authority("lab", ["lab"], NOW) for _ in range(2))
    assert ca.Identity.from_pem(one.to_pem()).certificate == one.certificate
    mixed = one.to_pem().partition(b"-----BEGIN CERT")[0] + ca.certificate_pem(other.certificate)
    with pytest.raises(ValueError, match="do not belong together"):
        ca.Identity.from_pem(mixed)


def test_a_public_address_is_its_own_only() -> None:
    """Outside the private ranges the authority is for single addresses."""
    vouching = ca.make_authority("lab", ["203.0.113.8"], NOW).certificate
    assert ca.may_vouch(vouching, "203.0.113.8")
    network = ipaddress.ip_network("203.0.113.0/24")
    assert [str(a) for a in network if ca.may_vouch(vouching, str(a))] == ["203.0.113.8"]
