"""Keeps the packets of boots: what boards and the boot services say to each other, as it was on the wire.

The kernel picks them out (`hostler.wire.packet_filter`), so that bulk costs nothing here. It is a
convenience: in a storm the kernel drops what this thread does not fetch, so that no answer of the services
waits for it, and how many those were is noted in the capture. Without the right to see packets nothing is
kept.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from collections import OrderedDict, defaultdict
from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from hostler.netboot.packet_files import FOLDER, MOST_A_BOOT, PacketFiles
from hostler.netboot.packet_ring import PacketRing
from hostler.wire.boot_packet import BootPacket, BootPorts, Kind, boot_packet
from hostler.wire.packet_filter import EACH_BLOCKS, FIRST_BLOCKS, SNAP, boot_filter
from hostler.wire.pcapng import lost, packet, section

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hostler.netboot.table import Address, BootTable, NetworkConfig, Target

log = logging.getLogger(__name__)

BATCH: Final = 64
PAUSE_SECONDS: Final = 0.05
"""At most a batch of each interface in this time: some 1,300 packets a second, a fiftieth of a core. It is
longer than the kernel keeps packets back, so that at the end all that was heard is there."""
FLOWS: Final = 4096
"""Conversations remembered: an answer is kept when its question was."""
STOP_SECONDS: Final = 5.0
REST_SECONDS: Final = 2.0
"""How long at the end what the kernel still holds is put onto the disk."""
LOOK_SECONDS: Final = 2.0
"""How long an interface that was removed and made again stays unheard: its old socket does not tell."""
_QUIET_SECONDS = 60.0

COMMENT: Final = (
    "What this board and the boot services said, as it passed the server's network interface: DHCP and DHCPv6"
    " whole, also other servers' answers; of TFTP requests, options, errors and the headers of blocks (the"
    f" first {FIRST_BLOCKS}, then each {EACH_BLOCKS}th); of HTTP the heads of requests and answers, and the"
    " packets that begin and end a connection. File contents, bare TCP acknowledgements and what the agent"
    " says are left out, so Wireshark tells of lost segments where none were lost. At most"
    f" {MOST_A_BOOT >> 10} KiB of a boot, from its begin. Tokens are overwritten by asterisks."
)


class _Ear(NamedTuple):
    number: int
    ifindex: int
    ring: PacketRing


class PacketRecorder:
    """The thread.

    Args:
        networks: Whose interfaces to listen on.
        table: Whose boot a packet belongs to.
        mac_of: MAC that holds the lease of an address, or None.
        state_dir: Has the folder of the packets.
    """

    def __init__(
        self,
        networks: Sequence[NetworkConfig],
        table: BootTable,
        mac_of: Callable[[Address], str | None],
        state_dir: Path,
    ) -> None:
        self._table = table
        self._mac_of = mac_of
        self._interfaces = sorted({network.interface for network in networks})
        self._ports = BootPorts(
            dhcp=BootPorts().dhcp | {network.dhcp_port for network in networks},
            dhcp6=BootPorts().dhcp6 | {network.dhcp6_port for network in networks},
            tftp=next((network.tftp_port for network in networks), BootPorts().tftp),
            http=frozenset(network.http_port for network in networks),
        )
        self._files = PacketFiles(state_dir / FOLDER, section(self._interfaces, SNAP, COMMENT))
        self._ears: list[_Ear] = []
        self._asked: OrderedDict[tuple[bool, tuple[bytes, int]], None] = OrderedDict()
        self._wake = -1
        self._stopping = False
        self._quiet_until = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen in the calling thread's network namespace, where that is permitted."""
        for number, interface in enumerate(self._interfaces):
            try:
                self._ears.append(self._hear(number, interface))
            except (OSError, ValueError) as error:
                log.info("packets on %s are not kept for `hostler trace --pcap`: %s", interface, error)
        if self._ears:
            self._stopping = False
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._thread = threading.Thread(target=self._run, name="packets", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, after what has been heard is on the disk; harmless if not running."""
        if self._thread is None:
            return
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():
            for ear in self._ears:
                ear.ring.close()
            os.close(self._wake)
        self._ears.clear()
        self._thread = None

    def _run(self) -> None:
        with select.epoll() as poll:
            poll.register(self._wake, select.EPOLLIN)
            for ear in self._ears:
                poll.register(ear.ring.fileno(), select.EPOLLIN)
            look = time.monotonic() + LOOK_SECONDS
            while not self._stopping:
                poll.poll(LOOK_SECONDS)
                self._take()
                if time.monotonic() >= look:
                    look = time.monotonic() + LOOK_SECONDS
                    self._hear_again(poll)
                time.sleep(PAUSE_SECONDS)
            time.sleep(PAUSE_SECONDS)  # it may have been told to end only now
            until = time.monotonic() + REST_SECONDS
            while self._take() and time.monotonic() < until:
                pass

    def _hear(self, number: int, interface: str) -> _Ear:
        """Listen on an interface.

        Raises:
            OSError: It is not there, or that is not permitted.
            ValueError: The networks have too many ports.
        """
        ifindex = socket.if_nametoindex(interface)
        return _Ear(number, ifindex, PacketRing(interface, boot_filter(self._ports)))

    def _hear_again(self, poll: select.epoll) -> None:
        """Listen anew on interfaces that were removed and made again: a socket stays with the old one."""
        for place, ear in enumerate(self._ears):
            interface = self._interfaces[ear.number]
            with contextlib.suppress(OSError):  # it is still away
                if socket.if_nametoindex(interface) == ear.ifindex:
                    continue
                again = self._hear(ear.number, interface)
                ear.ring.close()
                self._ears[place] = again
                poll.register(again.ring.fileno(), select.EPOLLIN)
                log.info("packets on %s are kept again", interface)

    def _take(self) -> bool:
        """Fetch a batch of each interface and put it where it belongs; returns whether one was full."""
        full = False
        blocks: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        for ear in self._ears:
            try:
                full |= self._take_from(ear, blocks) == BATCH
            except OSError as error:  # such as that it is down; the others are heard all the same
                self._complain(f"packets on {self._interfaces[ear.number]} are not kept: {error}")
            except Exception:
                log.exception("packets of boots could not be kept")
        for (board, boot), found_blocks in blocks.items():
            try:
                self._files.add(board, boot, b"".join(found_blocks))
            except OSError as error:
                self._complain(f"packets of boots are not kept: {error}")
        return full

    def _take_from(self, ear: _Ear, blocks: dict[tuple[str, str], list[bytes]]) -> int:
        """Add a batch of one interface to the blocks of boards and boots; returns how many packets it had.

        Raises:
            OSError: It is no longer heard; what was heard before is added.
        """
        heard: set[tuple[str, str]] = set()
        at, taken = time.time_ns(), 0
        for at, frame, length, outgoing in islice(ear.ring.frames(), BATCH):
            taken += 1
            found = boot_packet(frame, self._ports, outgoing=outgoing)
            target = self._whose(found) if found is not None else None
            if found is None or target is None or target.boot is None:
                continue
            kept = _covered(found.kept, target)
            comment = "a token is overwritten" if kept != frame[: len(kept)] else ""
            key = (target.board, target.boot)
            heard.add(key)
            blocks[key].append(packet(ear.number, at, kept, length, outgoing=outgoing, comment=comment))
        if heard and (missed := ear.ring.missed()):
            for key in heard:
                blocks[key].append(lost(ear.number, at, missed))
        return taken

    def _whose(self, found: BootPacket) -> Target | None:
        """Return the board a packet concerns, or None: nobody's, or an answer to what was left out."""
        tcp = found.kind in (Kind.CONNECTION, Kind.REQUEST, Kind.ANSWER)
        flow = (tcp, found.client)
        if found.kind in (Kind.FILE_REQUEST, Kind.REQUEST):
            self._asked[flow] = None
            self._asked.move_to_end(flow)
            if len(self._asked) > FLOWS:
                self._asked.popitem(last=False)
        elif found.kind in (Kind.TRANSFER, Kind.ANSWER) and flow not in self._asked:
            return None
        target = self._table.by_mac(found.mac)
        if target is None and found.kind is not Kind.DHCP:
            # It is behind a router, or asks with a MAC that only its lease tells.
            mac = self._mac_of(ip_address(found.client[0]))
            target = self._table.by_mac(mac) if mac else None
        return target

    def _complain(self, text: str) -> None:
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET_SECONDS
            log.warning("%s", text)


def _covered(kept: bytes, target: Target) -> bytes:
    """Return bytes without the token of the boot, wherever it may stand."""
    token = (target.token or "").encode()
    return kept.replace(token, b"*" * len(token)) if token else kept
