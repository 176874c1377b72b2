"""The answer to router solicitations, heard by an independent host: the kernel."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, IPv6Network

import pytest

from hostler.netboot.no_router import NoRouter, advertisement
from hostler.netboot.table import NetworkConfig
from netns import CLIENT_INTERFACE, SERVER_INTERFACE, Lan


def network(interface: str) -> NetworkConfig:
    first, last = IPv4Address("10.77.0.100"), IPv4Address("10.77.0.150")
    return NetworkConfig("bench", interface, IPv4Interface("10.77.0.1/24"), first, last)


def test_the_advertisement_offers_nothing():
    """Sixteen bytes, no flags, router lifetime zero, no options: nothing a host could use."""
    kind, code, _, hops, flags, lifetime, _, _ = struct.unpack("!BBHBBHII", advertisement(None))
    assert (kind, code, hops, flags, lifetime, len(advertisement(None))) == (134, 0, 0, 0, 0, 16)


@pytest.mark.netns
async def test_a_host_that_asks_is_answered_and_gains_nothing(lan: Lan):
    """The kernel takes our advertisement for a valid one and has neither address nor route from it."""
    with lan.server.entered():
        answering = NoRouter([network(SERVER_INTERFACE)])
        answering.start()
    received = "cat /proc/net/snmp6 | grep Icmp6InRouterAdvertisements"
    try:
        # The kernel solicits when an interface comes up and its link-local address is no longer tentative.
        lan.client.run("sysctl", "-qw", f"net.ipv6.conf.{CLIENT_INTERFACE}.router_solicitation_delay=0")
        lan.client.run("ip", "link", "set", CLIENT_INTERFACE, "down")
        lan.client.run("ip", "link", "set", CLIENT_INTERFACE, "up")
        for _ in range(100):
            await asyncio.sleep(0.1)
            shown = await asyncio.to_thread(lan.client.run, "sh", "-c", received)
            if int(shown.stdout.split()[1]):
                break
        else:
            pytest.fail("no advertisement arrived")
        shown = lan.client.run("ip", "-j", "-6", "address", "show", "dev", CLIENT_INTERFACE)
        scopes = {entry["scope"] for link in json.loads(shown.stdout) for entry in link.get("addr_info", ())}
        assert scopes == {"link"}
        assert lan.client.run("ip", "-6", "route", "show", "default").stdout == ""
    finally:
        answering.stop()


def test_where_dhcpv6_is_answered_the_advertisement_says_so():
    """Managed and other settings, and the subnet as on the link; still no router, and no address of it."""
    data = advertisement(IPv6Network("fd77::/64"))
    kind, code, _, hops, flags, lifetime, _, _ = struct.unpack("!BBHBBHII", data[:16])
    assert (kind, code, hops, flags, lifetime) == (134, 0, 0, 0xC0, 0)
    option, eights, length, prefix_flags = data[16:20]
    assert (option, eights * 8, length, prefix_flags) == (3, len(data) - 16, 64, 0x80)
    assert data[32:] == IPv6Address("fd77::").packed


@pytest.mark.netns
async def test_a_host_learns_the_subnet_and_gains_no_router(lan: Lan):
    """The kernel has a route to the subnet, no default route, and makes up no address."""
    lan.server.run("ip", "-6", "address", "add", "fd77::1/64", "dev", SERVER_INTERFACE, "nodad")
    config = replace(network(SERVER_INTERFACE), address6=IPv6Interface("fd77::1/64"))
    with lan.server.entered():
        answering = NoRouter([config])
        answering.start()
    try:
        lan.client.run("sysctl", "-qw", f"net.ipv6.conf.{CLIENT_INTERFACE}.router_solicitation_delay=0")
        lan.client.run("ip", "link", "set", CLIENT_INTERFACE, "down")
        lan.client.run("ip", "link", "set", CLIENT_INTERFACE, "up")
        for _ in range(100):
            await asyncio.sleep(0.1)
            routes = await asyncio.to_thread(
                lan.client.run, "ip", "-6", "route", "show", "dev", CLIENT_INTERFACE
            )
            if "fd77::/64" in routes.stdout:
                break
        else:
            pytest.fail(f"no route to the subnet:\n{routes.stdout}")
        assert "default" not in routes.stdout
        assert "fd77:" not in lan.client.run("ip", "-6", "address", "show", "dev", CLIENT_INTERFACE).stdout
    finally:
        answering.stop()


async def test_a_missing_interface_is_no_fault():
    """Where it cannot listen it does nothing: boards boot, only later."""
    answering = NoRouter([network("nonesuch0")])
    answering.start()
    answering.stop()
