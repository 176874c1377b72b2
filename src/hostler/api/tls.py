"""TLS of the public port, with a certificate that may be replaced while the server runs."""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography import x509

from hostler.api.authority import CertificateError, normal_name

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


class LiveCertificate:
    """A certificate with its key, read again when a file of them changes.

    Args:
        certificate: PEM file, the server's certificate first, those that vouch for it after it.
        key: PEM file of its key; None when it is in the same file.

    Attributes:
        context: What to serve with; stays the same object when the certificate changes.

    Raises:
        CertificateError: the files cannot be used.
    """

    def __init__(self, certificate: Path, key: Path | None = None) -> None:
        self._certificate = certificate
        self._key = key
        self._stamp = self._look()
        self._now = self._load()
        self._names = _names_in(certificate)
        self.context = _server_context()
        # Every handshake is done with the newest one. Loading into a context in use could leave it with the
        # new certificate and the old key, if somebody replaces the files one after the other.
        self.context.sni_callback = self._choose

    @property
    def names(self) -> frozenset[str]:
        """The names and addresses the certificate is for, without those with ``*``: they name no one host."""
        return self._names

    def refresh(self) -> bool:
        """Read the files again if they have changed, and tell whether they were taken.

        Files that cannot be used are told once, and the old certificate goes on until they can.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._now = self._load()
            self._names = _names_in(self._certificate)
        except CertificateError as error:
            log.error("the new certificate is not taken, the old one goes on: %s", error)  # noqa: TRY400
            return False
        log.info("%s is the certificate from now on", self._certificate)
        return True

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: object) -> None:
        connection.context = self._now

    def _files(self) -> tuple[Path, ...]:
        return (self._certificate,) if self._key is None else (self._certificate, self._key)

    def _look(self) -> tuple[object, ...]:
        stamps: list[object] = []
        for file in self._files():
            try:
                status = file.stat()  # through symbolic links, which is how certbot replaces them
            except OSError:
                stamps.append(None)
            else:
                stamps.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(stamps)

    def _load(self) -> ssl.SSLContext:
        context = _server_context()
        for file in self._files():
            try:
                file.open("rb").close()
            except OSError as error:
                raise CertificateError(f"{file}: {error.strerror}") from None
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            if reason == "KEY_VALUES_MISMATCH":
                reason = "key and certificate do not belong together"
            files = " and ".join(map(str, self._files()))
            advice = "both must be there as PEM, the key without a password"
            raise CertificateError(f"{files}: {reason}; {advice}") from None
        return context


def _names_in(file: Path) -> frozenset[str]:
    names = set()
    try:
        shown = x509.load_pem_x509_certificates(file.read_bytes())[0]
        told = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return frozenset()  # OpenSSL takes it, so it is served; then its names have to be told with --name
    for name in told:
        with suppress(CertificateError):  # a mail address, or a name with *
            names.add(normal_name(str(name.value)))
    return frozenset(names)


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal and the server would wait for ever.
    raise ValueError("the key has a password")


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996 forbids what is older
    context.set_alpn_protocols(["http/1.1"])
    return context
