"""The one port people come through: where it is, and what protects it on the way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from hostler.api.authority import CertificateError
from hostler.api.own_certificate import OwnCertificate, host_addresses
from hostler.api.own_hosts import OwnHosts, read_host
from hostler.api.tls import LiveCertificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
"""How often the files of a certificate are looked at for a change."""

_LAST_PORT = 65535

_ADVICE = {
    errno.EADDRINUSE: "is another server running there? stop it or choose another with --listen",
    errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose another with --listen",
}

_RENEW_SECONDS = 3600.0
"""How often the lab's own certificate is looked at for its end and this host for new addresses."""


class PortError(Exception):
    """The port cannot be served as asked; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What the administrator said of TLS.

    Attributes:
        certificate: PEM file of a certificate of his own, or None.
        key: PEM file of its key; None when it is in the same file.
        own: Whether the lab makes its own certificate; None: when the port leaves this host.
        names: What clients call this host, ``NAME`` or ``NAME:PORT`` where they reach it by another port.
        plain: Whether HTTP without TLS may leave this host.
    """

    certificate: Path | None = None
    key: Path | None = None
    own: bool | None = None
    names: tuple[str, ...] = ()
    plain: bool = False

    def check(self) -> None:
        """Raise PortError when it contradicts itself."""
        if self.key is not None and self.certificate is None:
            raise PortError("--tls-key needs --tls-cert: the certificate of that key")
        if self.certificate is not None and self.own is not None:
            raise PortError("--tls-cert brings a certificate: leave --tls out")
        if self.plain and (self.certificate is not None or self.own):
            raise PortError("--plain-http and a certificate contradict each other: leave one out")
        try:
            tuple(map(read_host, self.names))
        except CertificateError as error:
            raise PortError(f"--name: {error}") from None


class PublicPort:
    """A port that is held; ``listening`` makes it.

    Attributes:
        socket: Bound, and listening.
        host: The address it is bound to.
        port: Its number.
    """

    def __init__(self, listener: socket.socket, protection: Protection) -> None:
        self.socket = listener
        self.host, self.port = listener.getsockname()[:2]
        self._protection = protection
        self._asked = tuple(map(read_host, protection.names))
        self._own: OwnCertificate | None = None
        self._live: LiveCertificate | None = None
        self._name = self._shown_name()

    @property
    def local(self) -> bool:
        """Whether only programs of this host reach it."""
        return _is_loopback(self.host)

    @property
    def protected(self) -> bool:
        """Whether it is to speak TLS."""
        terms = self._protection
        if terms.certificate is not None:
            return True
        return not _is_loopback(self.host) and not terms.plain if terms.own is None else terms.own

    @property
    def url(self) -> str:
        """Where clients find it."""
        host = f"[{self._name}]" if ":" in self._name else self._name
        port = (self._asked and self._asked[0][1]) or self.port
        return f"{'https' if self.protected else 'http'}://{host}:{port}"

    @property
    def names(self) -> list[str]:
        """What clients call this host: names and addresses, those the administrator gave first."""
        return [*(name for name, _ in self._asked), *self._found_names()]

    def own_hosts(self) -> OwnHosts:
        """Return what this server is called by those who log in to it."""
        return OwnHosts(self._asked, self._certified_names)

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the lab's own authority, or None if it has none."""
        return self._own.fingerprint if self._own else None

    @property
    def context(self) -> ssl.SSLContext | None:
        """What to serve with; None is plain HTTP."""
        return self._live.context if self._live else None

    def protect(self, directory: Path) -> None:
        """Get the certificate ready; nothing to do for plain HTTP.

        Args:
            directory: Where the lab's own certificate is kept.

        Raises:
            CertificateError: there is none that can be used.
        """
        terms = self._protection
        if not self.protected:
            return
        if terms.certificate is not None:
            self._live = LiveCertificate(terms.certificate, terms.key)
            return
        self._own = OwnCertificate(
            directory, socket.gethostname(), [name for name, _ in self._asked], self._found_names
        )
        self._live = LiveCertificate(self._own.path)

    async def keep_certificate(self) -> None:
        """Renew the lab's own certificate and take changed files, until cancelled."""
        looks = 0
        while self._live is not None:
            await asyncio.sleep(_LOOK_SECONDS)
            looks += 1
            if self._own is not None and looks * _LOOK_SECONDS >= _RENEW_SECONDS:
                looks = 0
                try:
                    await asyncio.to_thread(self._own.renew)
                except CertificateError as error:
                    log.error("the certificate is not renewed: %s", error)  # noqa: TRY400 - for the admin
            self._live.refresh()

    def _shown_name(self) -> str:
        if self._asked:
            return self._asked[0][0]
        if not _is_any(self.host):
            return str(self.host)
        return socket.gethostname()

    def _certified_names(self) -> set[str]:
        return {socket.gethostname().lower(), *(self._live.names if self._live else ())}

    def _found_names(self) -> list[str]:
        addresses = host_addresses() if _is_any(self.host) else [self.host]
        return [socket.gethostname(), "localhost", *addresses, "127.0.0.1", "::1"]


@contextlib.contextmanager
def listening(address: str, protection: Protection) -> Iterator[PublicPort]:
    """Hold a port.

    Args:
        address: ``HOST:PORT``.
        protection: What protects it.

    Raises:
        PortError: it cannot be had, or would carry tokens in the clear without anybody having said so.
    """
    protection.check()
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > _LAST_PORT:
        raise PortError(f'--listen {address}: write HOST:PORT, for example "127.0.0.1:8066"')
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, int(port)))
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "is that an address of this host?")
            raise PortError(f"cannot listen on {address}: {error}; {advice}") from None
        held = PublicPort(listener, protection)
        if not held.protected and not protection.plain and not _is_loopback(held.host):
            raise PortError(
                f"{address} is reached from other hosts, and without TLS everybody on the way reads the "
                "tokens: leave --tls off out (or bring a certificate with --tls-cert and --tls-key), or say "
                "--plain-http if something else protects the way"
            )
        listener.listen(256)
        yield held


def _is_loopback(host: str) -> bool:
    return ip_address(host.partition("%")[0]).is_loopback


def _is_any(host: str) -> bool:
    return ip_address(host.partition("%")[0]).is_unspecified
