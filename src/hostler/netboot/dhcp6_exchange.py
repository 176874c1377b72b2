"""The DHCPv6 server without its sockets: datagrams and the time in, answers, leases and trace events out."""

from __future__ import annotations

from socket import AF_INET6, inet_ntop
from typing import TYPE_CHECKING, NamedTuple

from hostler.model.first_stages import Loader
from hostler.model.trace import TraceEvent
from hostler.netboot import dhcp6_binding as binding
from hostler.netboot.dhcp6_identity import Client6, client_of
from hostler.netboot.dhcp6_policy import Answer6, boot_answer6, client_facts6
from hostler.netboot.dhcp_identity import sender_of
from hostler.netboot.dhcp_policy import Facts, Firmware, Refusal
from hostler.netboot.first_stage_watch import FirstStageWatch
from hostler.netboot.served_network6 import NOWHERE6
from hostler.netboot.trace_budget import TraceBudget
from hostler.wire import dhcp6_options as option
from hostler.wire.dhcp6 import Dhcp6Error, Message6, MessageType6, Packet6
from hostler.wire.dhcp6_options import IaNa, Option, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from hostler.model.json import JSON
    from hostler.netboot.dhcp6_binding import Binding
    from hostler.netboot.served_network6 import ServedNetwork6
    from hostler.netboot.table import BootTable, Target

# As for DHCPv4, of which a board has as many messages.
_BOARD_BURST, _BOARD_RATE, _BOARDS = 40, 1, 65536
_STRANGER_BURST, _STRANGER_RATE, _STRANGERS = 10, 0.5, 4096
_STRANGERS_BURST, _STRANGERS_RATE = 200, 20

# RFC 8415 section 16: which messages must name this server, and which must name none.
_TO_US = frozenset({MessageType6.REQUEST, MessageType6.RENEW, MessageType6.RELEASE, MessageType6.DECLINE})
_TO_ALL = frozenset({MessageType6.SOLICIT, MessageType6.CONFIRM, MessageType6.REBIND})
_WITH_ADDRESS = frozenset({MessageType6.SOLICIT, MessageType6.REQUEST, *_TO_US, MessageType6.REBIND})
_BOOTING = frozenset(
    {
        MessageType6.SOLICIT, MessageType6.REQUEST, MessageType6.RENEW, MessageType6.REBIND,
        MessageType6.INFORMATION_REQUEST,
    }
)  # fmt: skip
_FROM_CLIENTS = _TO_US | _TO_ALL | {MessageType6.INFORMATION_REQUEST}
_MOST_ASSOCIATIONS = 16
"""Answered in one message; the answer to more would not fit into a datagram."""
# A client that hears it need not wait a second for better offers (RFC 8415 section 18.2.1).
_AT_ONCE: Option = (option.PREFERENCE, b"\xff")
# Said with other kinds of associations: there is nothing of the kind.
_NEITHER = {
    option.IA_TA: (4, Status.NO_ADDRESSES, "no temporary addresses here"),
    option.IA_PD: (12, Status.NO_PREFIXES, "no prefixes here"),
}


class Source6(NamedTuple):
    """Where a datagram came from.

    Attributes:
        address: 16 bytes.
        multicast: Whether it was sent to all servers, and not to this one.
    """

    address: bytes
    multicast: bool


class Reply6(NamedTuple):
    """One datagram to send.

    Attributes:
        data: Its bytes.
        destination: IPv6 address and port, without the interface.
        durable: Whether the leases in the records must be on disk before it leaves.
        event: What to write into the trace when it leaves.
    """

    data: bytes
    destination: tuple[str, int]
    durable: bool
    event: TraceEvent | None


class _Ask(NamedTuple):
    """One message with all that was found out about its sender."""

    packet: Packet6
    message: Message6
    associations: tuple[IaNa, ...]
    network: ServedNetwork6
    client: Client6
    target: Target | None
    facts: Facts
    answer: Answer6
    destination: tuple[str, int]
    now: float
    traced: int | None

    @property
    def known(self) -> bool:
        return self.target is not None


class Dhcp6Exchange:
    """Answers DHCPv6 as the one server of its networks (RFC 8415), and says what to boot (RFC 5970).

    Args:
        networks: The networks, each with its leases.
        table: The boards.
        boot_files: Names that TFTP can serve.
        server_id: This server's DUID.
        emit: Takes what is to be traced at once.
        records: Takes leases that changed and are to be written to disk.
        first_stages: Knows whose firmware does not start iPXE.
    """

    def __init__(
        self,
        networks: Sequence[ServedNetwork6],
        table: BootTable,
        boot_files: Container[str],
        server_id: bytes,
        emit: Callable[[TraceEvent], None],
        records: list[bytes],
        first_stages: FirstStageWatch | None = None,
    ) -> None:
        self._networks = networks
        self._table = table
        self._boot_files = boot_files
        self._server_id = server_id
        self._emit = emit
        self._boards = TraceBudget(_BOARD_BURST, _BOARD_RATE, _BOARDS)
        self._strangers = TraceBudget(
            _STRANGER_BURST, _STRANGER_RATE, _STRANGERS, _STRANGERS_BURST, _STRANGERS_RATE
        )
        self._records = records
        self._first_stages = first_stages or FirstStageWatch()

    def receive(self, datagram: bytes, arrived: ServedNetwork6, source: Source6, now: float) -> Reply6 | None:
        """Take one datagram that came in on a network; return the answer, if there is to be one.

        Args:
            datagram: Any bytes.
            arrived: The network whose interface it came in on.
            source: Where it came from.
            now: Unix time in seconds.
        """
        try:
            packet = Packet6.parse(datagram)
            message = packet.message
            associations = message.associations
            wrong = _not_for_a_server(message, associations)
        except Dhcp6Error as error:
            wrong = str(error)
        if wrong:
            self._ignored_bytes(arrived, wrong, now)
            return None
        ask = self._look_up(packet, associations, arrived, source, now)
        if ask is None:
            return None
        if message.kind in _TO_US and message.server_id != self._server_id:
            self._not_ours(ask)
            return None
        if not packet.relays and not source.multicast:
            return self._not_multicast(ask)
        match message.kind:
            case MessageType6.SOLICIT:
                return self._solicit(ask)
            case MessageType6.REQUEST:
                return self._request(ask)
            case MessageType6.RENEW | MessageType6.REBIND:
                return self._renew(ask)
            case MessageType6.CONFIRM:
                return self._confirm(ask)
            case MessageType6.RELEASE:
                return self._end(ask, binding.release(ask.network, *_first(ask)), "release", "gives back")
            case MessageType6.DECLINE:
                return self._end(ask, binding.decline(ask.network, *_first(ask)), "decline", "declines")
            case _:
                return self._inform(ask)

    def _look_up(
        self,
        packet: Packet6,
        associations: tuple[IaNa, ...],
        arrived: ServedNetwork6,
        source: Source6,
        now: float,
    ) -> _Ask | None:
        message = packet.message
        client = client_of(packet, source.address, associations[0].iaid if associations else 0)
        facts = client_facts6(message, self._table)
        name = client.mac or client.key
        target, conflict = sender_of(self._table, name, facts, client.port)
        if target is not None and client.key != name and not conflict:
            self._table.stand_in(client.key, target.board)  # so that its TFTP and HTTP requests are known
        budget, sender = (self._boards, target.board) if target is not None else (self._strangers, name)
        port = arrived.config.dhcp6_port
        destination = (inet_ntop(AF_INET6, source.address), port if packet.relays else port - 1)
        network = self._network_of(packet, arrived)
        ask = _Ask(
            packet, message, associations, network or arrived, client, target, facts, Answer6(), destination,
            now, budget.take(sender, now),
        )  # fmt: skip
        if network is None:
            self._ignored(ask, "a relay asks for a network that is not served here by IPv6")
            return None
        if not packet.relays and source.address[:2] != b"\xfe\x80" and not network.contains(source.address):
            self._ignored(ask, "it asks from an address that is not of this network")
            return None
        if conflict:
            self._asked(ask, "conflict", f"gets no answer: {conflict}", reason=conflict)
            return None
        if message.kind not in _BOOTING:
            return ask
        if facts.firmware is Firmware.IPXE:
            self._first_stages.started(name)
        grub = self._first_stages.instead(name, facts, target, self._table, now)
        files = frozenset(grub) if grub else self._boot_files
        answer = boot_answer6(facts, target, network.config, files, Loader.GRUB if grub else None)
        if isinstance(answer, Refusal):
            self._ignored(ask, answer.reason)
            return None
        return ask._replace(answer=answer)

    def _network_of(self, packet: Packet6, arrived: ServedNetwork6) -> ServedNetwork6 | None:
        """The network of the nearest relay that names one, or else the one the datagram came in on."""
        for hop in reversed(packet.relays):
            if hop.link != NOWHERE6:
                candidates = (arrived, *self._networks)
                return next((network for network in candidates if network.contains(hop.link)), None)
        return arrived

    def _not_ours(self, ask: _Ask) -> None:
        if ask.message.kind != MessageType6.REQUEST:
            return
        ask.network.leases.drop_offer(ask.client.key)
        server = (ask.message.server_id or b"").hex()
        self._ignored(
            ask, f"it chose another DHCPv6 server (DUID {server}); there must be none beside this one"
        )

    def _not_multicast(self, ask: _Ask) -> Reply6 | None:
        # RFC 8415 sections 16 and 18.4: nobody was told that this server may be asked directly.
        self._ignored(ask, "it was not sent to the servers' multicast address")
        if ask.message.kind not in _TO_US:
            return None
        options = (self._identity(ask), (option.status(Status.USE_MULTICAST, "ask ff02::1:2"),))
        return self._reply(ask, MessageType6.REPLY, *options)

    def _solicit(self, ask: _Ask) -> Reply6 | None:
        text = f"asks for an address by DHCPv6: {ask.facts.name}" if ask.traced is not None else ""
        self._asked(ask, "discover", text)
        if ask.message.first(option.RAPID_COMMIT) is not None:
            bound = binding.bind_at_once(ask.network, *_first(ask), known=ask.known)
            return self._give(ask, MessageType6.REPLY, bound, (option.RAPID_COMMIT, b""))
        offered = binding.offer(ask.network, *_first(ask), known=ask.known)
        return self._give(ask, MessageType6.ADVERTISE, offered, _AT_ONCE)

    def _request(self, ask: _Ask) -> Reply6 | None:
        if ask.traced is not None:
            wish = ask.associations[0].addresses
            what = inet_ntop(AF_INET6, wish[0].address) if wish else "an address"
            self._asked(ask, "request", f"requests {what}: {ask.facts.name}")
        return self._give(ask, MessageType6.REPLY, binding.bind(ask.network, *_first(ask), known=ask.known))

    def _renew(self, ask: _Ask) -> Reply6 | None:
        self._asked(ask, "request", "wants to keep its IPv6 address")
        return self._give(ask, MessageType6.REPLY, binding.renew(ask.network, *_first(ask), known=ask.known))

    def _confirm(self, ask: _Ask) -> Reply6 | None:
        has = [address.address for asked in ask.associations for address in asked.addresses]
        if not has:
            return None  # RFC 8415 section 18.3.3
        here = all(ask.network.contains(address) for address in has)
        code, text = (Status.SUCCESS, "") if here else (Status.NOT_ON_LINK, "this is another network")
        self._asked(
            ask, "request", f"asks whether its IPv6 address is of this network: {'yes' if here else 'no'}"
        )
        return self._reply(ask, MessageType6.REPLY, self._identity(ask), (option.status(code, text),))

    def _end(self, ask: _Ask, ended: Binding, kind: str, verb: str) -> Reply6 | None:
        if ended.lease is None:
            self._ignored(ask, ended.why)
        else:
            text = f"{verb} {ended.lease.text}"
            if kind == "decline":
                text += ", which another machine uses; find that machine"
            self._asked(ask, kind, text, address=ended.lease.text)
        self._records += [lease.record() for lease in ended.changed]
        others = (option.status(Status.SUCCESS),)
        first = () if ended.lease is not None else (ended.association.option(),)
        return self._reply(ask, MessageType6.REPLY, self._identity(ask), others, first)

    def _inform(self, ask: _Ask) -> Reply6 | None:
        self._asked(ask, "inform", "asks for settings by DHCPv6")
        return self._reply(ask, MessageType6.REPLY, self._identity(ask), self._settings(ask))

    def _give(self, ask: _Ask, kind: MessageType6, bound: Binding, *more: Option) -> Reply6 | None:
        self._records += [lease.record() for lease in bound.changed]
        associations = [bound.association, *map(binding.further, ask.associations[1:])]
        nothing = [
            (code, value[:length] + option.write_options([option.status(why, text)]))
            for code, value in ask.message.options
            if code in _NEITHER
            for length, why, text in (_NEITHER[code],)
            if len(value) >= length
        ]
        event = None
        if bound.lease is None:
            self._asked(ask, "nak", f"gets no address: {bound.why}", reason=bound.why)
        elif ask.traced is not None:
            event = self._given(ask, kind, bound.lease.text)
        return self._reply(
            ask,
            kind,
            self._identity(ask),
            more,
            [association.option() for association in associations],
            nothing[:_MOST_ASSOCIATIONS],
            self._settings(ask),
            durable=bool(bound.changed),
            event=event,
        )

    @staticmethod
    def _given(ask: _Ask, kind: MessageType6, address: str) -> TraceEvent:
        offer = kind is MessageType6.ADVERTISE
        text = f"{'is offered' if offer else 'gets'} {address}"
        seconds = ask.network.seconds
        details: dict[str, JSON] = {
            "server": ask.network.server_text, "address": address, "lease_seconds": seconds,
        }  # fmt: skip
        if ask.answer.url:
            details["file"] = ask.answer.url
            text += f", to boot {ask.answer.url}"
        return Dhcp6Exchange._event(ask, "offer" if offer else "ack", text, details)

    def _identity(self, ask: _Ask) -> tuple[Option, ...]:
        client = ask.message.client_id
        own: Option = (option.SERVER_ID, self._server_id)
        return (own,) if client is None else ((option.CLIENT_ID, client), own)

    @staticmethod
    def _settings(ask: _Ask) -> tuple[Option, ...]:
        wanted = ask.message.wanted
        settings = [setting for setting in ask.network.settings if setting[0] in wanted]
        # Not all firmware asks for what it needs to boot; no other client is told of it.
        return (*settings, *ask.answer.options)

    def _reply(
        self,
        ask: _Ask,
        kind: MessageType6,
        *options: Sequence[Option],
        durable: bool = False,
        event: TraceEvent | None = None,
    ) -> Reply6 | None:
        message = Message6(kind, ask.message.xid, tuple(each for group in options for each in group))
        try:
            data = ask.packet.answer(message)
        except Dhcp6Error as error:
            self._ignored(ask, f"the answer cannot be written: {error}")
            return None
        return Reply6(data, ask.destination, durable, event)

    def _asked(self, ask: _Ask, kind: str, text: str, **details: JSON) -> None:
        if ask.traced is not None:
            told = {**ask.facts.to_json(), **ask.client.port.to_json(), **details}
            if asking := ask.message.asking_seconds:
                told["asking_seconds"] = asking
            self._emit(self._event(ask, kind, text, told))

    def _ignored(self, ask: _Ask, reason: str) -> None:
        self._asked(ask, "ignored", f"gets no answer by DHCPv6: {reason}", reason=reason)

    def _ignored_bytes(self, network: ServedNetwork6, reason: str, now: float) -> None:
        missed = self._strangers.take("", now)
        if missed is not None:
            details: dict[str, JSON] = {"network": network.config.name, "reason": reason}
            if missed:
                details["left_out"] = missed
            text = f"a DHCPv6 datagram gets no answer: {reason}"
            self._emit(TraceEvent(now, "dhcp", "ignored", text, data=details))

    @staticmethod
    def _event(ask: _Ask, kind: str, text: str, details: dict[str, JSON]) -> TraceEvent:
        target = ask.target
        data: dict[str, JSON] = {"network": ask.network.config.name, "family": "ipv6", **details}
        if ask.traced:
            data["left_out"] = ask.traced
        return TraceEvent(
            at=ask.now,
            source="dhcp",
            kind=kind,
            text=f"{target.board if target else ask.client.mac or 'a machine without a MAC'} {text}",
            board=target.board if target else None,
            mac=ask.client.mac,
            boot=target.boot if target else None,
            data=data,
        )


def _first(ask: _Ask) -> tuple[str, IaNa, float]:
    return ask.client.key, ask.associations[0], ask.now


def _not_for_a_server(message: Message6, associations: Sequence[IaNa]) -> str:
    """Why a message is to be thrown away unseen (RFC 8415 section 16); empty if it is not."""
    kind = message.kind
    if kind not in _FROM_CLIENTS:
        return f"message type {kind} is not for a server"
    client = message.client_id
    if client is None and kind != MessageType6.INFORMATION_REQUEST:
        return "it has no client id"
    if client is not None and not 3 <= len(client) <= option.LONGEST_DUID:
        return f"its client id has {len(client)} bytes"
    if kind in _TO_US and message.server_id is None:
        return "it names no server"
    if kind in _TO_ALL and message.server_id is not None:
        return "it names a server, and is for all"
    if kind in _WITH_ADDRESS and not associations:
        return "it asks for no address (IA_NA)"
    if len(associations) > _MOST_ASSOCIATIONS:
        return f"it has {len(associations)} associations"
    if kind == MessageType6.INFORMATION_REQUEST and any(
        message.first(code) is not None for code in (option.IA_NA, option.IA_TA, option.IA_PD)
    ):
        return "it asks for settings and for addresses at once"
    return ""
