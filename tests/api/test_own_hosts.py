"""Which hosts a server takes for its own when somebody logs in."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hostler.api.authority import CertificateError
from hostler.api.own_hosts import OwnHosts, read_host
from hostler.api.public_port import Protection, listening
from hostler.api.tls import LiveCertificate
from hostler.hub.errors import UnauthenticatedError

FAR = {"server": ("10.0.0.1", 8066), "client": ("10.0.0.9", 40000)}
NEAR = {"server": ("127.0.0.1", 8066), "client": ("127.0.0.1", 40000)}
MAPPED = {"server": ("::ffff:10.0.0.1", 8066), "client": ("::ffff:127.0.0.1", 40000)}
SIX = {"server": ("fd00::1", 8066), "client": ("fd00::9", 40000)}
OWN = OwnHosts((("lab.example", None), ("web.example", 443)), lambda: {"bench", "10.0.0.7"})


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("lab.example:8066", FAR),
        ("LAB.Example.:8066", FAR),
        ("web.example:443", FAR),
        ("web.example:8066", FAR),
        ("bench:8066", FAR),
        ("10.0.0.7:8066", FAR),
        ("10.0.0.1:8066", FAR),
        ("10.0.0.1:8066", MAPPED),
        ("[fd00::1]:8066", SIX),
        ("[FD00:0::1]:8066", SIX),
        ("localhost:8066", NEAR),
        ("127.0.0.1:8066", NEAR),
        ("[::1]:8066", NEAR),
        ("localhost:8066", MAPPED),
    ],
)
def test_own_hosts_are_taken(host: str, scope: dict[str, object]) -> None:
    """Names that were given or found, and the address that was reached, at the port that was reached."""
    OWN.check(host, scope)


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("other.example:8066", FAR),
        ("lab.example:443", FAR),  # somebody else's server on the same host
        ("lab.example:9000", FAR),
        ("sub.lab.example:8066", FAR),
        ("10.0.0.2:8066", FAR),
        ("10.0.0.1:9000", FAR),
        ("localhost:8066", FAR),  # the client's own host, not this one
        ("127.0.0.1:8066", FAR),
        ("[::1]:8066", SIX),
        ("[::ffff:127.0.0.1]:8066", FAR),
        ("localhost:9000", NEAR),
        ("lab.example", FAR),
        ("lab.example:", FAR),
        ("lab.example:0", FAR),
        ("lab.example:99999", FAR),
        ("lab.example:8066 ", FAR),
        ("https://lab.example:8066", FAR),
        ("", FAR),
        (":8066", FAR),
        ("lab.example:8066", {"server": None, "client": None}),
    ],
)
def test_other_hosts_are_not(host: str, scope: dict[str, object]) -> None:
    """Another host, another port, and loopback said from afar are refused with the host and what to do."""
    with pytest.raises(UnauthenticatedError) as refused:
        OWN.check(host, scope)
    assert f'signed for "{host}"' in refused.value.detail
    assert f"--name {host}" in refused.value.detail
    assert refused.value.kind == "wrong-host"


def test_loopback_may_be_named() -> None:
    """What the administrator named counts from everywhere: he knows what leads there."""
    OwnHosts((read_host("localhost:9000"),)).check("localhost:9000", FAR)
    with pytest.raises(CertificateError):
        read_host("a b:80")


def test_names_of_a_certificate_are_own(tmp_path: Path) -> None:
    """Those it holds, without wildcards: a rogue server may have another name below the same domain."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("Lab.example"), x509.DNSName("*.lab.example")]), False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "both.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    assert LiveCertificate(file).names == {"lab.example"}
    with listening("127.0.0.1:0", Protection(certificate=file, names=("front.example:443",))) as port:
        port.protect(tmp_path / "tls")
        own = port.own_hosts()
        scope = {"server": ("10.0.0.1", port.port), "client": ("10.0.0.9", 1)}
        own.check(f"lab.example:{port.port}", scope)
        own.check("front.example:443", scope)
        assert port.url == "https://front.example:443"
        with pytest.raises(UnauthenticatedError):
            own.check(f"rogue.lab.example:{port.port}", scope)


def test_names_of_the_labs_own_certificate_are_own(tmp_path: Path) -> None:
    """The one Hostler makes holds what was given with --name, without its port."""
    with listening("127.0.0.1:0", Protection(own=True, names=("lab.example:443",))) as port:
        port.protect(tmp_path / "tls")
        scope = {"server": ("10.0.0.1", port.port), "client": ("10.0.0.9", 1)}
        for host in (f"lab.example:{port.port}", "lab.example:443"):
            port.own_hosts().check(host, scope)
        assert "lab.example" in port.names
