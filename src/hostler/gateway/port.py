"""A TCP port of ssh's own, for those who want one beside the tunnel."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BACKLOG = 64


class SshPortError(Exception):
    """The port cannot be had; the text says why and what to do."""


@contextlib.contextmanager
def listening(address: str | None) -> Iterator[socket.socket | None]:
    """Hold a port for ssh; None: none is wanted.

    Args:
        address: ``HOST:PORT``, or None.

    Raises:
        SshPortError: it cannot be had.
    """
    if address is None:
        yield None
        return
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdigit()):
        raise SshPortError(f'--ssh-listen {address}: write HOST:PORT, for example "0.0.0.0:2222"')
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        advice = "sshd or another server is there" if taken else "is it an address of this host?"
        raise SshPortError(f"cannot listen on {address}: {error}; {advice}: see --ssh-listen") from None
    with listener:
        listener.setblocking(False)
        yield listener
