"""What becomes of one DHCPv6 association: the address it is offered, given, kept or loses (RFC 8415 18.3).

An interface has one address here, as it has one by DHCPv4; a client that wants several associations gets
the first filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hostler.netboot.leases import REST_SECONDS, NoAddressError
from hostler.wire.dhcp6_options import IaAddress, IaNa, Status

if TYPE_CHECKING:
    from hostler.netboot.leases import Lease
    from hostler.netboot.served_network6 import ServedNetwork6


class Binding(NamedTuple):
    """An association as it is answered.

    Attributes:
        association: What the client is told.
        lease: What it has, or is offered; None: nothing.
        changed: Leases to write to disk.
        why: Why it has nothing; empty if it has something.
    """

    association: IaNa
    lease: Lease | None = None
    changed: tuple[Lease, ...] = ()
    why: str = ""


def offer(network: ServedNetwork6, key: str, asked: IaNa, now: float, *, known: bool) -> Binding:
    """Answer a SOLICIT: keep an address for the client.

    Args:
        network: Where it asks.
        key: Under what its lease is kept.
        asked: Its association; an address in it is a wish.
        now: Unix time.
        known: A board of the inventory.
    """
    wish = asked.addresses[0].address if asked.addresses else None
    try:
        lease = network.leases.offer(key, None, wish, now, known=known)
    except NoAddressError as error:
        return _nothing(asked, Status.NO_ADDRESSES, str(error))
    return Binding(_filled(network, asked, lease), lease)


def bind_at_once(network: ServedNetwork6, key: str, asked: IaNa, now: float, *, known: bool) -> Binding:
    """Answer a SOLICIT with rapid commit: give what would be offered."""
    offered = offer(network, key, asked, now, known=known)
    if offered.lease is None:
        return offered
    return _give(network, key, asked, offered.lease.address, now, known=known)


def bind(network: ServedNetwork6, key: str, asked: IaNa, now: float, *, known: bool) -> Binding:
    """Answer a REQUEST: give the address asked for, or else another.

    An address of another network is refused, so that the client starts over.
    """
    wish = asked.addresses[0].address if asked.addresses else None
    if wish is not None and not network.contains(wish):
        return _nothing(asked, Status.NOT_ON_LINK, "it asks for an address that is not of this network")
    return _give(network, key, asked, wish, now, known=known)


def renew(network: ServedNetwork6, key: str, asked: IaNa, now: float, *, known: bool) -> Binding:
    """Answer a RENEW or REBIND: lengthen what the client may keep, take from it what it may not."""
    for has in asked.addresses:
        if network.leases.claim(key, has.address, None, now) is not None:
            return _less(asked, _give(network, key, asked, has.address, now, known=known))
    return _less(asked, _give(network, key, asked, None, now, known=known))


def release(network: ServedNetwork6, key: str, asked: IaNa, now: float) -> Binding:
    """Answer a RELEASE."""
    for has in asked.addresses:
        # EDK2 has several associations for one interface, and ends one while another uses the address.
        lease = network.leases.release(key, has.address, now, REST_SECONDS)
        if lease is not None:
            return Binding(IaNa(asked.iaid, status=(Status.SUCCESS, "")), lease, (lease,))
    return _nothing(asked, Status.NO_BINDING, "it gives back an address that is not its own")


def decline(network: ServedNetwork6, key: str, asked: IaNa, now: float) -> Binding:
    """Answer a DECLINE: let the address rest that somebody else uses."""
    for has in asked.addresses:
        lease = network.leases.decline(key, has.address, now)
        if lease is not None:
            return Binding(IaNa(asked.iaid, status=(Status.SUCCESS, "")), lease, (lease,))
    return _nothing(asked, Status.NO_BINDING, "it declines an address that was not offered to it")


def further(asked: IaNa) -> IaNa:
    """Answer an association beyond the first."""
    return _nothing(asked, Status.NO_ADDRESSES, "one address for each interface").association


def _give(
    network: ServedNetwork6, key: str, asked: IaNa, wish: bytes | None, now: float, *, known: bool
) -> Binding:
    leases = network.leases
    lease = leases.claim(key, wish, None, now) if wish is not None else None
    if lease is None:
        try:
            offered = leases.offer(key, None, None, now, known=known)
        except NoAddressError as error:
            return _nothing(asked, Status.NO_ADDRESSES, str(error))
        lease = leases.claim(key, offered.address, None, now)
        assert lease is not None  # it was kept for this client a moment ago
    return Binding(_filled(network, asked, lease), lease, (lease,))


def _less(asked: IaNa, given: Binding) -> Binding:
    """Take from the client what it has and may not keep: a valid lifetime of zero says so."""
    kept = {address.address for address in given.association.addresses}
    taken = tuple(IaAddress(has.address) for has in asked.addresses if has.address not in kept)
    association = given.association
    return given._replace(association=association._replace(addresses=association.addresses + taken))


def _filled(network: ServedNetwork6, asked: IaNa, lease: Lease) -> IaNa:
    seconds = network.seconds
    # RFC 8415 section 21.4: renewed after half of the preferred lifetime, anywhere after four fifths.
    return IaNa(asked.iaid, (IaAddress(lease.address, seconds, seconds),), seconds // 2, seconds * 4 // 5)


def _nothing(asked: IaNa, code: Status, why: str) -> Binding:
    return Binding(IaNa(asked.iaid, status=(code, why)), why=why)
