"""Other DHCP servers on a boot network: heard on the wire, and named to whoever wonders why a board fails.

A server's answers go to the clients' port, where we do not listen; so they are taken from the
interface itself.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from socket import inet_ntoa
from typing import TYPE_CHECKING, NamedTuple

from hostler.model.trace import TraceEvent, printable
from hostler.netboot.table import DhcpMode
from hostler.netboot.trace_budget import TraceBudget
from hostler.wire import dhcp_options as option
from hostler.wire.dhcp import NOWHERE, REPLY, DhcpError, Message, MessageType

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hostler.model.json import Document
    from hostler.netboot.table import BootTable, NetworkConfig

_SO_ATTACH_FILTER = 26
_ETH_P_IP = 0x0800
_UDP = 17
# Told of one server to one client: once in a boot or so; a storm is not to hide what else happens.
_BURST, _RATE, _PAIRS = 2, 1 / 60, 4096
_TOTAL_BURST, _TOTAL_RATE = 100, 5
_MOST_SERVERS = 64

# Datagrams from UDP port 67, as classic BPF over the IP header: protocol, no fragment, source port.
_FILTER = (
    (0x30, 0, 0, 9), (0x15, 0, 6, _UDP), (0x28, 0, 0, 6), (0x45, 4, 0, 0x1FFF), (0xB1, 0, 0, 0),
    (0x48, 0, 0, 0), (0x15, 0, 1, 67), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0),
)  # fmt: skip
_VERBS = {MessageType.OFFER: "offers", MessageType.ACK: "gives", MessageType.NAK: "refuses"}


class Heard(NamedTuple):
    """One answer of a server to a client.

    Attributes:
        server: IPv4 address it calls itself, or else the one it came from.
        message: What it said.
    """

    server: str
    message: Message


def read_packet(packet: bytes) -> Heard | None:
    """Read an IP packet; None if it is no server's answer."""
    if len(packet) < 28 or packet[0] >> 4 != 4 or packet[9] != _UDP:
        return None
    start = (packet[0] & 15) * 4
    if packet[start : start + 2] != b"\x00\x43":
        return None
    try:
        message = Message.parse(packet[start + 8 :])
    except DhcpError:
        return None
    if message.op != REPLY or message.message_type not in _VERBS:
        return None
    return Heard(inet_ntoa(message.server_id or packet[12:16]), message)


class OtherServers:
    """Judges the answers heard on some networks.

    Args:
        ours: This host's own addresses there.
        table: The boards.
        emit: Takes what is to be traced.
    """

    def __init__(self, ours: Collection[str], table: BootTable, emit: Callable[[TraceEvent], None]) -> None:
        self._ours = frozenset(ours)
        self._table = table
        self._emit = emit
        self._budget = TraceBudget(_BURST, _RATE, _PAIRS, _TOTAL_BURST, _TOTAL_RATE)
        self._givers: dict[str, str] = {}

    def hear(self, packet: bytes, sender: str, network: NetworkConfig, now: float) -> None:
        """Take an IP packet that came in on a network's interface.

        Args:
            packet: From its IP header on.
            sender: MAC of who put it on the wire.
            network: The network.
            now: Unix time in seconds.
        """
        heard = read_packet(packet)
        if heard is None or heard.server in self._ours:
            return
        server, message = heard
        if message.giaddr != NOWHERE and message.server_id == message.giaddr:
            return  # a relay that answers for us (RFC 5107)
        advice = self._advice(network, server, message)
        if not advice:
            return
        target = self._table.by_mac(message.mac)
        client = target.board if target else message.mac
        left_out = self._budget.take(f"{server} {message.mac}", now)
        if left_out is None:
            return
        kind = MessageType(message.message_type or 0)
        what = "" if message.yiaddr == NOWHERE else f" {inet_ntoa(message.yiaddr)}"
        file = printable(_boot_file(message), 100)
        boots = f", to boot {file}" if file else ""
        document: Document = {
            "network": network.name, "server": server, "server_mac": sender, "client": message.mac,
            "message": kind.name.lower(),
        }  # fmt: skip
        if what:
            document["address"] = what.strip()
        if file:
            document["file"] = file
        if left_out:
            document["left_out"] = left_out
        text = (
            f"{client}: another DHCP server, {server} (MAC {sender}), {_VERBS[kind]}{what}{boots}; {advice}"
        )
        self._emit(
            TraceEvent(
                now, "dhcp", "rogue", text,
                board=target.board if target else None,
                # Without a board it would look like a machine to adopt.
                mac=message.mac if target else None,
                boot=target.boot if target else None,
                data=document,
            )
        )  # fmt: skip

    def _advice(self, network: NetworkConfig, server: str, message: Message) -> str:
        """Return what is wrong with this server and what to do; empty if it may be there."""
        if network.dhcp is DhcpMode.OWN:
            return f'network {network.name} must have one; switch it off, or set dhcp = "proxy" there'
        if message.yiaddr == NOWHERE:
            if message.message_type != MessageType.NAK and _boot_file(message):
                return f"only one may say what boots on network {network.name}; switch off its proxy DHCP"
            return ""
        if len(self._givers) < _MOST_SERVERS:
            first = self._givers.setdefault(network.name, server)
            if first != server:
                return (
                    f"{first} gives addresses on network {network.name} as well; that is right only if the"
                    " two share their leases"
                )
        return ""


def _boot_file(message: Message) -> str:
    name = message.options.get(option.BOOT_FILE, b"").rstrip(b"\0") or message.file
    return name.decode("utf-8", "replace")


def open_ears(interface: str) -> socket.socket:
    """Return a socket that hears what servers on an interface's network say; needs CAP_NET_RAW.

    Raises:
        OSError: It cannot be had.
    """
    ears = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _FILTER))
        pointer = ctypes.addressof(program)
        ears.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(_FILTER), pointer))
        ears.bind((interface, _ETH_P_IP))
    except OSError:
        ears.close()
        raise
    return ears
