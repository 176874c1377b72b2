"""The rack's networks: which of them share a namespace, and how netboot is to serve each."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.netboot.table import NetworkConfig

if TYPE_CHECKING:
    from collections.abc import Mapping


def network_config(name: str, values: Mapping[str, Any]) -> NetworkConfig:
    """Read one network of a rack's plan; raises KeyError or ValueError for what is not one."""
    first, _, last = str(values["range"]).partition("-")
    router = values.get("router")
    return NetworkConfig(
        name=name,
        interface=str(values["interface"]),
        address=IPv4Interface(str(values["address"])),
        range_first=IPv4Address(first.strip()),
        range_last=IPv4Address(last.strip()),
        router=IPv4Address(str(router)) if router else None,
        dns=tuple(IPv4Address(str(server)) for server in values.get("dns", ())),
        lease_seconds=int(values.get("lease", 3600)),
        http_port=int(values.get("http_port", 8067)),
    )


def by_namespace(networks: Mapping[str, Mapping[str, Any]]) -> dict[Path | None, list[NetworkConfig]]:
    """Group the networks Hostler serves itself by the pid file of their namespace; None: the rack's own."""
    groups: dict[Path | None, list[NetworkConfig]] = defaultdict(list)
    for name, values in networks.items():
        if values.get("dhcp", "own") != "own":
            continue
        pidfile = values.get("netns_pidfile")
        groups[Path(str(pidfile)) if pidfile else None].append(network_config(name, values))
    return dict(groups)
