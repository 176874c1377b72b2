"""Leases: one address has one holder, whatever happens and in whatever order."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hostler.netboot.leases import (
    OFFER_SECONDS,
    REST_SECONDS,
    LeaseState,
    LeaseTable,
    NoAddressError,
    Pool,
    read_records,
)
from hostler.netboot.table import NetworkConfig

SECONDS = 600
MACS = [f"52:54:00:00:00:{number:02x}" for number in range(8)]


def network(last: str = "10.77.0.103") -> NetworkConfig:
    return NetworkConfig(
        "lab",
        "srv0",
        IPv4Interface("10.77.0.1/24"),
        IPv4Address("10.77.0.100"),
        IPv4Address(last),
        lease_seconds=SECONDS,
    )


def packed(address: str) -> bytes:
    return IPv4Address(address).packed


def bound(table: LeaseTable, mac: str, now: float = 0.0, fixed: bytes | None = None) -> str:
    lease = table.offer(mac, fixed, None, now)
    claimed = table.claim(mac, lease.address, fixed, now)
    assert claimed is not None
    return claimed.text


def test_a_client_keeps_its_address() -> None:
    """The same MAC gets the same address again, also after its lease has ended or was given back."""
    table = LeaseTable(Pool.of(network()))
    address = bound(table, MACS[0])
    assert address == "10.77.0.100"
    assert bound(table, MACS[1]) == "10.77.0.101"
    assert bound(table, MACS[0], 10 * SECONDS) == address
    assert table.release(MACS[0], packed(address), 11 * SECONDS) is not None
    assert bound(table, MACS[0], 11 * SECONDS) == address


def test_a_wish_is_granted_if_the_address_is_free() -> None:
    """Option 50 in a DISCOVER is a wish, inside the range only."""
    table = LeaseTable(Pool.of(network()))
    assert table.offer(MACS[0], None, packed("10.77.0.102"), 0).text == "10.77.0.102"
    assert table.offer(MACS[1], None, packed("10.77.0.102"), 0).text == "10.77.0.100"
    assert table.offer(MACS[2], None, packed("10.77.0.9"), 0).text == "10.77.0.101"


def test_a_fixed_address_is_the_boards_own() -> None:
    """It is given inside and outside the range, and a board that had a dynamic one moves to it."""
    table = LeaseTable(Pool.of(network()))
    assert bound(table, MACS[0]) == "10.77.0.100"
    fixed = packed("10.77.0.50")
    assert table.claim(MACS[0], packed("10.77.0.100"), fixed, 1) is None
    assert bound(table, MACS[0], 1, fixed) == "10.77.0.50"
    assert table.mac_of("10.77.0.50") == MACS[0]
    assert bound(table, MACS[1], 1) == "10.77.0.101"
    assert table.claim(MACS[2], fixed, None, 10 * SECONDS) is None


def test_a_fixed_address_somebody_else_has_is_freed_by_his_next_renewal() -> None:
    """No address has two holders: the board waits, the holder is refused, then the board gets it."""
    table = LeaseTable(Pool.of(network()))
    address = packed(bound(table, MACS[0]))
    with pytest.raises(
        NoAddressError, match=r"10\.77\.0\.100 is leased to 52:54:00:00:00:00 for another 600 s"
    ):
        table.offer(MACS[1], address, None, 0)
    assert table.claim(MACS[0], address, None, 300) is None
    assert table.offer(MACS[0], None, address, 300).text == "10.77.0.101"
    assert bound(table, MACS[1], 300, address) == "10.77.0.100"


def test_a_declined_address_rests() -> None:
    """An address that somebody uses without asking is left alone for a while."""
    table = LeaseTable(Pool.of(network("10.77.0.101")))
    lease = table.offer(MACS[0], None, None, 0)
    assert table.decline(MACS[1], lease.address, 0) is None
    assert table.decline(MACS[0], lease.address, 0) is not None
    assert table.mac_of(lease.text) is None
    assert bound(table, MACS[0], 300) == "10.77.0.101"
    with pytest.raises(NoAddressError, match="all 2 addresses"):
        table.offer(MACS[1], None, None, REST_SECONDS - 1)
    assert table.offer(MACS[1], None, None, REST_SECONDS + 1).text == "10.77.0.100"


def test_offers_nobody_takes_are_taken_back() -> None:
    """A storm of strangers holds addresses for seconds, and never keeps a board of the inventory out."""
    table = LeaseTable(Pool.of(network()))
    for mac in MACS[:4]:
        table.offer(mac, None, None, 0)
    with pytest.raises(NoAddressError):
        table.offer(MACS[4], None, None, 1)
    assert table.offer(MACS[5], None, None, 1, known=True).text == "10.77.0.100"
    assert table.offer(MACS[4], None, None, OFFER_SECONDS + 2) is not None


def test_the_address_tells_the_board() -> None:
    """TFTP and HTTP know a board by its lease; an offer counts, since some ROMs skip the REQUEST."""
    table = LeaseTable(Pool.of(network()))
    lease = table.offer(MACS[0], None, None, 0)
    assert table.mac_of(lease.text) == MACS[0]
    assert table.mac_of("10.77.0.101") is None
    assert table.mac_of("not an address") is None
    table.release(MACS[0], lease.address, 1)
    assert table.mac_of(lease.text) is None


def test_leases_survive_a_restart_and_offers_do_not() -> None:
    """What the journal holds is enough to go on as if nothing had happened."""
    table = LeaseTable(Pool.of(network()))
    for mac in MACS[:2]:
        bound(table, mac)
    table.offer(MACS[2], None, None, 0)
    again = LeaseTable(Pool.of(network()))
    again.restore(read_records(table.records()))
    assert {lease.mac: lease.text for lease in again} == {MACS[0]: "10.77.0.100", MACS[1]: "10.77.0.101"}
    assert again.offer(MACS[3], None, None, 0).text == "10.77.0.102"
    assert again.claim(MACS[2], packed("10.77.0.103"), None, 0) is not None


def test_the_latest_record_counts() -> None:
    """The journal is read oldest first: an address that changed hands has its last holder."""
    table = LeaseTable(Pool.of(network()))
    journal = []
    lease = table.claim(MACS[0], packed("10.77.0.100"), None, 0)
    assert lease is not None
    journal.append(lease.record())
    lease = table.claim(MACS[1], packed("10.77.0.100"), None, 2 * SECONDS)
    assert lease is not None
    journal.append(lease.record())
    again = LeaseTable(Pool.of(network()))
    again.restore(read_records(b"".join(journal)))
    assert [(found.mac, found.text) for found in again] == [(MACS[1], "10.77.0.100")]


class Clients(RuleBasedStateMachine):
    """Clients in any order; what was acknowledged and has not ended must stay its holder's alone."""

    @initialize()
    def begin(self) -> None:
        self.table = LeaseTable(Pool.of(network()))
        self.now = 1000.0
        self.held: dict[bytes, tuple[str, float]] = {}

    @rule(seconds=st.sampled_from((1.0, 29.0, 31.0, 301.0, 601.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.held = {address: held for address, held in self.held.items() if held[1] > self.now}

    @rule(mac=st.sampled_from(MACS), fixed=st.sampled_from((None, 20, 101)), known=st.booleans())
    def discover(self, mac: str, fixed: int | None, known: bool) -> None:
        own = packed(f"10.77.0.{fixed}") if fixed and mac == MACS[0] else None
        try:
            lease = self.table.offer(mac, own, None, self.now, known=known)
        except NoAddressError:
            return
        self.free_for(mac, lease.address)

    @rule(mac=st.sampled_from(MACS), last=st.integers(99, 104), fixed=st.sampled_from((None, 20, 101)))
    def request(self, mac: str, last: int, fixed: int | None) -> None:
        own = packed(f"10.77.0.{fixed}") if fixed and mac == MACS[0] else None
        lease = self.table.claim(mac, own or packed(f"10.77.0.{last}"), own, self.now)
        if lease is not None:
            self.free_for(mac, lease.address)
            self.held = {at: held for at, held in self.held.items() if held[0] != mac}
            self.held[lease.address] = (mac, lease.expires)

    @rule(mac=st.sampled_from(MACS), last=st.integers(99, 104), decline=st.booleans())
    def give_back(self, mac: str, last: int, decline: bool) -> None:
        address = packed(f"10.77.0.{last}")
        give = self.table.decline if decline else self.table.release
        if give(mac, address, self.now) is not None:
            self.held.pop(address, None)

    @rule()
    def restart(self) -> None:
        again = LeaseTable(Pool.of(network()))
        again.restore(read_records(self.table.records()))
        self.table = again

    def free_for(self, mac: str, address: bytes) -> None:
        holder = self.held.get(address)
        assert holder is None or holder[0] == mac
        if holder is None:
            # A client that is offered or given another address gives up the one it had.
            self.held = {at: held for at, held in self.held.items() if held[0] != mac}

    @invariant()
    def nobody_shares(self) -> None:
        leases = [lease for lease in self.table if lease.state <= LeaseState.BOUND]
        assert len({lease.mac for lease in leases}) == len({lease.address for lease in leases}) == len(leases)
        for address, (mac, _) in self.held.items():
            assert self.table.mac_of(str(IPv4Address(address))) == mac


Clients.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestClients = Clients.TestCase
