"""TLS to the server: whom to believe, and what to say when nobody vouches for it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from hostler.client.errors import SettingsError, UntrustedError

if TYPE_CHECKING:
    from hostler.client.settings import Settings

# X509_V_ERR_… of OpenSSL's x509_vfy.h
_NOT_YET_VALID, _EXPIRED, _WRONG_NAMES = 9, 10, frozenset({62, 64})


def client_context(ca: str | None) -> ssl.SSLContext:
    """Return a context that believes these certificates (PEM), or those the system believes.

    Raises:
        SettingsError: the text holds no certificate that can be read.
    """
    try:
        context = ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise SettingsError(f"the CA cannot be read: {error}", "correct ca, or HOSTLER_CA") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is not None:
        # Who names a certificate means it, be it one that another one vouches for.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def context_of(settings: Settings) -> ssl.SSLContext | None:
    """Return the context of a server's address; None when it is plain HTTP."""
    return client_context(settings.ca) if settings.url.startswith("https://") else None


def untrusted(settings: Settings, error: BaseException) -> UntrustedError | None:
    """Return what to tell when an attempt to connect ended because nobody vouches for the server."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    url = settings.url
    if cause.verify_code in _WRONG_NAMES:
        return UntrustedError(
            f"the certificate of {url} is for other names: {cause.verify_message}",
            "use a name it is for, or start the server with --name and the one you use",
        )
    if cause.verify_code == _EXPIRED:
        return UntrustedError(
            f"the certificate of {url} has ended", "renew it, or set the clock of this machine"
        )
    if cause.verify_code == _NOT_YET_VALID:
        return UntrustedError(f"the certificate of {url} is not valid yet", "set this machine's clock")
    if settings.ca is not None:
        return UntrustedError(
            f"{url} is not the server it was: the CA kept for it does not vouch for its certificate "
            f"({cause.verify_message}). Somebody may be in between, or its CA is new; nothing was sent",
            f"ask the lab's admin for the fingerprint, then `hostler login {url} --fingerprint SHA256:…`",
        )
    return UntrustedError(
        f"nobody this machine knows vouches for {url} ({cause.verify_message}); nothing was sent",
        f"`hostler login {url}` shows who does and keeps it, or name a PEM file in HOSTLER_CA",
    )
