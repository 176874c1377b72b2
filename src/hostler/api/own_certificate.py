"""The files of the lab's own authority and of the certificate it gives the server.

In the state directory: ``tls/authority.pem`` (key and certificate, 0600), ``tls/ca.pem`` (the certificate
alone, to hand out), ``tls/server.pem`` (key, certificate, and the authority's, 0600). Each is replaced as a
whole, so a server that is killed finds either the old one or the new one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import secrets
import subprocess
from typing import TYPE_CHECKING

from hostler.api import authority as ca
from hostler.api.authority import CertificateError, Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

_WARN_BEFORE = dt.timedelta(days=180)
"""Half a year to tell everybody of a new authority."""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class OwnCertificate:
    """Keeps a server's certificate valid, with an authority that is made when there is none.

    Args:
        directory: Where the files are; made when it is not there.
        host: The host's name, for people.
        asked: Names the administrator asked for; each must be vouched for.
        found: Returns names found on this host; those the authority may not vouch for are left out.
        clock: The time, aware.

    Raises:
        CertificateError: files cannot be read or written, or the authority may not vouch for what was asked.
    """

    def __init__(
        self, directory: Path, host: str, asked: Iterable[str], found: Callable[[], Iterable[str]],
        clock: Callable[[], dt.datetime] = _now,
    ) -> None:  # fmt: skip
        self._directory = directory
        self._asked = tuple(map(ca.normal_name, asked))
        self._found = found
        self._clock = clock
        self._told: set[str] = set()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._authority = self._load_authority(host)
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from None
        for name in self._asked:
            if not ca.may_vouch(self._authority.certificate, name):
                raise CertificateError(
                    f'the lab\'s certificate authority was not made for "{name}": to have a new one, move '
                    f"{directory} away and start again; everybody must then log in again"
                )
        self.renew()

    @property
    def path(self) -> Path:
        """The server's certificate with its key and the authority's certificate."""
        return self._directory / "server.pem"

    @property
    def fingerprint(self) -> str:
        """The authority's, ``SHA256:AB:CD:…``."""
        return ca.fingerprint(self._authority.certificate)

    def renew(self) -> bool:
        """Make the server's certificate anew if it is missing, ends soon or has the wrong names.

        Returns whether it did. Raises CertificateError when it cannot.
        """
        now = self._clock()
        names = self._names()
        reason = self._why(names, now)
        if not reason:
            return False
        server = ca.issue(self._authority, names, now)
        try:
            _replace(self.path, server.to_pem() + ca.certificate_pem(self._authority.certificate), 0o600)
        except OSError as error:
            raise CertificateError(f"{self.path}: {error.strerror}") from None
        log.info("a certificate was made for %s: %s", ", ".join(names), reason)
        ends = self._authority.certificate.not_valid_after_utc
        if ends - now < _WARN_BEFORE:
            log.warning(
                "the lab's certificate authority ends on %s: move %s away and start again before that, "
                "everybody must then log in again", f"{ends:%Y-%m-%d}", self._directory,
            )  # fmt: skip
        return True

    def _names(self) -> list[str]:
        names = list(self._asked)
        for name in self._usable():
            if ca.may_vouch(self._authority.certificate, name):
                names.append(name)
            elif name not in self._told:
                self._told.add(name)
                log.warning("the lab's certificate authority was not made for %s: it is left out", name)
        return list(dict.fromkeys(names))

    def _usable(self) -> Iterator[str]:
        """Yield what was found; what is no name at all is nothing a client could ask for either."""
        for name in self._found():
            with contextlib.suppress(CertificateError):
                yield ca.normal_name(name)

    def _why(self, names: list[str], now: dt.datetime) -> str:
        try:
            server = Identity.from_pem(self.path.read_bytes())
        except FileNotFoundError:
            return "there was none"
        except (OSError, ValueError, IndexError):
            return "the old one could not be read"
        return ca.why_issue(server.certificate, self._authority.certificate, names, now)

    def _load_authority(self, host: str) -> Identity:
        path = self._directory / "authority.pem"
        try:
            made = Identity.from_pem(path.read_bytes())
        except FileNotFoundError:
            names = [*self._asked, *self._usable()]
            made = ca.make_authority(host, names, self._clock())
            _replace(path, made.to_pem(), 0o600)
        except ValueError as error:
            raise CertificateError(
                f"{path}: {error}; put it back from a backup, or remove it for a new authority: "
                "everybody must then log in again"
            ) from None
        public = self._directory / "ca.pem"
        text = ca.certificate_pem(made.certificate)
        if not public.exists() or public.read_bytes() != text:
            _replace(public, text, 0o644)
        return made


def host_addresses() -> list[str]:
    """Return this host's addresses, without those that are good on one link only; none if ``ip`` fails."""
    try:
        done = subprocess.run(
            ["ip", "-json", "address", "show", "up"], capture_output=True, text=True, timeout=10, check=True
        )
        links = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.warning("the addresses of this host are not known: %s", error)
        return []
    return [
        address["local"]
        for link in links
        for address in link.get("addr_info", ())
        if address.get("scope") != "link" and "local" in address
    ]


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file as a whole, on the disk before it takes its name."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
