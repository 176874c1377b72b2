"""Network namespaces for tests with real peers: two of them joined by a veth pair.

Everything made here is gone when the ``with`` block ends, whatever happened inside it.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNET = 0x40000000
SERVER_INTERFACE = "srv0"
CLIENT_INTERFACE = "cli0"

_libc = ctypes.CDLL(None, use_errno=True)
_count = itertools.count()


@dataclass(frozen=True, slots=True)
class Namespace:
    """One network namespace, named in ``/run/netns``."""

    name: str

    def argv(self, *command: str) -> list[str]:
        """Return the argument list that runs a command inside."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str, timeout: float = 30, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside and return its output as text; raises with that output if it fails."""
        done = subprocess.run(
            self.argv(*command), capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def popen(self, *command: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a command inside; it is ended with the namespace at the latest."""
        return subprocess.Popen(self.argv(*command), **options)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread inside: sockets it opens there stay there after it has left."""
        with (
            Path("/proc/thread-self/ns/net").open("rb") as home,
            Path("/run/netns", self.name).open("rb") as ns,
        ):
            _setns(ns.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def pids(self) -> list[int]:
        """Return the processes that live inside."""
        done = subprocess.run(
            ["ip", "netns", "pids", self.name], capture_output=True, text=True, timeout=10, check=False
        )
        return [pid for pid in map(int, done.stdout.split()) if pid != os.getpid()]


@dataclass(frozen=True, slots=True)
class Lan:
    """A server's and a client's namespace on one cable.

    Attributes:
        server: Has ``SERVER_INTERFACE`` with the server's address.
        client: Has ``CLIENT_INTERFACE``, up, without an address unless one was asked for.
        client_mac: MAC of the client's interface, lower case with colons.
    """

    server: Namespace
    client: Namespace
    client_mac: str


@contextmanager
def joined(
    server_address: str | None = "10.77.0.1/24",
    client_address: str | None = None,
    client_mac: str = "52:54:00:77:00:01",
) -> Iterator[Lan]:
    """Make two namespaces joined by a veth pair; remove them and all that runs in them at the end."""
    stem = f"ht{os.getpid()}-{next(_count)}"
    server, client = Namespace(f"{stem}s"), Namespace(f"{stem}c")
    try:
        for namespace in (server, client):
            _ip("netns", "add", namespace.name)
            _ip("-n", namespace.name, "link", "set", "lo", "up")
        _ip("-n", server.name, "link", "add", SERVER_INTERFACE, "type", "veth",
            "peer", "name", CLIENT_INTERFACE, "address", client_mac, "netns", client.name)  # fmt: skip
        for namespace, interface, address in (
            (server, SERVER_INTERFACE, server_address),
            (client, CLIENT_INTERFACE, client_address),
        ):
            if address:
                _ip("-n", namespace.name, "address", "add", address, "brd", "+", "dev", interface)
            _ip("-n", namespace.name, "link", "set", interface, "up")
        yield Lan(server, client, client_mac)
    finally:
        for namespace in (client, server):
            _remove(namespace)


def _remove(namespace: Namespace) -> None:
    """End what runs inside, kindly and then not, and delete the namespace."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        pids = namespace.pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + 2
        while pids and namespace.pids() and time.monotonic() < deadline:
            time.sleep(0.02)
            for child in pids:
                with suppress(ChildProcessError):
                    os.waitpid(child, os.WNOHANG)
    subprocess.run(["ip", "netns", "del", namespace.name], capture_output=True, timeout=10, check=False)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _setns(descriptor: int) -> None:
    # os.setns comes with Python 3.12.
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
