"""A DHCPv6 client's side for tests without sockets: messages built by hand, answers read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from hostler.model.boot import BootIntent
from hostler.model.trace import TraceEvent
from hostler.netboot.dhcp6_exchange import Dhcp6Exchange, Reply6, Source6
from hostler.netboot.first_stage_watch import FirstStageWatch
from hostler.netboot.served_network6 import ServedNetwork6
from hostler.netboot.table import BootTable, NetworkConfig, Target
from hostler.wire import dhcp6_options as option
from hostler.wire.dhcp6 import Message6, MessageType6, Packet6
from hostler.wire.dhcp6_options import IaAddress, IaNa, Option

MAC, OTHER = "52:54:00:77:00:02", "52:54:00:77:00:03"
UUID = "11223344-5566-7788-99aa-bbccddeeff00"
UUID_BYTES = bytes.fromhex("443322116655887799aabbccddeeff00")
DUID = b"\0\4" + UUID_BYTES
SERVER = b"\0\4" + b"server" + bytes(10)
FILES = frozenset({"snponly.efi", "undionly.kpxe"})
CONFIG = NetworkConfig(
    name="bench",
    interface="eth1",
    address=IPv4Interface("10.77.0.1/24"),
    range_first=IPv4Address("10.77.0.100"),
    range_last=IPv4Address("10.77.0.199"),
    lease_seconds=600,
    address6=IPv6Interface("fd77::1/64"),
    range6_first=IPv6Address("fd77::1000"),
    range6_last=IPv6Address("fd77::1003"),
    dns6=(IPv6Address("fd77::1"),),
)
FAR = replace(
    CONFIG, name="far", behind=IPv4Network("10.88.0.0/24"), behind6=IPv6Network("fd88::/64"),
    range6_first=IPv6Address("fd88::100"), range6_last=IPv6Address("fd88::1ff"),
)  # fmt: skip

PXE: tuple[Option, ...] = (
    (option.CLIENT_ARCH, b"\0\7"),
    option.vendor_class(option.INTEL, "PXEClient:Arch:00007:UNDI:003000"),
    (option.OPTION_REQUEST, b"\0\x3b\0\x3c\0\x17"),
)
HTTP: tuple[Option, ...] = (
    (option.CLIENT_ARCH, b"\0\x10"),
    option.vendor_class(option.INTEL, "HTTPClient:Arch:00016:UNDI:003000"),
)
IPXE: tuple[Option, ...] = (*PXE, (option.USER_CLASS, b"\0\4iPXE"))


def packed(address: str) -> bytes:
    return IPv6Address(address).packed


def link_local(mac: str) -> str:
    """The link-local address that is made of a MAC."""
    parts = bytes.fromhex(mac.replace(":", ""))
    return str(
        IPv6Address(b"\xfe\x80" + bytes(6) + bytes((parts[0] ^ 2,)) + parts[1:3] + b"\xff\xfe" + parts[3:])
    )


def association(*addresses: str, iaid: int = 1) -> Option:
    return IaNa(iaid, tuple(IaAddress(packed(address)) for address in addresses)).option()


@dataclass
class Answer:
    """An answer as a client reads it."""

    reply: Reply6
    packet: Packet6

    @property
    def message(self) -> Message6:
        return self.packet.message

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """All addresses with their valid lifetimes."""
        return [
            (str(IPv6Address(each.address)), each.valid)
            for ia in self.message.associations
            for each in ia.addresses
        ]

    @property
    def statuses(self) -> list[int]:
        """Codes of all statuses, of associations first."""
        found = []
        for code, value in self.message.options:
            if code == option.IA_NA:
                found += [
                    inner for kind, inner in option.read_options(value[12:], "") if kind == option.STATUS
                ]
        found += [value for code, value in self.message.options if code == option.STATUS]
        return [int.from_bytes(value[:2], "big") for value in found]

    @property
    def url(self) -> str:
        return (self.message.first(option.BOOT_URL) or b"").decode()


@dataclass
class Lab:
    """An exchange with a network here and one behind relays, and two boards."""

    table: BootTable = field(default_factory=BootTable)
    events: list[TraceEvent] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    first_stages: FirstStageWatch = field(default_factory=FirstStageWatch)

    def __post_init__(self) -> None:
        self.network, self.far = ServedNetwork6(CONFIG), ServedNetwork6(FAR)
        self.exchange = Dhcp6Exchange(
            [self.network, self.far],
            self.table,
            FILES,
            SERVER,
            self.events.append,
            self.records,
            self.first_stages,
        )
        self.table.put(Target("b1", "x86-uefi", "amd64", (MAC,), uuid=UUID, intent=BootIntent.HOLD))
        self.table.put(Target("b2", "x86-uefi", "amd64", (OTHER,), intent=BootIntent.HOLD))

    def send(
        self, kind: MessageType6, *options: Option, source: str = "", multicast: bool = True,
        now: float = 1000.0, duid: bytes | None = DUID, server: bytes | None = None, wrap: bytes = b"",
    ) -> Answer | None:  # fmt: skip
        """Send a message; ``wrap`` is a relay's header and options, to which the message is added."""
        ids = [(option.CLIENT_ID, duid)] if duid is not None else []
        if server is not None:
            ids.append((option.SERVER_ID, server))
        data = Message6(kind, 0xABCDEF, (*ids, *options)).encode()
        if wrap:
            data = wrap + option.write_options([(option.RELAY_MESSAGE, data)])
        where = Source6(packed(source or link_local(MAC)), multicast)
        reply = self.exchange.receive(data, self.network, where, now)
        return None if reply is None else Answer(reply, unwrapped(reply.data))

    def bound(self, *options: Option, now: float = 1000.0, duid: bytes = DUID, source: str = "") -> str:
        """Let a client get an address; return it."""
        offered = self.send(MessageType6.SOLICIT, association(), *options, now=now, duid=duid, source=source)
        assert offered is not None
        ((address, _),) = offered.addresses
        given = self.send(
            MessageType6.REQUEST,
            association(address),
            *options,
            server=SERVER,
            now=now,
            duid=duid,
            source=source,
        )
        assert given is not None
        assert given.addresses == [(address, 600)]
        return address

    @property
    def told(self) -> list[str]:
        return [event.kind for event in self.events]


def unwrapped(data: bytes) -> Packet6:
    """Read an answer, out of what relays would make of it."""
    while data[0] == MessageType6.RELAY_REPL:
        data = dict(option.read_options(data[34:], ""))[option.RELAY_MESSAGE]
    return Packet6(Message6.parse(data))
