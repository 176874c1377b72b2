"""Fetching an image for somebody who may not have the server ask every host it reaches.

It is the server that fetches: what listens for it alone (another daemon's API on it, a cloud's metadata, the
plugs of the lab) is not for whoever may import an image. What counts is the address a connection has really
got, also after a redirect: a name may mean something else the next time it is looked up.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import urllib.request
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class InnerHostError(OSError):
    """An address leads to the server itself, to its own link, or to equipment of the lab."""


class Barred:
    """The addresses no connection may be made to.

    Args:
        hosts: Names and addresses besides the server's own; those that mean nothing are left out.
    """

    def __init__(self, hosts: Collection[str]) -> None:
        self._addresses: set[Address] = set()
        for host in hosts:
            try:
                found = socket.getaddrinfo(host, None)
            except (OSError, UnicodeError):
                continue
            self._addresses |= {_address(str(name[0])) for *_, name in found}

    def check(self, connection: socket.socket) -> None:
        """Raise InnerHostError when a connection leads where it must not."""
        peer, own = _address(connection.getpeername()[0]), _address(connection.getsockname()[0])
        if peer == own or peer.is_loopback or peer.is_link_local or peer in self._addresses:
            raise InnerHostError(
                f"{peer} is the server itself, on its own link, or equipment of the lab; "
                "only an admin may import from there"
            )


def _address(text: str) -> Address:
    ip = ipaddress.ip_address(text.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


def outer(hosts: Collection[str]) -> urllib.request.OpenerDirector:
    """Return what opens ``http`` and ``https`` addresses, but none that lead inside.

    No proxy is asked: it would connect where this cannot see.
    """
    barred = Barred(hosts)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Http(barred),
        _Https(barred),
    ):
        opener.add_handler(handler)
    return opener


class _Plain(http.client.HTTPConnection):
    def __init__(self, barred: Barred, host: str, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._barred = barred

    def connect(self) -> None:
        super().connect()
        self._barred.check(self.sock)


class _Secure(http.client.HTTPSConnection):
    def __init__(self, barred: Barred, host: str, timeout: float) -> None:
        super().__init__(host, timeout=timeout, context=ssl.create_default_context())
        self._barred = barred

    def connect(self) -> None:
        super().connect()
        self._barred.check(self.sock)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, barred: Barred) -> None:
        super().__init__()
        self._barred = barred

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Plain, self._barred), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, barred: Barred) -> None:
        super().__init__()
        self._barred = barred

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Secure, self._barred), req)
