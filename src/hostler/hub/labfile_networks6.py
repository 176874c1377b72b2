"""What holds of IPv6 on the networks in ``lab.toml``: who gives addresses, and out of what."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostler.hub.labfile_schema import NetworkTable

    Fault = Callable[[tuple[str, ...], str], None]

MOST_ADDRESSES = 65536
"""In one range: leases are kept in memory, and in an IPv6 subnet there is room for anything made up."""
LEAST_BITS = 2
_DEFAULT_FIRST, _DEFAULT_LAST = 0x1000, 0x1FFF


class Network6Rules:
    """Looks at the IPv6 keys of networks one by one and side by side.

    Args:
        networks: Those whose tables are right by themselves.
        fault: Takes a mistake: its path and its text.
    """

    def __init__(self, networks: Mapping[str, NetworkTable], fault: Fault) -> None:
        self._networks = networks
        self._fault = fault

    def plan(self, name: str, table: NetworkTable) -> dict[str, Any]:
        """Return what the rack is told of a network; all None where nothing is served over IPv6."""
        subnet = table.subnet6
        keys = {"address6": None, "subnet6": None, "range6": None}
        if subnet is None:
            for key, value in (("range6", table.range6), ("dhcp6", table.dhcp6 == "own" or None)):
                if value is not None:
                    needs = "subnet6" if table.relayed is not None else "address6"
                    self._wrong(name, key, f'{key} needs {needs}, such as "fd77::1/64"')
            return keys
        self._address(name, table, subnet)
        if not table.serves6:
            return keys
        if table.dhcp == "none":
            self._wrong(name, "dhcp", 'dhcp = "none" serves nothing at all; add dhcp6 = "none"')
        if table.relayed is not None:
            through = self._networks.get(table.relayed)
            if through is not None and not through.serves6:
                text = f'network "{table.relayed}", by which relays reach this host, does not answer DHCPv6'
                self._wrong(name, "subnet6", text)
        own = table.address6.ip if table.address6 is not None else None
        return {
            "address6": str(table.address6) if table.address6 is not None else None,
            "subnet6": str(subnet),
            "range6": self._range(name, table.range6, subnet, own),
        }

    def apart(self) -> None:
        """Look whether two networks share IPv6 addresses."""
        seen: list[tuple[str, IPv6Network]] = []
        for name, table in self._networks.items():
            subnet = table.subnet6
            if subnet is None:
                continue
            for other, earlier in seen:
                if subnet.overlaps(earlier):
                    key = "address6" if table.relayed is None else "subnet6"
                    text = f'network "{name}" ({subnet}) overlaps network "{other}" ({earlier})'
                    self._fault(("networks", name, key), f"{text}; give one of them another subnet")
            seen.append((name, subnet))

    def _wrong(self, name: str, key: str, text: str) -> None:
        self._fault(("networks", name, key), f"networks.{name}.{key}: {text}")

    def _address(self, name: str, table: NetworkTable, subnet: IPv6Network) -> None:
        key = "address6" if table.relayed is None else "subnet6"
        own = table.address6.ip if table.address6 is not None else subnet.network_address
        if own.is_link_local or own.is_multicast or own.is_loopback or own.ipv4_mapped is not None:
            text = f"{own} is not an address that DHCPv6 can serve; take one of your own, such as fd77::1/64"
            self._wrong(name, key, text)
        elif subnet.max_prefixlen - subnet.prefixlen < LEAST_BITS:
            self._wrong(name, key, f"{subnet} leaves no room for boards; write it like fd77::1/64")
        elif table.address6 is not None and own == subnet.network_address:
            self._wrong(name, key, f"{own} is the address of every router in {subnet}; take the next one")

    def _range(self, name: str, text: str | None, subnet: IPv6Network, own: IPv6Address | None) -> str | None:
        if text is None:
            return self._default(name, subnet, own)
        try:
            first, last = (IPv6Address(part.strip()) for part in text.split("-"))
        except ValueError:
            self._wrong(name, "range6", f'range6 "{text}" is not two IPv6 addresses; write FIRST-LAST')
            return None
        if first not in subnet or last not in subnet:
            self._wrong(name, "range6", f"range6 {text} is not inside {subnet}")
        elif first > last:
            self._wrong(name, "range6", f"range6 {text} ends before it begins; write FIRST-LAST")
        elif int(last) - int(first) >= MOST_ADDRESSES:
            count = int(last) - int(first) + 1
            self._wrong(name, "range6", f"range6 {text} has {count} addresses; {MOST_ADDRESSES} at most")
        elif own is not None and first <= own <= last:
            self._wrong(name, "range6", f"range6 {text} holds the host's own address {own}")
        elif first == subnet.network_address:
            self._wrong(name, "range6", f"{first} is the address of every router in {subnet}; begin after it")
        return f"{first}-{last}"

    def _default(self, name: str, subnet: IPv6Network, own: IPv6Address | None) -> str | None:
        base = int(subnet.network_address)
        first, last = (IPv6Address(base + offset) for offset in (_DEFAULT_FIRST, _DEFAULT_LAST))
        if last not in subnet or (own is not None and first <= own <= last):
            example = f"{subnet.network_address + 2}-{subnet.broadcast_address}"
            self._wrong(name, "range6", f'DHCPv6 needs a range6 here, such as "{example}"')
            return None
        return f"{first}-{last}"
