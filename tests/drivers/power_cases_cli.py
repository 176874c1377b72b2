"""Switches told by their command line."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from power_case import PowerCase

from hostler.drivers.power.switch_cli_fake import FakeSwitch
from hostler.drivers.registry import power_driver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostler.drivers.power.protocol import PowerDriver

LOGIN = {"user": "admin", "password": "env:LAB_PASSWORD"}


@asynccontextmanager
async def _switch_cli() -> AsyncIterator[PowerDriver]:
    async with FakeSwitch(password="s3cret").telnet() as host:
        table = {"host": host, "dialect": "tp-link", "transport": "telnet", **LOGIN}
        yield power_driver("switch-cli", table, {"port": 3})


NETMIKO = {
    "device_type": "tplink_jetstream",
    "known_hosts": "any",
    "on": ["interface gigabitEthernet {port}", "power inline supply enable"],
    "off": ["interface gigabitEthernet {port}", "power inline supply disable"],
    "get": "show power inline information interface gigabitEthernet {port}",
    "reads_on": r"\bON\s*$",
    "reads_off": r"\bOFF\s*$",
    "timeout": 30,  # ten sessions at once on a busy machine
    **LOGIN,
}


@asynccontextmanager
async def _netmiko() -> AsyncIterator[PowerDriver]:
    async with FakeSwitch(password="s3cret").ssh() as (host, _fingerprint):
        yield power_driver("netmiko", {"host": host, **NETMIKO}, {"port": "1/0/3"})


CASES = {
    "netmiko": PowerCase(_netmiko, {"host": "switch", **NETMIKO}, {"port": "1/0/3"}),
    "switch-cli": PowerCase(
        _switch_cli, {"host": "switch", "dialect": "unifi", "host_key": "any", **LOGIN}, {"port": 3}
    ),
}
