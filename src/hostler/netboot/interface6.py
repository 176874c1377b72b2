"""IPv6 on an interface of this host: whether an address is there, and sockets bound to it."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv6Interface

# Of the calling thread's own network namespace.
_ADDRESSES = Path("/proc/thread-self/net/if_inet6")
_IPV6_FREEBIND = 78  # linux/in6.h; the socket module does not name it


class Address6Error(OSError):
    """An address is not there; the text says what to do."""


def has_address(table: str, interface: str, address: bytes) -> bool:
    """Find an address (16 bytes) of an interface in the text of ``/proc/net/if_inet6``."""
    return any(
        columns[0] == address.hex() and columns[5] == interface
        for columns in map(str.split, table.splitlines())
        if len(columns) == 6
    )


def check_address(interface: str, address: IPv6Interface) -> None:
    """Make sure that an interface has an address.

    One that is still looked for duplicates of counts: it will be there in a second.

    Raises:
        Address6Error: It has not, or there is no such interface.
    """
    if interface not in (name for _, name in socket.if_nameindex()):
        raise Address6Error(errno.ENODEV, f"there is no interface {interface} here; see `ip link`")
    try:
        table = _ADDRESSES.read_text()
    except OSError:
        raise Address6Error(errno.EAFNOSUPPORT, "this kernel has no IPv6; remove address6") from None
    if not has_address(table, interface, address.ip.packed):
        command = f"ip -6 address add {address} dev {interface}"
        raise Address6Error(
            errno.EADDRNOTAVAIL, f"{address.ip} is not an address of {interface}; `{command}`"
        )


def bind(sock: socket.socket, interface: str, address: str, port: int) -> str | None:
    """Bind an IPv6 socket to an address, even one not usable yet, and where permitted to an interface.

    Returns:
        The interface, or None: this process may not bind to it, and the address has to do.

    Raises:
        OSError: It cannot be bound.
    """
    device: str | None = interface
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    except PermissionError:
        device = None
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    sock.bind((address, port))
    return device
