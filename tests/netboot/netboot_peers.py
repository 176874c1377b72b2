"""What tests of the netboot process share: a rack that remembers, and a namespace found by its pid file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from hostler.netboot.child import NetbootChild
from hostler.netboot.setup import NetbootSetup
from hostler.netboot.table import NetworkConfig
from netns import SERVER_INTERFACE, Lan

NETWORK = NetworkConfig(
    name="bench",
    interface=SERVER_INTERFACE,
    address=IPv4Interface("10.77.0.1/24"),
    range_first=IPv4Address("10.77.0.100"),
    range_last=IPv4Address("10.77.0.150"),
)


class Rack:
    """What the netboot process told, kept for the test."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.seen: list[tuple[str, str]] = []
        self.reports: list[tuple[str, str, str, Any]] = []
        self.status = 204

    async def report(self, kind: str, board: str, boot: str, body: Any) -> int:
        self.reports.append((kind, board, boot, body))
        return self.status

    def child(self, setup: NetbootSetup, **options: Any) -> NetbootChild:
        return NetbootChild(
            setup,
            on_event=self.events.append,
            on_seen=lambda board, boot, _at: self.seen.append((board, boot)),
            on_request=self.report,
            **options,
        )

    def kinds(self, source: str) -> list[str]:
        return [event.kind for event in self.events if event.source == source]


async def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


@contextlib.contextmanager
def pid_in(lan: Lan, folder: Path):
    """A pid file of a process in the server's namespace, as the virtual lab writes one."""
    holder = lan.server.popen("sleep", "3600")  # longer than any test
    pidfile = folder / "holder.pid"
    # Until `ip` has taken it inside its pid names the wrong namespace.
    deadline = time.monotonic() + 60
    while holder.pid not in lan.server.pids():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pidfile.write_text(f"{holder.pid}\n")
    try:
        yield pidfile
    finally:
        holder.kill()
        holder.wait(5)


@contextlib.contextmanager
def setup_in(lan: Lan, folder: Path, firmware: Mapping[str, Path] | None = None) -> Iterator[NetbootSetup]:
    """What a netboot process serves in the server's namespace; it keeps all it has in the folder."""
    with pid_in(lan, folder) as pidfile:
        yield NetbootSetup(
            networks=(NETWORK,),
            store=folder / "store",
            state_dir=folder / "state",
            firmware=dict(firmware or {}),
            netns_pidfile=pidfile,
        )


def noise(path: Path, size: int) -> Path:
    """Write what looks like a boot loader of a size in bytes."""
    path.write_bytes(b"MZ" + os.urandom(size))
    return path
