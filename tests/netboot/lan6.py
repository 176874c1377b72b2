"""What tests on a real IPv6 wire share: a cable with addresses at once, a network, and a served client."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface
from typing import TYPE_CHECKING

from netboot_peers import NETWORK

from netns import CLIENT_INTERFACE, SERVER_INTERFACE, Lan, Namespace

if TYPE_CHECKING:
    from pathlib import Path

NETWORK6 = replace(
    NETWORK,
    address6=IPv6Interface("fd77::1/64"),
    range6_first=IPv6Address("fd77::1000"),
    range6_last=IPv6Address("fd77::10ff"),
    dns6=(IPv6Address("fd77::53"),),
)

# What a distribution's dhclient-script does with an IPv6 address, and what the server said.
_SCRIPT = """#!/bin/sh
env > {told}.$reason
case $reason in
BOUND6|REBIND6|RENEW6) ip -6 address replace "$new_ip6_address/64" dev "$interface" nodad ;;
RELEASE6|EXPIRE6|STOP6) ip -6 address del "$old_ip6_address/64" dev "$interface" 2>/dev/null ;;
esac
exit 0
"""


def without_dad(namespace: Namespace, interface: str) -> None:
    """Let addresses be usable at once: nobody else is on the cable."""
    namespace.run("sysctl", "-qw", f"net.ipv6.conf.{interface}.accept_dad=0")
    namespace.run("ip", "link", "set", interface, "down")
    namespace.run("ip", "link", "set", interface, "up")


def prepare(lan: Lan) -> None:
    """Give the server's end its IPv6 address."""
    for namespace, interface in ((lan.server, SERVER_INTERFACE), (lan.client, CLIENT_INTERFACE)):
        without_dad(namespace, interface)
    lan.server.run("ip", "-6", "address", "add", "fd77::1/64", "dev", SERVER_INTERFACE, "nodad")
    wait_for_link(lan.server, SERVER_INTERFACE)
    wait_for_link(lan.client, CLIENT_INTERFACE)


def wait_for_link(namespace: Namespace, interface: str, seconds: float = 60) -> None:
    """Wait until an interface has its link-local address."""
    deadline = time.monotonic() + seconds
    while "fe80:" not in namespace.run("ip", "-6", "address", "show", "dev", interface, "-tentative").stdout:
        assert time.monotonic() < deadline, f"{interface} gets no link-local address"
        time.sleep(0.05)


def dhclient(
    client: Namespace, folder: Path, *options: str, interface: str = CLIENT_INTERFACE
) -> dict[str, str]:
    """Run ISC dhclient -6 once; return what its script was told at the end, empty if it got nothing."""
    folder.mkdir(exist_ok=True)
    script, told = folder / "dhclient.sh", folder / "told"
    script.write_text(_SCRIPT.format(told=told))
    script.chmod(0o755)
    for old in folder.glob("told.*"):
        old.unlink()
    client.run(
        "dhclient", "-6", "-1", "-v", "-lf", str(folder / "leases6"), "-pf", str(folder / "pid"), "-sf",
        str(script), "-cf", "/dev/null", *options, interface, timeout=60, check=False,
    )  # fmt: skip
    for reason in ("BOUND6", "REBIND6", "RENEW6", "RELEASE6"):
        if (found := folder / f"told.{reason}").exists():
            return dict(line.split("=", 1) for line in found.read_text().splitlines() if "=" in line)
    return {}


def stop_dhclient(client: Namespace, folder: Path) -> None:
    """End a dhclient that stayed in the background, without a word to the server."""
    client.run("dhclient", "-6", "-x", "-pf", str(folder / "pid"), "-lf", str(folder / "leases6"),
               "-sf", "/bin/true", check=False)  # fmt: skip
