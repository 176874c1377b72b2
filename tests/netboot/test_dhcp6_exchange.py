"""The DHCPv6 server's rules, without sockets: addresses, boot files, and who is answered at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dhcp6_talk import (
    DUID,
    HTTP,
    IPXE,
    MAC,
    OTHER,
    PXE,
    SERVER,
    UUID_BYTES,
    Lab,
    association,
    link_local,
    packed,
)

from hostler.model.boot import BootIntent
from hostler.netboot.leases import DUID_KEY, REST_SECONDS, LeaseState, read_records6
from hostler.wire import dhcp6_options as option
from hostler.wire.dhcp6 import MessageType6
from hostler.wire.dhcp6_options import Status

SOLICIT, REQUEST, RENEW, REBIND = (
    MessageType6.SOLICIT, MessageType6.REQUEST, MessageType6.RENEW, MessageType6.REBIND,
)  # fmt: skip
PRIVATE = "fe80::1234:5678:9abc:def0"  # a link-local address not made of a MAC


def test_a_client_is_offered_an_address_and_gets_it() -> None:
    """Only what was requested is written down, and that before the answer leaves."""
    lab = Lab()
    offered = lab.send(SOLICIT, association())
    assert offered is not None
    assert offered.message.kind == MessageType6.ADVERTISE
    assert offered.addresses == [("fd77::1000", 600)]
    assert offered.message.first(option.PREFERENCE) == b"\xff"
    assert (offered.message.client_id, offered.message.server_id) == (DUID, SERVER)
    assert (offered.reply.durable, lab.records) == (False, [])
    given = lab.send(REQUEST, association("fd77::1000"), server=SERVER)
    assert given is not None
    assert given.message.kind == MessageType6.REPLY
    (ia,) = given.message.associations
    assert (ia.iaid, ia.t1, ia.t2, given.addresses) == (1, 300, 480, [("fd77::1000", 600)])
    assert given.reply.durable
    (lease,) = read_records6(b"".join(lab.records))
    assert (lease.text, lease.mac, lease.state, lease.expires) == (
        "fd77::1000", MAC, LeaseState.BOUND, 1600.0,
    )  # fmt: skip
    assert given.reply.destination == (link_local(MAC), 546)


def test_how_long_a_client_has_been_asking_is_traced() -> None:
    """Option 8 counts hundredths; who asks for long was not heard at first, mostly for its switch port."""
    lab = Lab()
    lab.send(SOLICIT, association(), (option.ELAPSED, (3160).to_bytes(2, "big")), *PXE)
    lab.send(SOLICIT, association(), (option.ELAPSED, b"?"), *PXE)
    seconds = [event.data.get("asking_seconds") for event in lab.events if event.kind == "discover"]
    assert seconds == [31, None]


def test_rapid_commit_gives_the_address_at_once() -> None:
    """Two messages instead of four, with the option back."""
    lab = Lab()
    given = lab.send(SOLICIT, association(), (option.RAPID_COMMIT, b""))
    assert given is not None
    assert given.message.kind == MessageType6.REPLY
    assert given.message.first(option.RAPID_COMMIT) == b""
    assert given.reply.durable
    assert lab.network.leases.mac_of("fd77::1000") == MAC


def test_one_interface_has_one_address_whoever_runs_on_it() -> None:
    """Firmware, iPXE and Linux have different DUIDs; the link-local address shows the same MAC."""
    lab = Lab()
    assert lab.bound() == "fd77::1000"
    linux = b"\0\1\0\1" + bytes(4) + b"RT\0w\0\x63"
    assert lab.bound(duid=linux) == "fd77::1000"
    assert lab.bound(source=link_local(OTHER), duid=linux) == "fd77::1001"


def test_a_client_without_a_mac_is_known_by_duid_and_association() -> None:
    """A second interface of the same machine gets an address of its own."""
    lab = Lab()
    assert lab.bound(source=PRIVATE) == "fd77::1000"
    second = lab.send(SOLICIT, association(iaid=2), source=PRIVATE)
    assert second is not None
    assert second.addresses == [("fd77::1001", 600)]
    key = lab.network.leases.mac_of("fd77::1000")
    assert key is not None
    assert key.startswith(DUID_KEY)
    target = lab.table.by_mac(key)
    assert target is not None
    assert target.board == "b1"  # by the UUID in its DUID
    assert lab.events[-1].mac is None
    (lease,) = read_records6(b"".join(lab.records))
    assert lease.mac == key


@pytest.mark.parametrize(
    ("options", "url", "vendor"),
    [
        (PXE, "tftp://[fd77::1]/snponly.efi", None),
        (HTTP, "http://[fd77::1]:8067/boot/snponly.efi", b"\0\0\1\x57\0\x0aHTTPClient"),
        (IPXE, "http://[fd77::1]:8067/boot/ipxe", None),
        ((), "", None),
    ],
    ids=["PXE", "HTTP", "iPXE", "system"],
)
def test_what_a_client_is_told_to_boot(
    options: tuple[tuple[int, bytes], ...], url: str, vendor: bytes | None
) -> None:
    """PXE gets a TFTP URL, and no PXEClient of ours, which EDK2 takes for a boot server's answer."""
    lab = Lab()
    offered = lab.send(SOLICIT, association(), *options)
    assert offered is not None
    assert (offered.url, offered.message.first(option.VENDOR_CLASS)) == (url, vendor)
    wants_dns = options in (PXE, IPXE)
    assert offered.message.first(option.DNS) == (packed("fd77::1") if wants_dns else None)


def test_firmware_that_cannot_be_served_gets_no_answer_and_the_trace_says_why() -> None:
    """As by DHCPv4: the same policy decides."""
    lab = Lab()
    arm32 = ((option.CLIENT_ARCH, b"\0\x0a"), PXE[1])
    assert lab.send(SOLICIT, association(), *arm32) is None
    assert "no boot file for ARM32 UEFI firmware" in lab.events[-1].text
    target = lab.table.by_mac(MAC)
    assert target is not None
    lab.table.put(replace(target, intent=BootIntent.DENY))
    assert lab.send(SOLICIT, association(), *PXE) is None


def test_firmware_that_does_not_start_ipxe_is_sent_to_grub() -> None:
    """As by DHCPv4: with Secure Boot it asks again, until its iPXE speaks."""
    lab = Lab()
    target = lab.table.by_mac(MAC)
    assert target is not None
    signed = {"shimx64.efi": "1" * 64, "grubx64.efi": "2" * 64}
    lab.table.put(replace(target, files=signed))
    lab.first_stages.fetched(MAC, "snponly.efi", 990.0)
    asked = lab.send(SOLICIT, association(), *PXE)
    assert asked is not None
    assert asked.url == "tftp://[fd77::1]/grub/shimx64.efi"
    lab.send(SOLICIT, association(), *IPXE)
    asked = lab.send(SOLICIT, association(), *PXE)
    assert asked is not None
    assert asked.url == "tftp://[fd77::1]/snponly.efi"


def test_a_board_is_known_by_either_order_of_the_bytes_of_its_uuid() -> None:
    """Firmware copies SMBIOS, iPXE writes the fields in network order."""
    for duid in (DUID, b"\0\4" + bytes.fromhex("112233445566778899aabbccddeeff00")):
        lab = Lab()
        lab.send(SOLICIT, association(), *PXE, duid=duid, source=PRIVATE)
        assert {event.board for event in lab.events} == {"b1"}


def test_facts_of_different_boards_are_a_conflict() -> None:
    """The MAC of one and the UUID of another: no answer, and the trace names both."""
    lab = Lab()
    assert lab.send(SOLICIT, association(), *PXE, source=link_local(OTHER)) is None
    assert lab.events[-1].kind == "conflict"
    assert "belong to different boards" in lab.events[-1].text


def test_an_address_is_kept_by_renewing_and_rebinding() -> None:
    """Its time begins anew; to rebind any server may be asked."""
    lab = Lab()
    address = lab.bound()
    renewed = lab.send(RENEW, association(address), server=SERVER, now=1300.0)
    assert renewed is not None
    assert renewed.addresses == [(address, 600)]
    assert renewed.reply.durable
    rebound = lab.send(REBIND, association(address), now=1800.0)
    assert rebound is not None
    lease = lab.network.leases.at(packed(address))
    assert lease is not None
    assert lease.expires == 2400.0


def test_an_address_that_is_not_its_own_is_taken_away() -> None:
    """It gets one that is, and the other one with no time left."""
    lab = Lab()
    lab.bound(source=link_local(OTHER), duid=b"\0\3\0\1abcdef")  # fd77::1000
    answer = lab.send(RENEW, association("fd77::1000"), server=SERVER)
    assert answer is not None
    assert answer.addresses == [("fd77::1001", 600), ("fd77::1000", 0)]


def test_a_request_for_an_address_of_another_network_is_not_on_link() -> None:
    """So that the client starts over at once."""
    lab = Lab()
    answer = lab.send(REQUEST, association("fd99::1"), server=SERVER)
    assert answer is not None
    assert (answer.addresses, answer.statuses) == ([], [Status.NOT_ON_LINK])


def test_confirm_says_whether_the_client_is_still_on_its_network() -> None:
    """Without an address to look at there is nothing to say."""
    lab = Lab()
    for addresses, statuses in ((("fd77::1000",), [Status.SUCCESS]), (("fd99::1",), [Status.NOT_ON_LINK])):
        answer = lab.send(MessageType6.CONFIRM, association(*addresses))
        assert answer is not None
        assert answer.statuses == statuses
    assert lab.send(MessageType6.CONFIRM, association()) is None


def test_an_address_given_back_rests_and_still_means_its_board() -> None:
    """EDK2 gives back what one part of it got, while another part fetches its boot file by it."""
    lab = Lab()
    address = lab.bound()
    answer = lab.send(MessageType6.RELEASE, association(address), server=SERVER)
    assert answer is not None
    assert answer.statuses == [Status.SUCCESS]
    assert lab.network.leases.mac_of(address) == MAC
    for number in range(3):
        lab.bound(source=link_local(f"02:00:00:00:00:0{number}"), duid=DUID[:-1] + bytes((number,)))
    late = {"source": link_local("02:00:00:00:00:09"), "duid": b"\0\3\0\1abcdef"}
    refused = lab.send(SOLICIT, association(), **late)  # type: ignore[arg-type]
    assert refused is not None
    assert refused.statuses == [Status.NO_ADDRESSES]
    offered = lab.send(SOLICIT, association(), now=1001.0 + REST_SECONDS, **late)  # type: ignore[arg-type]
    assert offered is not None
    assert offered.addresses[0][0] == address
    assert lab.send(MessageType6.RELEASE, association("fd77::1003"), server=SERVER) is not None
    assert lab.events[-1].kind == "ignored"


def test_an_address_in_use_elsewhere_is_given_to_nobody_for_a_while() -> None:
    """The client says so, and gets another."""
    lab = Lab()
    address = lab.bound()
    answer = lab.send(MessageType6.DECLINE, association(address), server=SERVER)
    assert answer is not None
    assert answer.statuses == [Status.SUCCESS]
    assert "another machine uses" in lab.events[-1].text
    assert lab.bound() == "fd77::1001"


def test_settings_can_be_asked_for_alone() -> None:
    """INFORMATION-REQUEST: what to boot and the name servers, no address."""
    lab = Lab()
    answer = lab.send(MessageType6.INFORMATION_REQUEST, *IPXE, duid=None)
    assert answer is not None
    assert (answer.url, answer.addresses) == ("http://[fd77::1]:8067/boot/ipxe", [])
    assert answer.message.first(option.CLIENT_ID) is None
    assert not answer.reply.durable
    assert lab.send(MessageType6.INFORMATION_REQUEST, association()) is None


def test_further_associations_and_other_kinds_get_their_refusal() -> None:
    """One address for each interface, no temporary ones, no prefixes."""
    lab = Lab()
    prefix = (option.IA_PD, bytes(12))
    answer = lab.send(
        REQUEST,
        association("fd77::1000"),
        association(iaid=2),
        (option.IA_TA, b"\0\0\0\3"),
        prefix,
        server=SERVER,
    )
    assert answer is not None
    assert answer.addresses == [("fd77::1000", 600)]
    assert answer.statuses == [Status.NO_ADDRESSES]
    refused = {code: value for code, value in answer.message.options if code in (option.IA_TA, option.IA_PD)}
    assert refused[option.IA_TA][:10] == b"\0\0\0\3" + b"\0\x0d" + refused[option.IA_TA][6:8] + b"\0\2"
    assert refused[option.IA_PD][16:18] == bytes((0, Status.NO_PREFIXES))


@pytest.mark.parametrize(
    ("kind", "options", "more"),
    [
        (SOLICIT, (association(),), {"duid": None}),
        (SOLICIT, (association(),), {"duid": b"\0\4"}),
        (SOLICIT, (association(),), {"duid": bytes(131)}),
        (SOLICIT, (association(),), {"server": SERVER}),
        (SOLICIT, (), {}),
        (SOLICIT, tuple(association(iaid=number) for number in range(17)), {}),
        (SOLICIT, ((option.IA_NA, b"short"),), {}),
        (REQUEST, (association("fd77::1000"),), {}),
        (REQUEST, (association("fd77::1000"),), {"server": b"\0\4" + bytes(16)}),
        (REQUEST, (), {"server": SERVER}),
        (RENEW, (association("fd77::1000"),), {"server": b"\0\4" + bytes(16)}),
        (RENEW, (), {"server": SERVER}),
        (REBIND, (association("fd77::1000"),), {"server": SERVER}),
        (MessageType6.CONFIRM, (association("fd77::1000"),), {"server": SERVER}),
        (MessageType6.RELEASE, (association("fd77::1000"),), {}),
        (MessageType6.DECLINE, (), {"server": SERVER}),
        (MessageType6.ADVERTISE, (association(),), {}),
        (MessageType6.REPLY, (association(),), {"server": SERVER}),
        (MessageType6.RECONFIGURE, (), {"server": SERVER}),
        (SOLICIT, (association(),), {"multicast": False}),
        (REBIND, (association("fd77::1000"),), {"multicast": False}),
        (MessageType6.CONFIRM, (association("fd77::1000"),), {"multicast": False}),
        (MessageType6.INFORMATION_REQUEST, (), {"multicast": False}),
        (SOLICIT, (association(),), {"source": "2001:db8::66"}),
    ],
)  # fmt: skip
def test_what_must_not_be_answered_is_not(
    kind: MessageType6, options: tuple[tuple[int, bytes], ...], more: dict[str, object]
) -> None:
    """RFC 8415 section 16, and nobody is to aim our answers at somebody far away."""
    lab = Lab()
    assert lab.send(kind, *options, **more) is None  # type: ignore[arg-type]
    assert lab.records == []


def test_who_asks_this_server_alone_is_told_to_ask_all() -> None:
    """Nobody was told that unicast is allowed."""
    lab = Lab()
    answer = lab.send(REQUEST, association("fd77::1000"), server=SERVER, multicast=False)
    assert answer is not None
    assert (answer.addresses, answer.statuses) == ([], [Status.USE_MULTICAST])
    assert lab.records == []


def test_who_chose_another_server_is_traced() -> None:
    """Two servers on a boot network are a fault somebody has to find."""
    lab = Lab()
    lab.send(SOLICIT, association())
    assert lab.send(REQUEST, association("fd77::1000"), server=b"\0\4" + bytes(16)) is None
    assert "it chose another DHCPv6 server" in lab.events[-1].text
    assert lab.network.leases.mac_of("fd77::1000") is None


def relay(link: str, *options: tuple[int, bytes], peer: str = "") -> bytes:
    head = bytes((MessageType6.RELAY_FORW, 0)) + packed(link) + packed(peer or link_local(MAC))
    return head + option.write_options(options)


def test_a_relay_chooses_the_network_and_gets_the_answer() -> None:
    """By its link address; the answer goes to the relay's port, wrapped, with the interface id."""
    lab = Lab()
    wrap = relay("fd88::2", (option.INTERFACE_ID, b"ge-0/0/7"))
    answer = lab.send(SOLICIT, association(), *PXE, wrap=wrap, source="fd88::2", multicast=False)
    assert answer is not None
    assert answer.addresses == [("fd88::100", 600)]
    assert answer.url == "tftp://[fd77::1]/snponly.efi"
    assert answer.reply.destination == ("fd88::2", 547)
    assert answer.reply.data[0] == MessageType6.RELAY_REPL
    assert b"\0\x12\0\x08ge-0/0/7" in answer.reply.data
    assert lab.events[0].data["circuit_id"] == b"ge-0/0/7".hex()
    unknown = lab.send(SOLICIT, association(), wrap=relay("fd99::2"), source="fd99::2")
    assert unknown is None
    assert "a network that is not served here" in lab.events[-1].text


def test_a_relay_tells_the_mac_of_a_client_that_hides_it() -> None:
    """Option 79 (RFC 6939) counts before everything else."""
    lab = Lab()
    told = (option.CLIENT_LINK_LAYER, b"\0\1" + bytes.fromhex(OTHER.replace(":", "")))
    wrap = relay("fd88::2", told, peer=PRIVATE)
    lab.send(SOLICIT, association(), wrap=wrap, source="fd88::2", duid=b"\0\2\0\0\0\1abc")
    assert {event.board for event in lab.events} == {"b2"}
    assert lab.far.leases.mac_of("fd88::100") == OTHER


def test_a_board_is_known_by_the_port_a_relay_names() -> None:
    """As option 82 does it by DHCPv4: interface id and remote id."""
    lab = Lab()
    target = lab.table.by_mac(OTHER)
    assert target is not None
    lab.table.put(replace(target, circuit_id=b"p7".hex(), remote_id=b"sw".hex()))
    port = ((option.INTERFACE_ID, b"p7"), (option.REMOTE_ID, b"\0\0\0\x09sw"))
    wrap = relay("fd88::2", *port, peer=link_local("02:00:00:00:00:01"))
    lab.send(SOLICIT, association(), wrap=wrap, source="fd88::2", duid=b"\0\2\0\0\0\1abc")
    assert {event.board for event in lab.events} == {"b2"}


def test_a_full_range_says_so_and_widens_for_nobody() -> None:
    """NoAddrsAvail in the association; the trace says what to do."""
    lab = Lab()
    for number in range(4):
        lab.bound(source=link_local(f"02:00:00:00:00:0{number}"), duid=DUID[:-1] + bytes((number,)))
    refused = lab.send(REQUEST, association(), server=SERVER)
    assert refused is not None
    assert (refused.addresses, refused.statuses) == ([], [Status.NO_ADDRESSES])
    assert not refused.reply.durable
    assert "widen it" in lab.events[-1].text


def test_a_restart_forgets_nothing_that_was_given() -> None:
    """Restored from its records the table answers as before; the UUID client keeps its address."""
    lab = Lab()
    assert (lab.bound(source=PRIVATE), lab.bound(duid=b"\0\4" + UUID_BYTES)) == ("fd77::1000", "fd77::1001")
    again = Lab()
    again.network.leases.restore(read_records6(b"".join(lab.records)))
    assert again.network.leases.records() == lab.network.leases.records()
    assert again.bound(now=2000.0) == "fd77::1001"
