"""The rack's networks: which of them share a namespace, and how netboot is to serve each."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.netboot.install_limit import InstallLimit
from hostler.netboot.multicast_group import MulticastGroup
from hostler.netboot.table import DhcpMode, NetworkConfig

if TYPE_CHECKING:
    from collections.abc import Mapping


def network_config(
    name: str, values: Mapping[str, Any], through: Mapping[str, Any] | None = None
) -> NetworkConfig:
    """Read one network of a rack's plan.

    Args:
        name: Its name.
        values: Its keys.
        through: The keys of the network by which its relays reach this host; None: it has an interface here.

    Raises:
        KeyError, ValueError: It is not a network.
    """
    first, _, last = str(values["range"] or "").partition("-")
    first6, _, last6 = str(values.get("range6") or "").partition("-")
    dns = [ip_address(str(server)) for server in values.get("dns", ())]
    router, multicast = values.get("router"), values.get("multicast")
    here = through if through is not None else values
    return NetworkConfig(
        name=name,
        interface=str(here["interface"]),
        address=IPv4Interface(str(here["address"])),
        range_first=IPv4Address(first.strip()) if first else None,
        range_last=IPv4Address(last.strip()) if last else None,
        router=IPv4Address(str(router)) if router else None,
        dns=tuple(server for server in dns if isinstance(server, IPv4Address)),
        lease_seconds=int(values.get("lease", 3600)),
        http_port=int(here.get("http_port", 8067)),
        dhcp=DhcpMode(str(values.get("dhcp", "own"))),
        multicast=MulticastGroup.from_json(multicast) if multicast else None,
        installs=InstallLimit.from_json(values["installs"]) if values.get("installs") else None,
        peers=values.get("peers", False) is True,
        behind=IPv4Network(str(values["subnet"])) if through is not None else None,
        address6=IPv6Interface(str(here["address6"])) if here.get("address6") else None,
        range6_first=IPv6Address(first6) if first6 else None,
        range6_last=IPv6Address(last6) if last6 else None,
        behind6=IPv6Network(str(values["subnet6"]))
        if through is not None and values.get("subnet6")
        else None,
        dns6=tuple(server for server in dns if isinstance(server, IPv6Address)),
    )


def by_namespace(networks: Mapping[str, Mapping[str, Any]]) -> dict[Path | None, list[NetworkConfig]]:
    """Group the networks that are served by the pid file of their namespace; None: the rack's own."""
    groups: dict[Path | None, list[NetworkConfig]] = defaultdict(list)
    for name, values in networks.items():
        if values.get("dhcp") == DhcpMode.NONE:
            continue
        relayed = values.get("relayed")
        through = networks[str(relayed)] if relayed else None
        pidfile = (through or values).get("netns_pidfile")
        config = network_config(name, values, through)
        groups[Path(str(pidfile)) if pidfile else None].append(config)
    return dict(groups)


def namespace_of(networks: Mapping[str, Mapping[str, Any]], name: str) -> Path | None:
    """Return the pid file of the namespace by which a network is reached; None: the rack's own."""
    values = networks.get(name, {})
    pidfile = networks.get(str(values.get("relayed")), values).get("netns_pidfile")
    return Path(str(pidfile)) if pidfile else None
