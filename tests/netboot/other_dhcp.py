"""Real DHCP servers of other makers on the boards' side of a cable, as an office or a router has them."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from netns import Namespace

OTHER_SERVER = "10.77.0.2"
"""Its address; it hands out 10.77.0.200 to 10.77.0.220."""

DHCPD = """authoritative;
ping-check false;
subnet 10.77.0.0 netmask 255.255.255.0 {
  range 10.77.0.200 10.77.0.220;
  option routers 10.77.0.2;
}
"""


@contextmanager
def dnsmasq(namespace: Namespace, interface: str, *options: str) -> Iterator[None]:
    """Run dnsmasq on an interface that gets ``OTHER_SERVER``."""
    with _running(
        namespace, interface,
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", f"--interface={interface}",
        "--bind-interfaces", "--no-ping", "--dhcp-range=10.77.0.200,10.77.0.220,10m", "--dhcp-authoritative",
        "--dhcp-leasefile=/dev/null", "--pid-file=", "--log-facility=-", *options,
    ):  # fmt: skip
        yield


@contextmanager
def dhcpd(namespace: Namespace, interface: str, folder: Path, config: str = DHCPD) -> Iterator[None]:
    """Run ISC dhcpd on an interface that gets ``OTHER_SERVER``."""
    file, leases = folder / "dhcpd.conf", folder / "dhcpd.leases"
    file.write_text(config)
    leases.touch()
    with _running(
        namespace, interface,
        "dhcpd", "-4", "-f", "-d", "-cf", str(file), "-lf", str(leases), "--no-pid",
        "-user", "root", "-group", "root", interface,
    ):  # fmt: skip
        yield


@contextmanager
def kea(namespace: Namespace, interface: str, folder: Path, more: str) -> Iterator[None]:
    """Run Kea's DHCPv4 server on an interface that gets ``OTHER_SERVER``; ``more`` are keys of ``Dhcp4``."""
    file = folder / "kea.conf"
    file.write_text(
        '{ "Dhcp4": { "interfaces-config": { "interfaces": [ "' + interface + '" ] },'
        ' "lease-database": { "type": "memfile", "persist": false },'
        ' "subnet4": [ { "subnet": "10.77.0.0/24", "pools": [ { "pool": "10.77.0.200 - 10.77.0.220" } ] } ],'
        f" {more} }} }}"
    )
    where = {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": "none"}
    with _running(namespace, interface, "kea-dhcp4", "-c", str(file), env={**os.environ, **where}):
        yield


@contextmanager
def _running(namespace: Namespace, interface: str, *command: str, **options: Any) -> Iterator[None]:
    namespace.run("ip", "address", "replace", f"{OTHER_SERVER}/24", "dev", interface)
    process = namespace.popen(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        yield
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
    finally:
        process.terminate()
        process.wait(10)
