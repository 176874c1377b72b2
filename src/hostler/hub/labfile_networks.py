"""What holds of the networks in ``lab.toml``: room for boards, who gives addresses, and what relays reach."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from hostler.hub.labfile_networks6 import Network6Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from hostler.hub.labfile_schema import NetworkTable


class NetworkRules:
    """Looks at networks one by one and side by side.

    Args:
        networks: Those whose tables are right by themselves.
        names: All that stand in the file.
        base: Folder of the file.
        fault: Takes a mistake: its path and its text.
    """

    def __init__(
        self,
        networks: Mapping[str, NetworkTable],
        names: Collection[str],
        base: Path,
        fault: Callable[[tuple[str, ...], str], None],
    ) -> None:
        self._networks = networks
        self._names = names
        self._base = base
        self._fault = fault
        self._ipv6 = Network6Rules(networks, fault)

    def plans(self) -> dict[str, dict[str, Any]]:
        """Return every network as the rack is told of it."""
        plans = {name: self._plan(name, table) for name, table in self._networks.items()}
        self._apart()
        self._ipv6.apart()
        return plans

    def _wrong(self, path: tuple[str, ...], text: str) -> None:
        self._fault(path, f"{'.'.join(path)}: {text}")

    def _plan(self, name: str, table: NetworkTable) -> dict[str, Any]:
        path = ("networks", name)
        subnet = table.subnet
        if table.relayed is not None:
            self._relayed(path, table, table.relayed)
        else:
            self._address(path, table)
        if table.router is not None and table.router not in subnet:
            self._wrong(
                (*path, "router"), f"router {table.router} is outside {subnet}; boards could not reach it"
            )
        if table.range is not None and table.dhcp == "proxy":
            self._wrong(
                (*path, "range"),
                'with dhcp = "proxy" the other DHCP server gives the addresses; remove range',
            )
        elif table.range is not None and subnet.prefixlen <= 30:
            self._range(path, table)
        elif table.range is None and table.dhcp == "own":
            example = f"{subnet.network_address + 100}-{subnet.network_address + 199}"
            self._fault(
                (*path, "range"), f'network "{name}" has dhcp = "own" and needs a range, such as "{example}"'
            )
        pidfile = table.netns_pidfile
        return {
            "interface": table.interface,
            "address": str(table.address) if table.address else None,
            "relayed": table.relayed,
            "subnet": str(subnet),
            "range": table.range,
            "dhcp": table.dhcp,
            "router": str(table.router) if table.router else None,
            "dns": [str(server) for server in table.dns],
            **self._ipv6.plan(name, table),
            "http_port": table.http_port,
            "lease": table.lease,
            "multicast": _multicast(table),
            "installs": table.installs.plan() if table.installs else None,
            "peers": table.peers,
            "netns_pidfile": str((self._base / pidfile).resolve()) if pidfile else None,
        }

    def _address(self, path: tuple[str, ...], table: NetworkTable) -> None:
        subnet, own = table.subnet, table.own
        if subnet.prefixlen > 30:
            self._wrong(
                (*path, "address"),
                f"address {table.address} leaves no room for boards; write it like 10.77.0.1/24",
            )
        elif own in (subnet.network_address, subnet.broadcast_address):
            self._wrong((*path, "address"), f"{own} is not an address of a host in {subnet}")

    def _relayed(self, path: tuple[str, ...], table: NetworkTable, through: str) -> None:
        if table.subnet.prefixlen > 30:
            self._wrong((*path, "subnet"), f"subnet {table.subnet} leaves no room for boards")
        if table.router is None and table.dhcp == "own":
            self._fault(
                (*path, "router"),
                f'network "{path[1]}" lies behind a relay; add router, by which its boards reach this host',
            )
        if through not in self._names:
            known = ", ".join(sorted(self._names))
            self._wrong((*path, "relayed"), f'there is no network "{through}"; known: {known}')
            return
        other = self._networks.get(through)
        if other is not None and (other.relayed is not None or other.dhcp == "none"):
            why = "lies behind a relay itself" if other.relayed is not None else 'has dhcp = "none"'
            self._wrong(
                (*path, "relayed"),
                f'network "{through}" {why}; name one on which this host hears relays',
            )

    def _range(self, path: tuple[str, ...], table: NetworkTable) -> None:
        assert table.range is not None
        try:
            first, last = (IPv4Address(part.strip()) for part in table.range.split("-"))
        except ValueError:
            self._wrong((*path, "range"), f'range "{table.range}" is not two addresses; write FIRST-LAST')
            return
        if first not in table.subnet or last not in table.subnet:
            self._wrong((*path, "range"), f"range {table.range} is not inside {table.subnet}")
        elif first > last:
            self._wrong((*path, "range"), f"range {table.range} ends before it begins; write FIRST-LAST")
        elif table.own is not None and first <= table.own <= last:
            self._wrong((*path, "range"), f"range {table.range} holds the host's own address {table.own}")
        elif table.router is not None and first <= table.router <= last:
            self._wrong((*path, "range"), f"range {table.range} holds the router's address {table.router}")

    def _apart(self) -> None:
        seen: list[tuple[str, NetworkTable]] = []
        for name, table in self._networks.items():
            for other, earlier in seen:
                if table.subnet.overlaps(earlier.subnet):
                    key = "address" if table.relayed is None else "subnet"
                    text = f'network "{name}" ({table.subnet}) overlaps network "{other}" ({earlier.subnet})'
                    self._fault(("networks", name, key), f"{text}; give one of them another subnet")
            seen.append((name, table))


def _multicast(table: NetworkTable) -> dict[str, Any] | None:
    if table.multicast is None:
        return None
    values = table.multicast.model_dump()
    return {**values, "address": str(values.pop("group"))}
