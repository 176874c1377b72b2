"""One network as the DHCPv6 server has it in memory: its leases, and what every answer on it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.netboot.leases import LeaseTable, Pool
from hostler.wire import dhcp6_options as option

if TYPE_CHECKING:
    from hostler.netboot.table import NetworkConfig
    from hostler.wire.dhcp6_options import Option

NOWHERE6 = bytes(16)
"""The address ``::``."""


class ServedNetwork6:
    """One network that has an IPv6 subnet, and its IPv6 leases."""

    def __init__(self, config: NetworkConfig) -> None:
        subnet = config.subnet6
        assert subnet is not None
        self.config = config
        self.leases = LeaseTable(Pool.of6(config))
        self.server_text = str(config.server6)
        self.seconds = config.lease_seconds
        self._mask, self._subnet = int(subnet.netmask), int(subnet.network_address)
        dns = b"".join(server.packed for server in config.dns6)
        self.settings: tuple[Option, ...] = ((option.DNS, dns),) if dns else ()

    def contains(self, address: bytes) -> bool:
        """Whether it is an address of this network (16 bytes)."""
        return len(address) == 16 and int.from_bytes(address, "big") & self._mask == self._subnet
