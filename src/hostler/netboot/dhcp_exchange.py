"""The DHCP server without its sockets: datagrams and the time in, answers, leases and trace events out."""

from __future__ import annotations

from socket import AF_INET, inet_ntoa, inet_pton
from typing import TYPE_CHECKING, NamedTuple

from hostler.model.first_stages import Loader
from hostler.netboot.dhcp_identity import NOT_RELAYED, relay_port, sender_of
from hostler.netboot.dhcp_policy import Answer, Facts, Firmware, Refusal, boot_answer, client_facts
from hostler.netboot.dhcp_proxy import proxy_answer, proxy_refusal, told_address, wants_proxy
from hostler.netboot.dhcp_trace import Ask, DhcpTrace, about, given
from hostler.netboot.first_stage_watch import FirstStageWatch
from hostler.netboot.leases import NoAddressError
from hostler.netboot.table import DhcpMode
from hostler.wire import dhcp_options as option
from hostler.wire.dhcp import (
    BROADCAST_FLAG,
    ETHERNET,
    NOWHERE,
    REPLY,
    REQUEST,
    DhcpError,
    Message,
    MessageType,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from hostler.model.trace import TraceEvent
    from hostler.netboot.leases import Lease
    from hostler.netboot.served_network import ServedNetwork
    from hostler.netboot.table import BootTable, Target

EVERYBODY = "255.255.255.255"

_NOTHING = Answer()
_SILENT = frozenset({DhcpMode.OFF, DhcpMode.NONE})

_OFFER, _ACK, _NAK = (bytes((kind,)) for kind in (MessageType.OFFER, MessageType.ACK, MessageType.NAK))


class Reply(NamedTuple):
    """One datagram to send.

    Attributes:
        data: Its bytes.
        destination: IPv4 address and port.
        durable: Whether the leases in ``records`` must be on disk before it leaves.
        event: What to write into the trace when it leaves.
    """

    data: bytes
    destination: tuple[str, int]
    durable: bool
    event: TraceEvent | None


class _NotServedError(Exception):
    """This client gets no answer; the text says why."""


class DhcpExchange:
    """Answers DHCP: as the one server of a network (RFC 2131, "authoritative"), or as a proxy beside another.

    Args:
        networks: The networks, each with its leases.
        table: The boards.
        boot_files: Names that TFTP can serve.
        emit: Takes what is to be traced at once.
        first_stages: Knows whose firmware does not start iPXE.
    """

    def __init__(
        self,
        networks: Sequence[ServedNetwork],
        table: BootTable,
        boot_files: Container[str],
        emit: Callable[[TraceEvent], None],
        first_stages: FirstStageWatch | None = None,
    ) -> None:
        self._networks = networks
        self._first_stages = first_stages or FirstStageWatch()
        self._table = table
        self._boot_files = boot_files
        self._trace = DhcpTrace(emit)
        self.records: list[bytes] = []
        """Leases that changed and are to be written to disk; the caller takes them out."""

    def receive(
        self,
        datagram: bytes,
        arrived: ServedNetwork,
        now: float,
        source: tuple[str, int] | None = None,
    ) -> Reply | None:
        """Take one datagram that came in on a network; return the answer, if there is to be one.

        Args:
            datagram: Any bytes.
            arrived: The network whose interface it came in on.
            now: Unix time in seconds.
            source: Who sent it, if it came to ``BINL_PORT``; None: it came to the DHCP port.
        """
        try:
            message = Message.parse(datagram)
        except DhcpError as error:
            self._trace.ignored_bytes(arrived, str(error), now)
            return None
        if message.op != REQUEST:
            return None
        if message.htype != ETHERNET or len(message.chaddr) != 6:
            self._trace.ignored_bytes(
                arrived, f"hardware type {message.htype} is not served, only Ethernet", now
            )
            return None
        ask = self._look_up(message, arrived, now)
        if ask is None:
            return None
        kind = message.message_type
        if ask.network.config.dhcp is DhcpMode.PROXY:
            return self._proxy(ask._replace(source=source))
        if source is not None:
            return None  # we said nothing that would send a client here
        if kind == MessageType.DISCOVER:
            return self._discover(ask)
        if kind == MessageType.REQUEST:
            return self._request(ask)
        if kind == MessageType.INFORM:
            return self._inform(ask)
        if kind == MessageType.RELEASE:
            self._release(ask)
        elif kind == MessageType.DECLINE:
            self._decline(ask)
        else:
            self._trace.ignored(ask, f"message type {kind} is not for a server")
        return None

    def _look_up(self, message: Message, arrived: ServedNetwork, now: float) -> Ask | None:
        mac = message.mac
        facts = client_facts(message)
        relay = message.relay_options if option.RELAY_AGENT in message.options else {}
        port = relay_port(relay) if relay else NOT_RELAYED
        target, conflict = sender_of(self._table, mac, facts, port)
        network, fixed, mode = arrived, None, arrived.config.dhcp
        wrong = ""
        try:
            network = self._network_of(message, relay, arrived)
            mode = network.config.dhcp
        except _NotServedError as error:
            wrong = str(error)
        if mode in _SILENT or (mode is DhcpMode.PROXY and target is None and not wants_proxy(facts)):
            return None  # somebody else's machine on somebody else's network
        traced = self._trace.take(target, mac, now)
        override = relay.get(option.RELAY_SERVER_ID, b"")
        server_id = override if len(override) == 4 and mode is DhcpMode.OWN else network.server
        ask = Ask(message, network, mac, target, server_id, None, _NOTHING, facts, now, traced, port)
        if wrong:
            self._trace.ignored(ask, wrong)
            return None
        if conflict:
            self._trace.asked(ask, "conflict", f"gets no answer: {conflict}", reason=conflict)
            return None
        try:
            if target is not None and target.address is not None and mode is DhcpMode.OWN:
                fixed = self._fixed_address(target, target.address, network, mac, now)
            answer = self._boot_answer(message, facts, target, network, now)
        except _NotServedError as error:
            self._trace.ignored(ask, str(error))
            return None
        return ask._replace(fixed=fixed, answer=answer)

    def _boot_answer(
        self, message: Message, facts: Facts, target: Target | None, network: ServedNetwork, now: float
    ) -> Answer:
        if facts.firmware is Firmware.IPXE:
            self._first_stages.started(message.mac)
        if why := self._first_stages.lacks_http(message.mac, facts, now):
            raise _NotServedError(why)
        grub = self._first_stages.instead(message.mac, facts, target, self._table, now)
        files, loader = (grub, Loader.GRUB) if grub else (self._boot_files, None)
        answer = boot_answer(message, facts, target, network.config, files, loader)
        if isinstance(answer, Refusal):
            raise _NotServedError(answer.reason)
        return answer

    def _network_of(self, message: Message, relay: dict[int, bytes], arrived: ServedNetwork) -> ServedNetwork:
        """The network a relay asks for, or else the one the message came in on."""
        link = relay.get(option.RELAY_LINK_SELECTION, message.giaddr)
        if link == NOWHERE:
            # A client behind a relay renews by itself, over a router.
            has = message.ciaddr
            if has != NOWHERE and not arrived.contains(has):
                for network in self._networks:
                    if network.config.behind is not None and network.contains(has):
                        return network
            return arrived
        if arrived.means(link):
            return arrived
        for network in self._networks:
            if network.means(link):
                return network
        where = inet_ntoa(link) if len(link) == 4 else "malformed"
        raise _NotServedError(f"a relay asks for a network that is not served here ({where})")

    @staticmethod
    def _fixed_address(
        target: Target, address: str, network: ServedNetwork, mac: str, now: float
    ) -> bytes | None:
        """The board's fixed address, for the interface that came first; its others get dynamic ones."""
        try:
            fixed = inet_pton(AF_INET, address)
        except OSError as error:
            raise _NotServedError(f"its fixed address {address!r} is no IPv4 address") from error
        if not network.contains(fixed) or fixed == network.server:
            raise _NotServedError(f"its fixed address {address} cannot be used on {network.config.subnet}")
        holder = network.leases.at(fixed) if len(target.macs) > 1 else None
        if holder is None or holder.mac == mac or holder.mac not in target.macs or holder.expires <= now:
            return fixed
        return None

    def _discover(self, ask: Ask) -> Reply | None:
        self._trace.asked(
            ask, "discover", f"asks for an address: {ask.facts.name}" if ask.traced is not None else ""
        )
        try:
            lease = ask.network.leases.offer(
                ask.mac, ask.fixed, ask.message.requested_address, ask.now, known=ask.target is not None
            )
        except NoAddressError as error:
            self._trace.ignored(ask, str(error))
            return None
        return self._give(ask, _OFFER, lease)

    def _request(self, ask: Ask) -> Reply | None:
        message = ask.message
        leases = ask.network.leases
        chosen = message.server_id
        if chosen is not None and chosen not in (ask.server_id, ask.network.server):
            leases.drop_offer(ask.mac)
            self._trace.ignored(
                ask,
                f"it chose another DHCP server, {inet_ntoa(chosen)}; there must be none beside this one",
                server=inet_ntoa(chosen),
            )
            return None
        # RFC 2131 section 4.3.2: who has the address says so in ciaddr, who wants it in option 50.
        address = message.requested_address if message.ciaddr == NOWHERE else message.ciaddr
        if address is None:
            self._trace.ignored(ask, "a request for no address")
            return None
        if ask.traced is not None:
            self._trace.asked(ask, "request", f"requests {inet_ntoa(address)}: {ask.facts.name}")
        lease = leases.claim(ask.mac, address, ask.fixed, ask.now)
        if lease is None:
            return self._refuse(ask, address)
        self.records.append(lease.record())
        return self._give(ask, _ACK, lease)

    def _proxy(self, ask: Ask) -> Reply | None:
        """Say what to boot and nothing else; note which address the client has from the other server."""
        message, facts = ask.message, ask.facts
        kind = message.message_type
        asks_us = ask.source is not None
        if kind == MessageType.DISCOVER and not asks_us:
            self._trace.asked(ask, "discover", f"asks for an address: {facts.name}")
        elif kind in (MessageType.REQUEST, MessageType.INFORM):
            self._hear(ask)
        else:
            return None
        if not wants_proxy(facts) or (kind == MessageType.REQUEST and not asks_us):
            return None
        if ask.target is None:
            # Other people's machines share this network, and to be held would keep them from their disks.
            self._trace.ignored(ask, "it is not in the inventory, and this network has another DHCP server")
            return None
        if refusal := proxy_refusal(facts):
            self._trace.ignored(ask, refusal)
            return None
        if asks_us and not ask.network.contains(inet_pton(AF_INET, ask.source[0])):  # type: ignore[index]
            self._trace.ignored(ask, "it asks from an address that is not of this network")
            return None
        offer = kind == MessageType.DISCOVER
        answer = proxy_answer(ask.answer, facts, acknowledge=not offer)
        return self._give(ask._replace(answer=answer), _OFFER if offer else _ACK, None)

    def _hear(self, ask: Ask) -> None:
        address = told_address(ask.message)
        if address is None or not ask.network.contains(address) or address == ask.network.server:
            return
        text = inet_ntoa(address)
        self._trace.asked(ask, "heard", f"takes {text} from another DHCP server", address=text)
        lease = ask.network.leases.hear(ask.mac, address, ask.now)
        if lease is not None:
            self.records.append(lease.record())

    def _inform(self, ask: Ask) -> Reply | None:
        if not ask.network.contains(ask.message.ciaddr):
            self._trace.ignored(ask, "an inform from an address that is not of this network")
            return None
        self._trace.asked(ask, "inform", f"has {inet_ntoa(ask.message.ciaddr)} and asks for settings")
        return self._give(ask, _ACK, None)

    def _release(self, ask: Ask) -> None:
        lease = ask.network.leases.release(ask.mac, ask.message.ciaddr, ask.now)
        if lease is None:
            self._trace.ignored(ask, "it gives back an address that is not its own")
            return
        self.records.append(lease.record())
        self._trace.asked(ask, "release", f"gives back {lease.text}", address=lease.text)

    def _decline(self, ask: Ask) -> None:
        address = ask.message.requested_address
        lease = ask.network.leases.decline(ask.mac, address, ask.now) if address is not None else None
        if lease is None:
            self._trace.ignored(ask, "it declines an address that was not offered to it")
            return
        self.records.append(lease.record())
        self._trace.asked(
            ask,
            "decline",
            f"says that {lease.text} is in use by another machine; find that machine",
            address=lease.text,
        )

    def _give(self, ask: Ask, kind: bytes, lease: Lease | None) -> Reply | None:
        """Return an OFFER or ACK; without a lease the ACK to an INFORM."""
        message, network, answer = ask.message, ask.network, ask.answer
        first = bytes((option.MESSAGE_TYPE, 1)) + kind + bytes((option.SERVER_ID, 4)) + ask.server_id
        if network.config.dhcp is DhcpMode.OWN:
            first += network.lease_settings if lease is not None else network.settings
        options = dict(answer.options)
        reply = self._reply(
            message,
            options,
            ciaddr=NOWHERE if kind == _OFFER else message.ciaddr,
            yiaddr=lease.address if lease is not None else NOWHERE,
            siaddr=network.server if answer.next_server else NOWHERE,
            file=answer.file,
        )
        try:
            data = reply.encode(message.reply_limit, first)
        except DhcpError as error:
            self._trace.ignored(ask, f"the answer cannot be written: {error}")
            return None
        event: TraceEvent | None = None
        if ask.traced is not None:
            event = given(ask, lease, offered=kind == _OFFER)
        return Reply(data, self._destination(ask), kind == _ACK and lease is not None, event)

    def _refuse(self, ask: Ask, address: bytes) -> Reply:
        reason = "this address is not yours to have"
        options = {
            option.MESSAGE_TYPE: _NAK,
            option.SERVER_ID: ask.server_id,
            option.MESSAGE: reason.encode(),
        }
        # A relay is to broadcast it: the client does not answer ARP for the address it asked for.
        flags = ask.message.flags | (BROADCAST_FLAG if ask.message.giaddr != NOWHERE else 0)
        reply = self._reply(ask.message, options, flags=flags)
        event: TraceEvent | None = None
        if ask.traced is not None:
            text = f"may not have {inet_ntoa(address)} and is to start over"
            event = about(ask, "nak", text, {"address": inet_ntoa(address)})
        destination = self._destination(ask) if ask.message.giaddr != NOWHERE else self._broadcast(ask)
        return Reply(reply.encode(ask.message.reply_limit), destination, False, event)

    @staticmethod
    def _reply(
        message: Message,
        options: dict[int, bytes],
        *,
        flags: int | None = None,
        ciaddr: bytes = NOWHERE,
        yiaddr: bytes = NOWHERE,
        siaddr: bytes = NOWHERE,
        file: str = "",
    ) -> Message:
        asked = message.options
        if option.CLIENT_ID in asked:
            options[option.CLIENT_ID] = asked[option.CLIENT_ID]  # RFC 6842
        if option.RELAY_AGENT in asked:
            options[option.RELAY_AGENT] = asked[option.RELAY_AGENT]  # RFC 3046 section 2.2: unchanged, last
        return Message(
            REPLY,
            message.xid,
            message.chaddr,
            options,
            flags=message.flags if flags is None else flags,
            ciaddr=ciaddr,
            yiaddr=yiaddr,
            siaddr=siaddr,
            giaddr=message.giaddr,
            file=file.encode() if len(file) < 128 else b"",
        )

    def _destination(self, ask: Ask) -> tuple[str, int]:
        message, port = ask.message, ask.network.config.dhcp_port
        if ask.source is not None:
            return ask.source
        if message.giaddr != NOWHERE:
            return inet_ntoa(message.giaddr), port
        # Only within the network: nobody is to aim our answers at somebody far away.
        if message.ciaddr != NOWHERE and ask.network.contains(message.ciaddr):
            return inet_ntoa(message.ciaddr), port + 1
        return self._broadcast(ask)

    @staticmethod
    def _broadcast(ask: Ask) -> tuple[str, int]:
        # Whatever the broadcast flag says: many ROMs that do not set it cannot take unicast before ARP.
        return EVERYBODY, ask.network.config.dhcp_port + 1
