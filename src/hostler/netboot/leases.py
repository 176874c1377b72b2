"""Who has which address on one network: pure, in memory, keyed on the MAC.

Firmware, iPXE and Linux send different client ids for one interface, so those are ignored (as MAAS does):
one MAC has one address, and one IPv6 address where that is given away too. The table decides, the journal
(``lease_journal``) remembers.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass
from enum import IntEnum
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hostler.netboot.table import NetworkConfig

OFFER_SECONDS = 30.0
"""How long an offered address is kept for the client: PXE ROMs wait up to 8 s for better offers."""
REST_SECONDS = 600.0
"""How long an address somebody else was found to use (DECLINE) is left alone."""

_RECORD = struct.Struct("!4s6sBxd")
RECORD_SIZE = _RECORD.size
# A client's key is a MAC or, for some, this and a digest of as many bytes: see ``dhcp6_identity``.
DUID_KEY, DUID_DIGEST = "duid:", 20
_RECORD6 = struct.Struct(f"!16s{DUID_DIGEST}sBBxxd")
RECORD6_SIZE = _RECORD6.size


class NoAddressError(Exception):
    """No address for this client now; the text says why and what to do."""


class LeaseState(IntEnum):
    """How far an address is given away; the numbers are those in the journal."""

    OFFERED = 0
    BOUND = 1
    RELEASED = 2
    DECLINED = 3
    HEARD = 4
    """Given by somebody else's server; a client said so."""


IN_USE = frozenset({LeaseState.OFFERED, LeaseState.BOUND, LeaseState.HEARD})
"""States in which an address means the machine it was given to."""
# EDK2 gives its IPv6 address back before it fetches its boot file from it.
IN_USE6 = IN_USE | {LeaseState.RELEASED}


@dataclass(slots=True)
class Lease:
    """One address and who has it.

    Attributes:
        address: Four bytes, or 16 of IPv6, in network order.
        mac: Lower case with colons; for an IPv6 client whose MAC cannot be told ``DUID_KEY`` and a digest.
        state: How far it is given away.
        expires: Unix time in seconds.
        fixed: The board's own address: never given to another.
    """

    address: bytes
    mac: str
    state: LeaseState
    expires: float
    fixed: bool = False

    @property
    def text(self) -> str:
        """The address as people write it."""
        return inet_ntop(AF_INET if len(self.address) == 4 else AF_INET6, self.address)

    def record(self) -> bytes:
        """Return the lease as the journal keeps it, ``RECORD_SIZE`` or ``RECORD6_SIZE`` bytes."""
        if len(self.address) == 16:
            digest = self.mac.startswith(DUID_KEY)
            key = bytes.fromhex(self.mac.removeprefix(DUID_KEY).replace(":", ""))
            return _RECORD6.pack(self.address, key, digest, self.state, self.expires)
        return _RECORD.pack(self.address, bytes.fromhex(self.mac.replace(":", "")), self.state, self.expires)


def read_records(data: bytes) -> Iterator[Lease]:
    """Yield the leases in a run of records; raises ValueError for a state nobody knows."""
    for address, mac, state, expires in _RECORD.iter_unpack(data):
        yield Lease(address, mac.hex(":"), LeaseState(state), expires)


def read_records6(data: bytes) -> Iterator[Lease]:
    """Yield the IPv6 leases in a run of records; raises ValueError for a state nobody knows."""
    for address, key, digest, state, expires in _RECORD6.iter_unpack(data):
        client = DUID_KEY + key.hex() if digest else key[:6].hex(":")
        yield Lease(address, client, LeaseState(state), expires)


@dataclass(frozen=True, slots=True)
class Pool:
    """The addresses of one family that a network has to give.

    Attributes:
        first: First address of the range, as a number.
        last: Last one; before ``first`` if there is no range.
        own: The server's own address.
        seconds: How long a lease lasts.
    """

    first: int
    last: int
    own: bytes
    seconds: float

    @classmethod
    def of(cls, network: NetworkConfig) -> Pool:
        """Return a network's IPv4 addresses."""
        first, last = network.range_first, network.range_last
        ends = (int(first), int(last)) if first and last else (1, 0)
        return cls(*ends, network.server.packed, float(network.lease_seconds))

    @classmethod
    def of6(cls, network: NetworkConfig) -> Pool:
        """Return a network's IPv6 addresses; it has some (``server6``)."""
        first, last = network.range6_first, network.range6_last
        ends = (int(first), int(last)) if first and last else (1, 0)
        assert network.server6 is not None
        return cls(*ends, network.server6.packed, float(network.lease_seconds))


class LeaseTable:
    """The addresses of one family on one network.

    Only the DHCP thread changes it; ``mac_of`` may be asked from any thread, because it reads one dict entry.
    """

    def __init__(self, pool: Pool) -> None:
        self._seconds = pool.seconds
        self._first, self._last = pool.first, pool.last
        self._own = pool.own
        self._width = len(pool.own)
        self._family, self._in_use = (AF_INET, IN_USE) if self._width == 4 else (AF_INET6, IN_USE6)
        self._next = self._first
        self._by_mac: dict[str, Lease] = {}
        self._by_address: dict[bytes, Lease] = {}
        # Dynamic leases by state, in the order they end: leases of one state all last equally long.
        self._queues: tuple[OrderedDict[bytes, Lease], ...] = tuple(OrderedDict() for _ in LeaseState)
        # In range, had a holder once, and has none now.
        self._spare: OrderedDict[bytes, None] = OrderedDict()
        # Fixed addresses somebody else holds, and until when they are kept for their board.
        self._wanted: dict[bytes, float] = {}

    def __iter__(self) -> Iterator[Lease]:
        """Go through all leases, ended ones whose address nobody else has had since included."""
        return iter(tuple(self._by_address.values()))

    def mac_of(self, address: str) -> str | None:
        """Return the MAC an address was offered or given to; None for nobody.

        An offer counts: some ROMs (Raspberry Pi 3) start TFTP right after it. So does a lease that has ended
        without anybody else getting the address, since firmware does not renew.
        """
        try:
            lease = self._by_address.get(inet_pton(self._family, address))
        except OSError:
            return None
        return lease.mac if lease is not None and lease.state in self._in_use else None

    def at(self, address: bytes) -> Lease | None:
        """Return the lease of an address (bytes), whatever its state."""
        return self._by_address.get(address)

    def of(self, mac: str) -> Lease | None:
        """Return the lease of a client, whatever its state."""
        return self._by_mac.get(mac)

    def offer(
        self, mac: str, fixed: bytes | None, requested: bytes | None, now: float, *, known: bool = False
    ) -> Lease:
        """Return the address to offer, kept for this client for ``OFFER_SECONDS`` at least.

        In this order: its fixed one, the one it has or had, the one it asks for, one never used, the one
        longest unused.

        Args:
            mac: Who asks.
            fixed: The address the inventory gives it.
            requested: The address it would like (option 50).
            now: Unix time.
            known: A board of the inventory: when all addresses are out, it gets one that was only offered
                to somebody else.

        Raises:
            NoAddressError: There is none.
        """
        lease = self._by_mac.get(mac)
        if lease is None or not self._may_keep(lease, fixed, now):
            if fixed is not None:
                lease = self._take_fixed(mac, fixed, now)
            elif requested is not None and self._is_free(requested, now):
                lease = self._assign(requested, mac, now)
            else:
                lease = self._assign(self._choose(now, known=known), mac, now)
        lease.fixed = fixed is not None
        if lease.state is not LeaseState.BOUND or lease.expires < now + OFFER_SECONDS:
            self._set(lease, LeaseState.OFFERED, now + OFFER_SECONDS)
        return lease

    def claim(self, mac: str, address: bytes, fixed: bytes | None, now: float) -> Lease | None:
        """Bind the address a client requests or renews; None if it may not have it (NAK).

        An address nobody has is given although we have no record of an offer: that is what a client
        sees that chose our offer just before a restart.
        """
        lease = self._by_mac.get(mac)
        if lease is None or lease.address != address or not self._may_keep(lease, fixed, now):
            if fixed is None:
                if not self._is_free(address, now):
                    return None
                lease = self._assign(address, mac, now)
            elif fixed == address:
                try:
                    lease = self._take_fixed(mac, fixed, now)
                except NoAddressError:
                    return None
            else:
                return None
        lease.fixed = fixed is not None
        self._set(lease, LeaseState.BOUND, now + self._seconds)
        return lease

    def release(self, mac: str, address: bytes, now: float, rest: float = 0.0) -> Lease | None:
        """Take an address back; the client gets the same again while nobody needs it. None: not its own.

        Args:
            mac: Who gives it back.
            address: What it gives back.
            now: Unix time.
            rest: Seconds for which nobody else gets it.
        """
        lease = self._by_mac.get(mac)
        if lease is None or lease.address != address:
            return None
        self._set(lease, LeaseState.RELEASED, now + rest)
        return lease

    def decline(self, mac: str, address: bytes, now: float) -> Lease | None:
        """Let an address rest that the client found in use by somebody else. None: not offered to it."""
        lease = self._by_mac.get(mac)
        if lease is None or lease.address != address:
            return None
        del self._by_mac[mac]
        self._set(lease, LeaseState.DECLINED, now + REST_SECONDS)
        return lease

    def hear(self, mac: str, address: bytes, now: float) -> Lease | None:
        """Note the address a client has from somebody else's server; None: that was known already."""
        lease = self._by_mac.get(mac)
        known = lease is not None and lease.address == address and lease.state is LeaseState.HEARD
        if lease is None or not known:
            lease = self._assign(address, mac, now)
        elif lease.expires > now + self._seconds / 2:
            return None
        self._set(lease, LeaseState.HEARD, now + self._seconds)
        return lease

    def drop_offer(self, mac: str) -> None:
        """Forget an offer the client did not take."""
        lease = self._by_mac.get(mac)
        if lease is not None and lease.state is LeaseState.OFFERED:
            self._forget(lease)

    def restore(self, leases: Iterable[Lease]) -> None:
        """Put back what a journal holds, oldest first: the latest word on a MAC or an address counts."""
        for lease in leases:
            for old in (self._by_address.get(lease.address), self._by_mac.get(lease.mac)):
                if old is not None:
                    self._forget(old)
            self._spare.pop(lease.address, None)
            self._by_address[lease.address] = lease
            if lease.state is not LeaseState.DECLINED:
                self._by_mac[lease.mac] = lease
            self._set(lease, lease.state, lease.expires)
        self._queues = tuple(
            OrderedDict(sorted(queue.items(), key=lambda item: item[1].expires)) for queue in self._queues
        )

    def records(self) -> bytes:
        """Return all that must survive a restart: everything but offers."""
        return b"".join(
            lease.record() for lease in self._by_address.values() if lease.state is not LeaseState.OFFERED
        )

    def _may_keep(self, lease: Lease, fixed: bytes | None, now: float) -> bool:
        if fixed is not None:
            return lease.address == fixed
        return self._in_range(lease.address) and not self._is_wanted(lease.address, now)

    def _take_fixed(self, mac: str, fixed: bytes, now: float) -> Lease:
        holder = self._by_address.get(fixed)
        if (
            holder is not None
            and holder.mac != mac
            and holder.expires > now
            and holder.state <= LeaseState.BOUND
        ):
            # Its holder is refused when it renews, at half of its time at the latest.
            self._wanted[fixed] = now + self._seconds
            advice = "; keep fixed addresses out of the dynamic range" if self._in_range(fixed) else ""
            left = f"{holder.expires - now:.0f} s"
            raise NoAddressError(
                f"its fixed address {holder.text} is leased to {holder.mac} for another {left}{advice}"
            )
        self._wanted.pop(fixed, None)
        return self._assign(fixed, mac, now)

    def _choose(self, now: float, *, known: bool) -> bytes:
        while self._next <= self._last:
            address = self._next.to_bytes(self._width, "big")
            self._next += 1
            if address not in self._by_address and address != self._own and not self._is_wanted(address, now):
                return address
        for address in self._spare:
            if not self._is_wanted(address, now):
                return address
        for state in (LeaseState.RELEASED, LeaseState.OFFERED, LeaseState.BOUND, LeaseState.DECLINED):
            for address, lease in self._queues[state].items():
                if lease.expires > now:
                    break
                if not self._is_wanted(address, now):
                    return address
        if known:
            for address in self._queues[LeaseState.OFFERED]:
                return address
        size = self._last - self._first + 1
        raise NoAddressError(f"all {size} addresses of the dynamic range are taken; widen it")

    def _is_free(self, address: bytes, now: float) -> bool:
        if not self._in_range(address) or address == self._own or self._is_wanted(address, now):
            return False
        lease = self._by_address.get(address)
        return lease is None or (lease.expires <= now and not lease.fixed)

    def _is_wanted(self, address: bytes, now: float) -> bool:
        return bool(self._wanted) and self._wanted.get(address, 0.0) > now

    def _in_range(self, address: bytes) -> bool:
        return self._first <= int.from_bytes(address, "big") <= self._last

    def _assign(self, address: bytes, mac: str, now: float) -> Lease:
        for old in (self._by_address.get(address), self._by_mac.get(mac)):
            if old is not None:
                self._forget(old)
        self._spare.pop(address, None)
        lease = Lease(address, mac, LeaseState.OFFERED, now + OFFER_SECONDS)
        self._by_address[address] = lease
        self._by_mac[mac] = lease
        return lease

    def _forget(self, lease: Lease) -> None:
        self._unqueue(lease)
        self._by_address.pop(lease.address, None)
        if self._by_mac.get(lease.mac) is lease:
            del self._by_mac[lease.mac]
        if self._in_range(lease.address) and lease.address != self._own:
            self._spare[lease.address] = None

    def _set(self, lease: Lease, state: LeaseState, expires: float) -> None:
        self._unqueue(lease)
        lease.state = state
        lease.expires = expires
        if not lease.fixed and self._in_range(lease.address):
            self._queues[state][lease.address] = lease

    def _unqueue(self, lease: Lease) -> None:
        self._queues[lease.state].pop(lease.address, None)
