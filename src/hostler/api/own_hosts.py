"""Which hosts are this server's own: a login by key counts for the host it was signed for, and for no other.

What a key signs names the host that its owner dialled. A server that passes somebody's login on to another
one gets nothing there: the other one finds a host in it that is not its own.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.api.authority import CertificateError, normal_name
from hostler.hub.errors import UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import Scope

    Host = tuple[str, int | None]
    """A name or address in its usual form, and a port; None: whatever port the server has."""


def _no_names() -> Iterable[str]:
    return ()


def read_host(text: str) -> Host:
    """Read ``NAME``, ``NAME:PORT``, ``ADDRESS`` or ``[ADDRESS]:PORT``.

    Raises:
        CertificateError: it is none of them.
    """
    try:
        return _plain(str(ipaddress.ip_address(text.strip("[]").partition("%")[0]))), None
    except ValueError:
        pass
    name, colon, port = text.rpartition(":")
    if not colon:
        return normal_name(text), None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise CertificateError(f'"{text}" is no host: write NAME or NAME:PORT')
    return _plain(normal_name(name)), int(port)


@dataclass(frozen=True, slots=True)
class OwnHosts:
    """What this server is called.

    Attributes:
        asked: Hosts the administrator named; one without a port is meant at the server's port.
        found: Returns names found otherwise, those in the certificate for example.
    """

    asked: tuple[Host, ...] = ()
    found: Callable[[], Iterable[str]] = _no_names

    def check(self, host: str, scope: Scope) -> None:
        """Raise UnauthenticatedError unless a host is this server's own.

        Args:
            host: ``NAME:PORT`` as the client dialled it.
            scope: The request that says so. It tells which address and port were reached in truth, and from
                where: a loopback name means this host only to those who are on it.
        """
        try:
            name, port = read_host(host)
        except CertificateError:
            name, port = "", None
        if port is None or not self._is_own(name, port, scope):
            raise UnauthenticatedError(
                f'this login was signed for "{host}", which is no name of this server; if it should be one, '
                f"have the server started with --name {host}",
                kind="wrong-host",
            )

    def _is_own(self, name: str, port: int, scope: Scope) -> bool:
        address, own_port = scope.get("server") or ("", None)
        if (name, port) in self.asked:
            return True
        if port != own_port:
            return False  # another server on the same host, which may be somebody else's
        if name in (asked for asked, _ in self.asked):
            return True
        if _is_loopback(name):
            client = scope.get("client")
            return client is not None and _is_loopback(_plain(client[0]))
        return name == _plain(address) or name in self.found()


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")  # RFC 6761 section 6.3


def _plain(address: str) -> str:
    """Return an address as people write it: without its link, and an IPv4 one never as IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
