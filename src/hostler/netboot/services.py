"""DHCP, TFTP and HTTP boot together, for the networks of one namespace."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.model.trace import TraceEvent
from hostler.netboot.boot_files import BootFiles
from hostler.netboot.chunk_shelf import Elsewhere
from hostler.netboot.dhcp6_server import Dhcp6Server
from hostler.netboot.dhcp_loop import DhcpServerError
from hostler.netboot.dhcp_server import DhcpServer
from hostler.netboot.first_stage_watch import FirstStageWatch, words
from hostler.netboot.http_server import BootHttp, HttpBindError
from hostler.netboot.leases import DUID_KEY
from hostler.netboot.no_router import NoRouter
from hostler.netboot.packet_recorder import PacketRecorder
from hostler.netboot.render_grub import failure
from hostler.netboot.setup import LEASES_FILE
from hostler.netboot.table import DhcpMode
from hostler.netboot.tftp_server import TftpServer, TftpStartError
from hostler.netboot.trace_budget import WithinBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.netboot.agent_door import Rack
    from hostler.netboot.chunk_shelf import Supply
    from hostler.netboot.setup import NetbootSetup
    from hostler.netboot.table import Address, BootTable

_LOOK_SECONDS = 5.0
"""How late it is told that a boot loader did not start."""


class ServicesError(Exception):
    """A service cannot start; the message names port and network and says what to do. None runs then."""


class Services:
    """The three boot services.

    Args:
        setup: What to serve.
        table: What every board is to do; filled by the caller.
        emit: Takes trace events from any thread; never blocks.
        rack: Takes agents' reports.
        supply: Brings chunks of images that are at home on another server.
    """

    def __init__(
        self, setup: NetbootSetup, table: BootTable, emit: Callable[[TraceEvent], None], rack: Rack,
        supply: Supply | None = None,
    ) -> None:  # fmt: skip
        # A boot loader that is not installed is not promised by DHCP: such a board's refusal says so.
        firmware = {name: path for name, path in setup.firmware.items() if path.is_file()}
        self._table = table

        def emit_files(event: TraceEvent) -> None:
            # What stands for the MAC of an IPv6 client that tells none says nothing to people.
            unknown = event.mac is not None and event.mac.startswith(DUID_KEY)
            emit(dataclasses.replace(event, mac=None) if unknown else event)

        # One for each: they run in threads of their own.
        self._emit_tftp, self._emit_http = WithinBudget(emit_files), WithinBudget(emit_files)
        self._first_stages = FirstStageWatch()
        self._dhcp = DhcpServer(
            setup.networks, table, emit, state=setup.state_dir / LEASES_FILE, boot_files=firmware.keys(),
            first_stages=self._first_stages,
        )  # fmt: skip
        self._dhcp6 = Dhcp6Server(
            setup.networks, table, emit, state_dir=setup.state_dir, boot_files=firmware.keys(),
            first_stages=self._first_stages,
        )  # fmt: skip
        files = BootFiles(table, setup.networks, self._mac_of, firmware)
        here = [network for network in setup.networks if network.behind is None]
        self._tftp = TftpServer(here, files.open, self._emit_named)
        self._packets = PacketRecorder(here, table, self._mac_of, setup.state_dir)
        self._no_router = NoRouter(
            network for network in here if network.dhcp is DhcpMode.OWN or network.address6 is not None
        )
        self._http = BootHttp(
            table,
            setup.networks,
            self._mac_of,
            lambda event: self._emit_http(self._noted(event)),
            rack,
            setup.store,
            files.open,
            Elsewhere(setup.cache, supply) if setup.cache is not None and supply is not None else None,
        )

    async def start(self) -> None:
        """Open all sockets and begin to answer; DHCP last, for it is what sends boards to the others.

        Raises:
            ServicesError: One of them cannot start.
        """
        try:
            self._dhcp.open()
            self._dhcp6.open()
            self._packets.start()
            await self._http.start()
            self._tftp.start()
            self._no_router.start()
            self._dhcp.start()
            self._dhcp6.start()
        except (HttpBindError, TftpStartError, DhcpServerError) as error:
            await self.stop()
            raise ServicesError(str(error)) from error

    async def stop(self) -> None:
        """Stop what runs."""
        self._no_router.stop()
        for server in (self._dhcp, self._dhcp6, self._tftp, self._packets):
            await asyncio.to_thread(server.stop)
        await self._http.close()

    async def watch(self) -> None:
        """Tell, for ever, whose firmware has fetched a boot loader and not started it."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for one in self._first_stages.overdue(time.time()):
                target = self._table.by_mac(one.mac)
                board, boot = (target.board, target.boot) if target else (None, None)
                text = words(one, board or one.mac)
                self._emit_http(
                    TraceEvent(
                        time.time(), "tftp", "not-started", text, board, one.mac, boot, {"file": one.file}
                    )
                )

    def _mac_of(self, address: Address) -> str | None:
        """The MAC that has an address, or what stands for one; see `hostler.netboot.dhcp6_identity`."""
        return self._holder(str(address))

    def _holder(self, address: str) -> str | None:
        return self._dhcp6.mac_of(address) if ":" in address else self._dhcp.mac_of(address)

    def _emit_named(self, event: TraceEvent) -> None:
        """TFTP knows its clients by address; the trace is kept by board."""
        client = event.data.get("client")
        if event.board is None and isinstance(client, str):
            mac = self._holder(client)
            target = self._table.by_mac(mac) if mac else None
            event = dataclasses.replace(
                event, mac=mac, board=target.board if target else None, boot=target.boot if target else None
            )
            if event.kind == "notfound" and target is not None and target.intent is BootIntent.LOCAL:
                event = dataclasses.replace(event, text=f"{event.text}: it is to go on to its disk")
        self._emit_tftp(self._noted(event))

    def _noted(self, event: TraceEvent) -> TraceEvent:
        """Note what an event tells of a boot loader; return it, in words where only a file's name says it."""
        file = str(event.data.get("file", ""))
        if event.mac is not None and event.source == "http" and file == "ipxe":
            self._first_stages.started(event.mac)
        if event.kind != "done":
            return event
        if event.mac is not None:
            self._first_stages.fetched(event.mac, file, event.at)
        if (trouble := failure(file)) is not None:
            who = event.board or event.mac or event.data.get("client")
            return dataclasses.replace(event, kind="failed", text=f"{who}: {trouble}")
        return event
