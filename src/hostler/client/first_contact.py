"""The first word with a server: who vouches for it, and is that who it should be."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hostler.client.errors import SettingsError, UnreachableError, UntrustedError
from hostler.client.settings import Settings
from hostler.client.tls import client_context, untrusted

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 15.0
_FINGERPRINT = re.compile(r"(?:SHA256[:=])?((?:[0-9A-F]{2}:?){32})", re.IGNORECASE)


def fingerprint(certificate: bytes) -> str:
    """Return ``SHA256:AB:CD:…`` of a certificate in DER, as the server prints it."""
    return "SHA256:" + hashlib.sha256(certificate).digest().hex(":").upper()


def normal_fingerprint(text: str) -> str:
    """Return a fingerprint as ``fingerprint`` writes it; colons, case and ``SHA256:`` do not matter.

    Raises:
        SettingsError: it is none.
    """
    match = _FINGERPRINT.fullmatch(text.strip())
    if match is None:
        raise SettingsError(
            f'"{text}" is no SHA-256 fingerprint: 64 hexadecimal digits',
            "`hostler serve` prints it when it starts",
        )
    return "SHA256:" + bytes.fromhex(match[1].replace(":", "")).hex(":").upper()


def find_ca(url: str, wanted: str | None, confirm: Callable[[str], bool]) -> str | None:
    """Return the PEM text of who vouches for a server; None when the system knows that already.

    Args:
        url: The server, ``https://…``.
        wanted: The fingerprint somebody else told; a certificate the server shows must have it.
        confirm: Asked about the fingerprint of an unknown CA when none is ``wanted``.

    Raises:
        UnreachableError: the server does not answer, or speaks no TLS.
        UntrustedError: no certificate has the fingerprint, it was not confirmed, or who was named does not
            vouch for this server.
    """
    if wanted is None:
        try:
            _handshake(url, client_context(None))
        except UntrustedError:
            pass  # nobody the system knows; so who is it?
        else:
            return None
    chain = _handshake(url, _believing_anybody())
    if wanted is None:
        chosen = chain[-1]
        if not confirm(fingerprint(chosen)):
            raise UntrustedError(f"{url} was not trusted; nothing was sent and nothing is kept")
    else:
        shown = {fingerprint(certificate): certificate for certificate in chain}
        if wanted not in shown:
            raise UntrustedError(
                f"{url} is not vouched for by {wanted}; it shows {', '.join(shown)}. Somebody may be in "
                "between; nothing was sent and nothing is kept",
                "compare with what `hostler serve` prints when it starts",
            )
        chosen = shown[wanted]
    ca = ssl.DER_cert_to_PEM_cert(chosen)
    # Anybody can show somebody else's CA; what counts is that it vouches for the one who answers.
    _handshake(url, client_context(ca), ca)
    return ca


def _handshake(url: str, context: ssl.SSLContext, ca: str | None = None) -> list[bytes]:
    """Connect once and return the certificates the server shows (DER), its own first."""
    parts = urlsplit(url)
    try:
        address = (parts.hostname or "", parts.port or 443)
    except ValueError:
        raise SettingsError(f"{url} is no address of a server") from None
    try:
        with (
            socket.create_connection(address, timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=address[0]) as connection,
        ):
            return _shown_chain(connection)
    except ssl.SSLError as error:
        told = untrusted(Settings(url, "", ca), error)
        if told is not None:
            raise told from None
        raise UnreachableError(
            f"{url} speaks no TLS that is understood here: {error.reason or error}",
            f"is it plain HTTP? http://{parts.netloc}",
        ) from None
    except (OSError, UnicodeError) as error:
        raise UnreachableError(
            f"cannot talk to {url}: {error}", "start `hostler serve` there, or correct the address"
        ) from None


def _shown_chain(connection: ssl.SSLSocket) -> list[bytes]:
    if hasattr(connection, "get_unverified_chain"):  # Python 3.13
        public: Any = connection
        return list(public.get_unverified_chain())
    # Debian 12's Python has it, but not yet under a name of its own.
    inner: Any = connection._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return [ssl.PEM_cert_to_DER_cert(shown.public_bytes()) for shown in inner.get_unverified_chain()]


def _believing_anybody() -> ssl.SSLContext:
    """Return a context to look at certificates with; nothing is ever sent through it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
