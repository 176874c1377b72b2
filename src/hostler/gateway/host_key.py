"""The gateway's own host key and the certificate the lab's authority gives it, renewed by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.hub.ssh_authority import MOST_NAMES, kept_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import asyncssh

    from hostler.hub.ssh_authority import SshAuthority

LIFE_SECONDS = 90 * 86400.0
"""How long a certificate lasts: longer than any holiday, short enough that a stolen one ends."""
RENEW_SECONDS = 30 * 86400.0
"""A certificate with less than this left is replaced."""


class HostKey:
    """The key the gateway shows, with a certificate that is always good.

    Args:
        directory: Where the key is kept; made on first use.
        authority: Certifies it.

    Raises:
        UnavailableError: the key cannot be read, made or kept.
    """

    def __init__(self, directory: Path, authority: SshAuthority) -> None:
        self._authority = authority
        self.key: asyncssh.SSHKey = kept_key(directory / "host", "hostler ssh gateway")
        self._names: tuple[str, ...] = ()
        self._until = 0.0
        self._certificate: asyncssh.SSHCertificate | None = None

    def certificate(self, names: Iterable[str], now: float) -> asyncssh.SSHCertificate:
        """Return a certificate for these host names, good for ``RENEW_SECONDS`` at least.

        The same object is returned as long as nothing has changed.

        Args:
            names: Under which people reach the gateway; those after the 256th are left out.
            now: Unix time.
        """
        wanted = tuple(dict.fromkeys(name for name in names if name))[:MOST_NAMES]
        began = self._until - LIFE_SECONDS
        # A clock that was set back makes a certificate that is not valid yet.
        good = self._until - now >= RENEW_SECONDS and now >= began
        if self._certificate is None or wanted != self._names or not good:
            self._names, self._until = wanted, now + LIFE_SECONDS
            self._certificate = self._authority.sign(self.key, "hostler gateway", wanted, now, self._until)
            self._authority.reserved = frozenset(wanted)
        return self._certificate
