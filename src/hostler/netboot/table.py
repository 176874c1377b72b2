"""What the netboot services know: every board and the answer it is to get.

The rack replaces entries one by one; the packet loops read them from their own threads.
Each mutation swaps whole immutable values into dicts, which CPython does atomically, so no reader
needs a lock and no answer ever waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING, cast

from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.model.identity import serial_digits
from hostler.model.json import Document
from hostler.model.netboot_order import NetbootOrder
from hostler.netboot.install_limit import InstallLimit
from hostler.netboot.multicast_group import MulticastGroup

if TYPE_CHECKING:
    from pathlib import Path

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Target:
    """One board as its firmware and its agent are to be answered.

    Attributes:
        board: The board's name.
        platform: How it boots (``x86-bios`` …).
        arch: ``amd64`` or ``arm64``.
        loader: What brings its kernel, or None: its firmware leaves no choice.
        macs: Every MAC it may ask with; lower case with colons.
        uuid: SMBIOS UUID, lower case, if known.
        serial: Serial number, if known.
        address: Its fixed IPv4 address, or None for one out of the range.
        intent: What to answer.
        boot: Id of the present boot.
        token: Secret of the present boot; the agent's right to speak for the board.
        kernel: Artefact id of the kernel for intent STEP.
        initrd: Artefact id of the initramfs for intent STEP.
        cmdline: Kernel command line for intent STEP, quoted for the kernel.
        files: Artefact ids of further boot files by the name its firmware asks for (``start4.elf``).
        netboot: The system that intent STEP brings instead of the agent, or None.
        device_tree: Which of ``files`` describes the board to its kernel; None: its firmware knows that.
        step: What the agent is told when it asks; None: nothing now.
        message: What a person at the board's screen reads while it is held.
        network_first: Whether the agent is to put the network first in the firmware's boot order.
        circuit_id: Port by which a relay knows it (option 82.1) as hex, or None.
        remote_id: Relay or switch that has that port (option 82.2) as hex, or None.
    """

    board: str
    platform: str
    arch: str
    macs: tuple[str, ...]
    uuid: str | None = None
    serial: str | None = None
    address: str | None = None
    intent: BootIntent = BootIntent.HOLD
    boot: str | None = None
    token: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    step: Document | None = None
    message: str = ""
    circuit_id: str | None = None
    remote_id: str | None = None
    loader: Loader | None = None
    netboot: NetbootOrder | None = None
    network_first: bool = False
    device_tree: str | None = None

    def to_json(self) -> Document:
        """Return the target as a JSON object for the pipe to the netboot process."""
        document: Document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        document["macs"] = list(self.macs)
        document["files"] = dict(self.files)
        document["netboot"] = self.netboot.to_json() if self.netboot is not None else None
        return document

    @classmethod
    def from_json(cls, document: Document) -> Target:
        """Read what ``to_json`` wrote; unknown keys are ignored."""
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        known["macs"] = cast("Document", tuple(cast("list[str]", document["macs"])))
        known["intent"] = BootIntent(str(document.get("intent", BootIntent.HOLD)))
        if loader := known.get("loader"):
            known["loader"] = cast("Document", Loader(str(loader)))
        if netboot := known.get("netboot"):
            known["netboot"] = cast("Document", NetbootOrder.from_json(cast("Document", netboot)))
        return cls(**known)  # type: ignore[arg-type]


MOST_STAND_INS = 4096
"""MACs remembered that are not in the inventory and belong to a known board."""


class DhcpMode(StrEnum):
    """Who gives out addresses on a network, and who says what to boot.

    Attributes:
        OWN: Hostler does both.
        PROXY: Somebody else's server gives addresses, Hostler says what to boot.
        OFF: Somebody else's server does both; Hostler serves the files.
        NONE: Nothing is served: no board boots over it.
    """

    OWN = "own"
    PROXY = "proxy"
    OFF = "off"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """One L2 segment on which boards are booted.

    Attributes:
        name: Its name in ``lab.toml``.
        interface: The host's interface on it, or on the network by which its relays are reached.
        address: The server's own address and the subnet, for example ``10.77.0.1/24``.
        range_first: First address handed out to boards without a fixed one; None: nobody gets such a one.
        range_last: Last such address.
        dhcp: Who answers DHCP.
        behind: The boards' subnet when it lies behind relays; None: that of ``address``.
        router: Default gateway told to boards, or None.
        dns: Name servers told to boards.
        lease_seconds: How long a lease lasts.
        http_port: Port of the HTTP boot listener.
        dhcp_port: 67; tests that may not have it use another.
        tftp_port: 69; likewise.
        address6: The server's own IPv6 address and the subnet; None: nothing is served over IPv6.
        range6_first: First IPv6 address handed out; None: nobody gets one.
        range6_last: Last such address.
        behind6: The boards' IPv6 subnet when it lies behind relays; None: that of ``address6``.
        dns6: Name servers told to boards by DHCPv6.
        dhcp6_port: 547; tests that may not have it use another.
        multicast: Where images go to many boards at once; None: nowhere.
        installs: How much of it images may take by HTTP; None: all.
        peers: Whether boards that install the same image fetch it from each other.
    """

    name: str
    interface: str
    address: IPv4Interface
    range_first: IPv4Address | None
    range_last: IPv4Address | None
    router: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    lease_seconds: int = 3600
    http_port: int = 8067
    dhcp_port: int = 67
    tftp_port: int = 69
    dhcp: DhcpMode = DhcpMode.OWN
    behind: IPv4Network | None = None
    address6: IPv6Interface | None = None
    range6_first: IPv6Address | None = None
    range6_last: IPv6Address | None = None
    behind6: IPv6Network | None = None
    dns6: tuple[IPv6Address, ...] = ()
    dhcp6_port: int = 547
    multicast: MulticastGroup | None = None
    installs: InstallLimit | None = None
    peers: bool = False

    @property
    def subnet(self) -> IPv4Network:
        """The addresses boards have on this network."""
        return self.behind if self.behind is not None else self.address.network

    @property
    def server(self) -> IPv4Address:
        """The server's own address on this network."""
        return self.address.ip

    @property
    def subnet6(self) -> IPv6Network | None:
        """The IPv6 addresses boards have on this network; None: they have none."""
        if self.address6 is None or self.behind is None:
            return self.address6.network if self.address6 is not None else None
        return self.behind6

    @property
    def server6(self) -> IPv6Address | None:
        """The server's own IPv6 address on this network."""
        return self.address6.ip if self.address6 is not None else None

    def contains(self, client: IPv4Address | IPv6Address) -> bool:
        """Whether it is an address that boards have on this network."""
        if isinstance(client, IPv4Address):
            return client in self.subnet
        return self.subnet6 is not None and client in self.subnet6

    def to_json(self) -> Document:
        """Return the network as a JSON object for the pipe to the netboot process."""
        return {
            "name": self.name,
            "interface": self.interface,
            "address": str(self.address),
            "range_first": str(self.range_first) if self.range_first else None,
            "range_last": str(self.range_last) if self.range_last else None,
            "router": str(self.router) if self.router else None,
            "dns": [str(server) for server in self.dns],
            "lease_seconds": self.lease_seconds,
            "http_port": self.http_port,
            "dhcp_port": self.dhcp_port,
            "tftp_port": self.tftp_port,
            "dhcp": self.dhcp.value,
            "behind": str(self.behind) if self.behind else None,
            "address6": str(self.address6) if self.address6 else None,
            "range6_first": str(self.range6_first) if self.range6_first else None,
            "range6_last": str(self.range6_last) if self.range6_last else None,
            "behind6": str(self.behind6) if self.behind6 else None,
            "dns6": [str(server) for server in self.dns6],
            "dhcp6_port": self.dhcp6_port,
            "multicast": self.multicast.to_json() if self.multicast else None,
            "installs": self.installs.to_json() if self.installs else None,
            "peers": self.peers,
        }

    @classmethod
    def from_json(cls, document: Document) -> NetworkConfig:
        """Read what ``to_json`` wrote."""
        router, behind = document["router"], document["behind"]
        first, last = document["range_first"], document["range_last"]
        address6, behind6 = document["address6"], document["behind6"]
        multicast, installs = document["multicast"], document["installs"]
        first6, last6 = document["range6_first"], document["range6_last"]
        return cls(
            name=str(document["name"]),
            interface=str(document["interface"]),
            address=IPv4Interface(str(document["address"])),
            range_first=IPv4Address(str(first)) if first else None,
            range_last=IPv4Address(str(last)) if last else None,
            router=IPv4Address(str(router)) if router else None,
            dns=tuple(IPv4Address(server) for server in cast("list[str]", document["dns"])),
            lease_seconds=int(cast("int", document["lease_seconds"])),
            http_port=int(cast("int", document["http_port"])),
            dhcp_port=int(cast("int", document["dhcp_port"])),
            tftp_port=int(cast("int", document["tftp_port"])),
            dhcp=DhcpMode(str(document["dhcp"])),
            behind=IPv4Network(str(behind)) if behind else None,
            address6=IPv6Interface(str(address6)) if address6 else None,
            range6_first=IPv6Address(str(first6)) if first6 else None,
            range6_last=IPv6Address(str(last6)) if last6 else None,
            behind6=IPv6Network(str(behind6)) if behind6 else None,
            dns6=tuple(IPv6Address(server) for server in cast("list[str]", document["dns6"])),
            dhcp6_port=int(cast("int", document["dhcp6_port"])),
            multicast=MulticastGroup.from_json(cast("Document", multicast)) if multicast else None,
            installs=InstallLimit.from_json(cast("Document", installs)) if installs else None,
            peers=document["peers"] is True,
        )


def _told_serial(target: Target) -> str | None:
    """The serial number as a board's firmware tells it by DHCP; only those of Raspberry Pis do."""
    return serial_digits(target.serial) if target.platform.startswith("raspberrypi") else None


class BootTable:
    """Every target by name, MAC, UUID, relay's port and token, and every registered artefact by id."""

    def __init__(self) -> None:
        self._by_board: dict[str, Target] = {}
        self._by_mac: dict[str, Target] = {}
        self._by_uuid: dict[str, Target] = {}
        self._by_serial: dict[str, Target] = {}
        self._by_port: dict[tuple[str | None, str | None], Target] = {}
        self._by_token: dict[str, Target] = {}
        self._stand_ins: OrderedDict[str, str] = OrderedDict()
        self._artefacts: dict[str, Path] = {}

    def put(self, target: Target) -> None:
        """Add a target or replace the one of the same board."""
        old = self._by_board.get(target.board)
        self._by_board[target.board] = target
        for mac in target.macs:
            self._by_mac[mac] = target
        if target.uuid:
            self._by_uuid[target.uuid] = target
        if (serial := _told_serial(target)) is not None:
            self._by_serial[serial] = target
        if target.circuit_id or target.remote_id:
            self._by_port[target.circuit_id, target.remote_id] = target
        if target.token:
            self._by_token[target.token] = target
        if old is not None:
            self._forget(old, target)

    def drop(self, board: str) -> None:
        """Forget a board; nothing happens if it is not known."""
        old = self._by_board.pop(board, None)
        if old is not None:
            self._forget(old, None)

    def _forget(self, old: Target, new: Target | None) -> None:
        """Take out what found the old target and does not find the new one."""
        for mac in set(old.macs) - set(new.macs if new else ()):
            self._by_mac.pop(mac, None)
        if old.uuid and (new is None or old.uuid != new.uuid):
            self._by_uuid.pop(old.uuid, None)
        serial = _told_serial(old)
        if serial is not None and (new is None or serial != _told_serial(new)):
            self._by_serial.pop(serial, None)
        port = (old.circuit_id, old.remote_id)
        if new is None or port != (new.circuit_id, new.remote_id):
            self._by_port.pop(port, None)
        if old.token and (new is None or old.token != new.token):
            self._by_token.pop(old.token, None)

    def by_board(self, board: str) -> Target | None:
        """Return the target of this name."""
        return self._by_board.get(board)

    def by_mac(self, mac: str) -> Target | None:
        """Return the target that asks with this MAC (lower case, colons), its own or one that stands in."""
        target = self._by_mac.get(mac)
        if target is None and (board := self._stand_ins.get(mac)) is not None:
            return self._by_board.get(board)
        return target

    def own(self, mac: str) -> Target | None:
        """Return the target that has this MAC in the inventory (lower case, colons)."""
        return self._by_mac.get(mac)

    def boards(self) -> tuple[Target, ...]:
        """Return every target."""
        return tuple(self._by_board.values())

    def by_uuid(self, uuid: str) -> Target | None:
        """Return the target with this SMBIOS UUID (lower case)."""
        return self._by_uuid.get(uuid)

    def by_serial(self, serial: str) -> Target | None:
        """Return the Raspberry Pi whose serial number ends in these eight digits (lower case)."""
        return self._by_serial.get(serial)

    def by_port(self, circuit_id: str | None, remote_id: str | None) -> Target | None:
        """Return the target behind a relay's port (hex): by both ids, or else by the one a board names."""
        for port in ((circuit_id, remote_id), (circuit_id, None), (None, remote_id)):
            if any(port) and (target := self._by_port.get(port)) is not None:
                return target
        return None

    def stand_in(self, mac: str, board: str | None) -> None:
        """Let a MAC the inventory lacks mean a board that was known otherwise; None: nobody any more.

        At most ``MOST_STAND_INS`` are kept, the latest ones. May be called from any thread: each step is one
        that CPython does in one go, and two at once cost at most the oldest entry.
        """
        self._stand_ins.pop(mac, None)
        if board is not None:
            self._stand_ins[mac] = board
            if len(self._stand_ins) > MOST_STAND_INS:
                self._stand_ins.popitem(last=False)

    def by_token(self, token: str) -> Target | None:
        """Return the target whose present boot has this token."""
        return self._by_token.get(token)

    def boot_file(self, name: str) -> str | None:
        """Return the artefact id that any board's boot file of this name has: for machines nobody knows."""
        targets = list(self._by_board.values())
        return next((target.files[name] for target in targets if name in target.files), None)

    def put_artefact(self, artefact: str, path: Path) -> None:
        """Register a file to be served under its id."""
        self._artefacts[artefact] = path

    def artefact(self, artefact: str) -> Path | None:
        """Return the file registered under an id."""
        return self._artefacts.get(artefact)
