"""The rack's netboot processes: one for each network namespace it serves, each told about every board."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.netboot.child import NetbootChild, NetbootError
from hostler.netboot.setup import LEASES_FILE, NetbootSetup
from hostler.rack.networks import by_namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostler.model.trace import TraceEvent
    from hostler.netboot.table import NetworkConfig, Target
    from hostler.rack.agents import AgentReports
    from hostler.rack.chunk_supply import ChunkSupply

log = logging.getLogger(__name__)

_RETRY_SECONDS = 3.0
"""Pause before a netboot process that could not start is tried again: its ports may get free."""

# Debian's places of the first stages firmware asks for by TFTP (package ipxe).
_FIRMWARE = {
    "undionly.kpxe": Path("/usr/lib/ipxe/undionly.kpxe"),
    "snponly.efi": Path("/usr/lib/ipxe/snponly.efi"),
    "snponly-arm64.efi": Path("/usr/lib/ipxe/snponly-arm64.efi"),
}


class _Group:
    """The networks of one namespace, the process that serves them, and the task that keeps it."""

    def __init__(self, setup: NetbootSetup, child: NetbootChild) -> None:
        self.setup = setup
        self.child = child
        self.refused = "it is not started yet"
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        while True:
            try:
                async with self.child:
                    self.refused = ""
                    names = ", ".join(network.name for network in self.setup.networks)
                    log.info("network boot serves %s", names)
                    await self._until_moved()
            except NetbootError as error:
                if self.refused != str(error):
                    self.refused = str(error)
                    log.error("network boot: %s (tried again every %g s)", error, _RETRY_SECONDS)  # noqa: TRY400
            await asyncio.sleep(_RETRY_SECONDS)

    async def _until_moved(self) -> None:
        """Return when the networks are in another namespace: their lab was started again."""
        pidfile = self.setup.netns_pidfile
        began_in = _text(pidfile)
        while _text(pidfile) == began_in:  # noqa: ASYNC110 - a file tells nobody that it changed
            await asyncio.sleep(_RETRY_SECONDS)


def _text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text()
    except OSError:
        return ""


class Netboot:
    """All netboot processes of a rack.

    Args:
        store: Root of the chunk store.
        state_dir: Where leases are kept, a folder for each namespace.
        on_event: Takes trace events.
        reports: Takes agents' words.
        supply: Brings images that are at home on another server; None: there are none.
    """

    def __init__(
        self, store: Path, state_dir: Path, on_event: Callable[[TraceEvent], None], reports: AgentReports,
        supply: ChunkSupply | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._supply = supply
        self._state_dir = state_dir
        self._on_event = on_event
        self._reports = reports
        self._groups: dict[Path | None, _Group] = {}
        self._targets: dict[str, Target] = {}
        self._artefacts: dict[str, Path] = {}

    async def serve(self, networks: Mapping[str, Mapping[str, Any]], tasks: asyncio.TaskGroup) -> None:
        """Serve exactly these networks: begin, end and restart processes as needed."""
        wanted = {pidfile: self._setup(pidfile, group) for pidfile, group in by_namespace(networks).items()}
        for pidfile in [key for key, group in self._groups.items() if wanted.get(key) != group.setup]:
            group = self._groups.pop(pidfile)
            if group.task is not None:
                group.task.cancel()
                await asyncio.wait({group.task})
        for pidfile, setup in wanted.items():
            if pidfile not in self._groups:
                group = self._groups[pidfile] = _Group(setup, self._child(setup))
                group.task = tasks.create_task(group.run(), name="netboot")

    def put_target(self, target: Target) -> None:
        """Say what a board is to be answered; nothing happens when it was said already."""
        if self._targets.get(target.board) != target:
            self._targets[target.board] = target
            for group in self._groups.values():
                group.child.put_target(target)

    def drop_target(self, board: str) -> None:
        """Forget a board."""
        if self._targets.pop(board, None) is not None:
            for group in self._groups.values():
                group.child.drop_target(board)

    def put_artefact(self, artefact: str, path: Path) -> None:
        """Register a file to be served by its id."""
        if self._artefacts.get(artefact) != path:
            self._artefacts[artefact] = path
            for group in self._groups.values():
                group.child.put_artefact(artefact, path)

    def trouble(self, network: str) -> str:
        """Tell why a network is not served; empty when it is."""
        for group in self._groups.values():
            if any(served.name == network for served in group.setup.networks):
                return group.refused or group.child.problem or ""
        return "nothing is served on it (dhcp is none)"

    def leases(self, network: str) -> Path | None:
        """Return the file that keeps a network's leases; None: Hostler gives no addresses there."""
        for group in self._groups.values():
            if any(served.name == network for served in group.setup.networks):
                return group.setup.state_dir / LEASES_FILE
        return None

    def served(self) -> list[tuple[NetworkConfig, Path]]:
        """Return the networks that are served, each with the file that keeps its leases."""
        return [
            (network, group.setup.state_dir / LEASES_FILE)
            for group in self._groups.values()
            for network in group.setup.networks
        ]

    def _setup(self, pidfile: Path | None, networks: list[Any]) -> NetbootSetup:
        place = "-".join(sorted(network.name for network in networks))
        firmware = {name: path for name, path in _FIRMWARE.items() if path.exists()}
        return NetbootSetup(
            networks=tuple(networks),
            store=self._store,
            state_dir=self._state_dir / "netboot" / place,
            firmware=firmware,
            netns_pidfile=pidfile,
            cache=self._supply.cache if self._supply is not None else None,
        )

    def _child(self, setup: NetbootSetup) -> NetbootChild:
        child = NetbootChild(
            setup,
            on_event=self._on_event,
            on_seen=self._reports.seen,
            on_request=self._reports.report,
            on_fetch=self._supply.fetch if self._supply is not None else None,
            on_read=self._supply.read if self._supply is not None else None,
        )
        for artefact, path in self._artefacts.items():
            child.put_artefact(artefact, path)
        for target in self._targets.values():
            child.put_target(target)
        return child
