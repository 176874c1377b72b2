"""Equipment of server rooms: rack PDUs, management controllers, hypervisors, and other programs' PDUs."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ipmi_bmc import ipmi_sim
from libvirt_host import URI, virsh
from power_case import PowerCase
from snmpd import snmpd
from somebody import somebody

from hostler.drivers.power.pdudaemon_fake import FakePdudaemon
from hostler.drivers.power.redfish_fake import FakeRedfish
from hostler.drivers.registry import power_driver
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostler.drivers.power.protocol import PowerDriver


@asynccontextmanager
async def _snmp_pdu() -> AsyncIterator[PowerDriver]:
    control, status = "1.3.6.1.4.1.13742.6.4.1.2.1.2.1.3", "1.3.6.1.4.1.13742.6.4.1.2.1.3.1.3"
    with tempfile.TemporaryDirectory() as folder:
        async with snmpd(Path(folder), {status: 8}, {control: {1: {status: 7}, 0: {status: 8}}}) as port:
            yield power_driver(
                "snmp-pdu",
                {"host": f"127.0.0.1:{port}", "model": "raritan", "community": "env:LAB_COMMUNITY"},
                {"outlet": 3},
            )


@asynccontextmanager
async def _ipmi() -> AsyncIterator[PowerDriver]:
    with tempfile.TemporaryDirectory() as folder:
        async with ipmi_sim(Path(folder)) as host:
            yield power_driver("ipmi", {**_LOGIN, "cipher": 3}, {"host": host})


@asynccontextmanager
async def _libvirt() -> AsyncIterator[PowerDriver]:
    with tempfile.TemporaryDirectory() as folder, virsh(Path(folder)):
        yield power_driver("libvirt", {"uri": URI}, {"domain": "test"})


@asynccontextmanager
async def _command() -> AsyncIterator[PowerDriver]:
    with tempfile.TemporaryDirectory() as folder:
        say = ["sh", "-c", 'echo "$1" > "$2"', "sh"]
        outlet = f"{folder}/{{outlet}}"
        table = {"on": [*say, "on", outlet], "off": [*say, "off", outlet], "status": ["cat", outlet]}
        Path(folder, "a").write_text("off")
        yield power_driver("command", table, {"outlet": "a"})


@asynccontextmanager
async def _redfish() -> AsyncIterator[PowerDriver]:
    async with FakeRedfish(["1"], "admin", "s3cret").serve() as host:
        yield power_driver("redfish", {**_LOGIN, "tls": False}, {"host": host})


@asynccontextmanager
async def _pdudaemon() -> AsyncIterator[PowerDriver]:
    async with FakePdudaemon(["rack1"], {}).serve() as host:
        yield power_driver("pdudaemon", {"host": host, "pdu": "rack1"}, {"port": 4})


@asynccontextmanager
async def _manual() -> AsyncIterator[PowerDriver]:
    with tempfile.TemporaryDirectory() as folder:
        async with somebody(Path(folder)):
            yield power_driver("manual", {"folder": folder, "wait": 5}, {"outlet": "a"})


@asynccontextmanager
async def _qemu() -> AsyncIterator[PowerDriver]:
    with tempfile.TemporaryDirectory() as folder:
        machine = {"command": ["qemu-system-x86_64", "-machine", "none", "-nodefaults"]}
        driver = power_driver("qemu", {}, {**machine, "monitor": f"{folder}/monitor"})
        try:
            yield driver
        finally:
            await driver.set(PowerState.OFF)


_LOGIN = {"user": "admin", "password": "env:LAB_PASSWORD"}

CASES = {
    "command": PowerCase(_command, {"on": ["true"], "off": ["true"]}, {"outlet": "a"}),
    "ipmi": PowerCase(_ipmi, {"host": "bmc", **_LOGIN}, {}),
    "libvirt": PowerCase(_libvirt, {"uri": URI}, {"domain": "test"}),
    "manual": PowerCase(_manual, {"folder": "/nowhere"}, {"outlet": "a"}),
    "pdudaemon": PowerCase(_pdudaemon, {"host": "daemon"}, {"alias": "a"}),
    "qemu": PowerCase(_qemu, {}, {"command": ["qemu-system-x86_64"], "monitor": "/nowhere"}),
    "redfish": PowerCase(_redfish, {"host": "bmc", **_LOGIN}, {}),
    "snmp-pdu": PowerCase(
        _snmp_pdu, {"host": "pdu", "model": "raritan", "community": "env:LAB_COMMUNITY"}, {"outlet": 3}
    ),
}
