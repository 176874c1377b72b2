"""The lab's own certificate authority: made once, it vouches for a server that brings no certificate.

Values in, values out; ``api.own_certificate`` keeps them on disk. Certificates follow RFC 5280.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable

AUTHORITY_LIFE = dt.timedelta(days=3653)
"""Ten years: every client has to be told anew when it ends."""

SERVER_LIFE = dt.timedelta(days=90)
"""Nobody notices a renewal, so a stolen key is of use for a season at most."""

RENEW_BEFORE = dt.timedelta(days=30)
"""A third of its life is left when it is renewed, as ACME clients do; a server may be off for a holiday."""

_SKEW = dt.timedelta(hours=1)
"""Clocks of clients may be this much behind ours."""

_OLDEST_CLOCK = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
"""This code is younger than that: a clock that says less was not set since the machine has power."""

_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*"
)

# Addresses that mean nothing outside a site: the authority may vouch for any of them, so that a host may get
# another address without everybody having to log in again. Others only if the host had them at the start.
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
        "::1/128", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip


class CertificateError(Exception):
    """A certificate cannot be made or used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key (P-256)."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def to_pem(self) -> bytes:
        """Return key and certificate, the key first: one file that is never half replaced."""
        private = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private + certificate_pem(self.certificate)

    @classmethod
    def from_pem(cls, pem: bytes) -> Identity:
        """Read what ``to_pem`` wrote; raises ValueError for anything else."""
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key is not an elliptic curve key")  # noqa: TRY004 - the text is wrong, not its type
        certificate = x509.load_pem_x509_certificates(pem)[0]
        if certificate.public_key() != key.public_key():
            raise ValueError("key and certificate do not belong together")
        return cls(certificate, key)


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: x509.Certificate) -> str:
    """Return ``SHA256:AB:CD:…`` over the DER form, as ``openssl x509 -fingerprint -sha256`` shows it."""
    return "SHA256:" + certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def normal_name(text: str) -> str:
    """Return a host name in lower case and ASCII, or an IP address in its usual form.

    Raises:
        CertificateError: it is neither.
    """
    bare = text.strip("[]")
    try:
        return str(ipaddress.ip_address(bare.partition("%")[0]))
    except ValueError:
        pass
    try:
        name = text.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name):
        raise CertificateError(f'"{text}" is neither a host name nor an IP address')
    return name


def make_authority(host: str, names: Iterable[str], now: dt.datetime) -> Identity:
    """Make an authority that can vouch for these names, what is below them, and private addresses only.

    Whoever tells a browser to believe it does not hand over every other site (RFC 5280 section 4.2.1.10).

    Args:
        host: The host's name, for people.
        names: As ``normal_name`` returns them.
        now: The time, aware.

    Raises:
        CertificateError: the clock cannot be right.
    """
    if now < _OLDEST_CLOCK:
        raise CertificateError(
            f"the clock says {now:%Y-%m-%d %H:%M}: a certificate made now is worth nothing; set the clock"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Hostler on {host}"[:64])])
    permitted: list[x509.GeneralName] = [x509.IPAddress(network) for network in _PRIVATE]
    for name in dict.fromkeys(names):
        general = _general(name)
        if isinstance(general, x509.DNSName):
            permitted.append(general)
        elif not _is_private(name):
            permitted.append(x509.IPAddress(ipaddress.ip_network(name)))
    certificate = (
        _builder(subject, subject, key.public_key(), now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, excluded_subtrees=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Identity(certificate, key)


def issue(authority: Identity, names: Iterable[str], now: dt.datetime) -> Identity:
    """Make a server's certificate for these names.

    Raises:
        CertificateError: the authority has ended, or has not begun by this clock.
    """
    vouching = authority.certificate
    if not vouching.not_valid_before_utc <= now < vouching.not_valid_after_utc:
        raise CertificateError(
            f"the lab's certificate authority is valid from {vouching.not_valid_before_utc:%Y-%m-%d} to "
            f"{vouching.not_valid_after_utc:%Y-%m-%d}, and the clock says {now:%Y-%m-%d}: set the clock, "
            "or move the authority away and start again; everybody must then log in again"
        )
    ordered = list(dict.fromkeys(names))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ordered[0][:64])])
    ends = min(now + SERVER_LIFE, vouching.not_valid_after_utc)
    certificate = (
        _builder(subject, vouching.subject, key.public_key(), now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(map(_general, ordered)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
        .sign(authority.key, hashes.SHA256())
    )
    return Identity(certificate, key)


def why_issue(
    server: x509.Certificate, authority: x509.Certificate, names: Iterable[str], now: dt.datetime
) -> str:
    """Return why a server's certificate must be made anew, or an empty text."""
    if server.issuer != authority.subject or not _signed_by(server, authority):
        return "it is of another authority"
    if set(names_of(server)) != set(names):
        return "the names of this host have changed"
    if now < server.not_valid_before_utc:
        return "the clock was set back before its beginning"
    ends = server.not_valid_after_utc
    if ends - now < RENEW_BEFORE and ends < authority.not_valid_after_utc:
        return f"it ends on {ends:%Y-%m-%d}"
    return ""


def names_of(server: x509.Certificate) -> list[str]:
    """Return the names and addresses a certificate is for."""
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]


def may_vouch(authority: x509.Certificate, name: str) -> bool:
    """Tell whether a name is within what the authority was made for."""
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    general = _general(name)
    for permitted in constraints.permitted_subtrees or ():
        if isinstance(general, x509.DNSName) and isinstance(permitted, x509.DNSName):
            if f".{general.value}".endswith(f".{permitted.value}"):
                return True
        elif (
            isinstance(general, x509.IPAddress)
            and isinstance(permitted, x509.IPAddress)
            and isinstance(permitted.value, ipaddress.IPv4Network | ipaddress.IPv6Network)
            and general.value in permitted.value
        ):
            return True
    return False


def _general(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _is_private(address: str) -> bool:
    return any(ipaddress.ip_address(address) in network for network in _PRIVATE)


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - it says no in several ways; all mean no
        return False
    return True


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime, ends: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority, key_cert_sign=authority, crl_sign=authority,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
