"""Who sends a DHCPv6 message: which interface it holds a lease for, and by which MAC its board is known.

RFC 8415 names a client by its DUID, and firmware, iPXE and Linux each have another one. So the interface's
MAC counts, as for IPv4, where the link tells it: by a relay's word (RFC 6939), or by a link-local
address that was made of it, as firmware's and most kernels' are.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from hostler.netboot.dhcp_identity import RelayPort
from hostler.netboot.leases import DUID_DIGEST, DUID_KEY
from hostler.wire import dhcp6_options as option
from hostler.wire.dhcp6_options import eui64_mac, link_layer_mac

if TYPE_CHECKING:
    from hostler.wire.dhcp6 import Packet6


class Client6(NamedTuple):
    """The sender of a message.

    Attributes:
        key: Under what its lease is kept.
        mac: The MAC by which its board is known; None: it tells none.
        port: What the relay nearest to it says.
    """

    key: str
    mac: str | None
    port: RelayPort


def client_of(packet: Packet6, source: bytes, iaid: int) -> Client6:
    """Return who sent a packet.

    Args:
        packet: What was received.
        source: The address it came from, 16 bytes.
        iaid: The number of the association it asks for; 0 if it asks for none.
    """
    port = RelayPort()
    told = None
    link_local = source
    if packet.relays:
        nearest = packet.relays[-1]
        link_local = nearest.peer
        told = link_layer_mac(nearest.first(option.CLIENT_LINK_LAYER) or b"")
        interface = nearest.first(option.INTERFACE_ID)
        # Four bytes of it are the number of the relay's maker (RFC 4649).
        remote = (nearest.first(option.REMOTE_ID) or b"")[4:]
        port = RelayPort(interface.hex() if interface else None, remote.hex() if remote else None)
    mac = told or eui64_mac(link_local)
    if mac is not None:
        return Client6(mac, mac, port)
    # The MAC in a DUID may be that of another interface of the machine: two of them on one network differ by
    # their IAID only. Hashed, for a record of the journal has one length.
    duid = packet.message.client_id or b""
    digest = hashlib.blake2b(duid + iaid.to_bytes(4, "big"), digest_size=DUID_DIGEST).hexdigest()
    return Client6(DUID_KEY + digest, packet.message.duid.mac, port)
