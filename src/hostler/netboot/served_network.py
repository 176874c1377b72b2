"""One network as the DHCP server has it in memory: its leases, and what every answer on it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.netboot.leases import LeaseTable, Pool
from hostler.wire import dhcp_options as option

if TYPE_CHECKING:
    from hostler.netboot.table import NetworkConfig


class ServedNetwork:
    """One network and its leases, with what every answer on it says laid out beforehand."""

    def __init__(self, config: NetworkConfig) -> None:
        self.config = config
        self.leases = LeaseTable(Pool.of(config))
        self.server = config.server.packed
        self.server_text = str(config.server)
        subnet = config.subnet
        self._mask, self._subnet = int(subnet.netmask), int(subnet.network_address)
        self._subnet_broadcast = int(subnet.broadcast_address)
        seconds = config.lease_seconds
        settings: dict[int, bytes] = {option.SUBNET_MASK: subnet.netmask.packed}
        if config.router is not None:
            settings[option.ROUTER] = config.router.packed
        if config.dns:
            settings[option.DNS] = b"".join(server.packed for server in config.dns)
        settings[option.BROADCAST] = subnet.broadcast_address.packed
        self.settings = option.write_options(settings)
        self.lease_settings = self.settings + option.write_options(
            {
                option.LEASE_TIME: seconds.to_bytes(4, "big"),
                option.RENEWAL_TIME: (seconds // 2).to_bytes(4, "big"),
                option.REBINDING_TIME: (seconds * 7 // 8).to_bytes(4, "big"),
            }
        )

    def means(self, link: bytes) -> bool:
        """Whether a relay means this network by this address: one of it, or the subnet itself (RFC 3527)."""
        return len(link) == 4 and int.from_bytes(link, "big") & self._mask == self._subnet

    def contains(self, address: bytes) -> bool:
        """Whether it is an address a host on this network can have."""
        number = int.from_bytes(address, "big")
        return (
            len(address) == 4
            and number & self._mask == self._subnet
            and self._subnet < number < self._subnet_broadcast
        )
