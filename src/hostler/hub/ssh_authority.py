"""The lab's own ssh authority: it signs the host keys of what Hostler serves.

Whoever trusts its public key has one line in ``known_hosts`` for ever, however often boards are wiped and
host keys change. Certificates are OpenSSH's (PROTOCOL.certkeys), of type host.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import asyncssh

from hostler.hub.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_NAMES = 256
"""Names in one certificate; OpenSSH reads no more (SSHKEY_CERT_MAX_PRINCIPALS)."""

_CLOCK_SECONDS = 300
"""Certificates count from a little earlier: the clocks of boards and people are not ours."""


class SshAuthority:
    """A key that signs host keys, kept in a file that only we can read.

    Args:
        directory: Where the key is kept; made with the key when it is not there.

    Attributes:
        public: The public key as in ``authorized_keys``, without a comment.
        fingerprint: ``SHA256:…`` as OpenSSH prints it.
        reserved: Names that no board's certificate may have: they are the lab's own.

    Raises:
        UnavailableError: the key cannot be read, made or kept; the text names the file.
    """

    def __init__(self, directory: Path) -> None:
        self._key = kept_key(directory / "ca", "hostler ssh authority")
        self.public = public_text(self._key)
        self.fingerprint = self._key.get_fingerprint()
        self.reserved: frozenset[str] = frozenset()

    @property
    def known_hosts_line(self) -> str:
        """The line for ``known_hosts`` that trusts every host key this authority has signed."""
        return f"@cert-authority * {self.public}"

    def sign(
        self, host_key: asyncssh.SSHKey, key_id: str, names: Sequence[str], now: float, until: float
    ) -> asyncssh.SSHCertificate:
        """Certify a host key.

        Args:
            host_key: The host's key; only its public part is used.
            key_id: What ``ssh`` and logs call the certificate.
            names: The host names it is for; at least one, at most ``MOST_NAMES``.
            now: Unix time.
            until: Unix time at which it ends.
        """
        if not 0 < len(names) <= MOST_NAMES:
            # None at all would mean every host there is.
            raise InvalidError(f"a host certificate has 1 to {MOST_NAMES} names, not {len(names)}")
        return self._key.generate_host_certificate(
            host_key, key_id, serial=secrets.randbits(63), principals=list(names),
            valid_after=int(now) - _CLOCK_SECONDS, valid_before=int(until), comment=key_id,
        )  # fmt: skip


def kept_key(path: Path, comment: str) -> asyncssh.SSHKey:
    """Return the ed25519 key in a file; on first use make it, durable before it is returned.

    Raises:
        UnavailableError: it cannot be read, made or kept.
    """
    try:
        if path.exists():
            return asyncssh.read_private_key(path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
        scrap = path.with_name(f"{path.name}.new")
        scrap.unlink(missing_ok=True)
        with os.fdopen(os.open(scrap, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.export_private_key())
            file.flush()
            os.fsync(file.fileno())
        scrap.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; the server needs this ssh key") from None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        advice = (
            "put it back from a backup, or remove it: then a new one is made and everybody must trust that"
        )
        raise UnavailableError(f"{path} is not an ssh key: {error}; {advice}") from None
    return key


def public_text(key: asyncssh.SSHKey) -> str:
    """Return a key's public part as in ``authorized_keys``, without a comment."""
    return " ".join(key.export_public_key().decode().split()[:2])
