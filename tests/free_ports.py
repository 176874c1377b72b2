"""Ports for servers that cannot choose one themselves: nobody else gets one before its server has it."""

from __future__ import annotations

import itertools
import os
import random
import socket

_FIRST, _EACH, _WORKERS = 20000, 1000, 12
"""Below those that the kernel gives to whoever asks for any (net.ipv4.ip_local_port_range, from 32768 on),
and a thousand for each of the processes that run tests at the same time."""
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_turns = itertools.count(random.randrange(_EACH))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of loopback that is free, and another one each time."""
    for turn in itertools.islice(_turns, _EACH):
        port = _FIRST + _worker * _EACH + turn % _EACH
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no free port")
