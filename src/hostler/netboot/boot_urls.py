"""By which URL the system that a client starts reaches the boot listener."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.netboot.table import Address, NetworkConfig


class BootUrls:
    """The listener's URLs, without a slash at the end.

    Args:
        networks: The networks served.
    """

    def __init__(self, networks: Iterable[NetworkConfig]) -> None:
        self._networks = tuple(networks)

    def network_of(self, client: Address) -> NetworkConfig | None:
        """Return the network an address is on; None: it is on none of them."""
        return next((network for network in self._networks if network.contains(client)), None)

    def system(self, client: Address) -> str | None:
        """Return the URL for what is started: by IPv4, whatever its loader spoke.

        The agent has no DHCPv6 client, and installers ask for IPv4 addresses first.
        """
        network = self.network_of(client)
        return url(network.server, network.http_port) if network is not None else None


def url(server: Address | str, port: int) -> str:
    """Return the URL of a listener; an IPv6 address stands in brackets."""
    host = str(server)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
