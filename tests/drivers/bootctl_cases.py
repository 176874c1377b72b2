"""Each boot override beside something that really is told, and that can be asked what it was told."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ipmi_bmc import ipmi_sim
from other_daemons import SYSTEM, sushy_emulator

from hostler.drivers.bootctl.command import BootCommand
from hostler.drivers.bootctl.fake import FakeBootOverride
from hostler.drivers.bootctl.ipmi import IpmiBoot
from hostler.drivers.bootctl.redfish import RedfishBoot
from hostler.drivers.bootctl.usb_sd_mux import UsbSdMux
from hostler.drivers.http import HttpHost
from hostler.drivers.secrets import SecretReference

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from hostler.drivers.bootctl.protocol import BootOverride

    Told = Callable[[], Awaitable[str]]

LOGIN = {"user": "admin", "password": "env:LAB_PASSWORD"}


@dataclass(frozen=True)
class OverrideCase:
    """One driver beside its peer.

    Attributes:
        make: Starts the peer; yields the driver and what asks the peer where it would boot from.
        network: What the peer says after it was told to boot from the network.
        disk: And from the disk.
        equipment: A valid table; nothing is reached through it.
        binding: A valid table.
    """

    make: Callable[[], AbstractAsyncContextManager[tuple[BootOverride, Told]]]
    network: str
    disk: str
    equipment: Mapping[str, object]
    binding: Mapping[str, object]


@asynccontextmanager
async def _redfish() -> AsyncIterator[tuple[RedfishBoot, Told]]:
    with tempfile.TemporaryDirectory() as folder:
        async with sushy_emulator(Path(folder), "admin", "s3cret") as host:
            probe = HttpHost(
                "probe", f"http://{host}", 8.0, "admin", SecretReference("password", "env", "LAB_PASSWORD")
            )

            async def told() -> str:
                async with probe.connect() as talk:
                    _, system = await talk.ask_json("GET", f"/redfish/v1/Systems/{SYSTEM}")
                return str(system["Boot"]["BootSourceOverrideTarget"])

            yield RedfishBoot.from_config({"host": host, **LOGIN, "tls": False}, {}), told


@asynccontextmanager
async def _ipmi() -> AsyncIterator[tuple[IpmiBoot, Told]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        async def told() -> str:
            return (folder / "state.boot").read_text().strip()

        async with ipmi_sim(folder) as host:
            yield IpmiBoot.from_config({"host": host, **LOGIN, "cipher": 3}, {}), told


@asynccontextmanager
async def _command() -> AsyncIterator[tuple[BootCommand, Told]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = folder / "mux"
        program.write_text(f'#!/bin/sh\necho "$1 $2" > {folder}/told\necho switched\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

        async def told() -> str:
            return (folder / "told").read_text().strip()

        tables = {"network": [str(program), "{name}", "host"], "disk": [str(program), "{name}", "dut"]}
        yield BootCommand.from_config(tables, {"name": "arm-1"}), told


_MUX = """#!/bin/sh
# usbsdmux of version 25: who is asked for what it says and how it fails.
[ "$1" = /dev/usb-sd-mux/id-1 ] || { echo "[Errno 2] No such file or directory: '$1'" >&2; exit 1; }
case "$2" in
  get) cat FOLDER/state ;;
  host|dut|off) echo "$2" > FOLDER/state ;;
  *) echo "usbsdmux: error: argument mode: invalid choice: '$2'" >&2; exit 2 ;;
esac
"""


@asynccontextmanager
async def usbsdmux() -> AsyncIterator[Path]:
    """Put a program that behaves as ``usbsdmux`` first on the path; yields where it keeps its state."""
    path = os.environ["PATH"]
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / "usbsdmux"
        program.write_text(_MUX.replace("FOLDER", name))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        os.environ["PATH"] = f"{name}:{path}"
        try:
            yield Path(name) / "state"
        finally:
            os.environ["PATH"] = path


@asynccontextmanager
async def _usb_sd_mux() -> AsyncIterator[tuple[UsbSdMux, Told]]:
    async with usbsdmux() as state:

        async def told() -> str:
            return state.read_text().strip()

        yield UsbSdMux.from_config({}, {"path": "/dev/usb-sd-mux/id-1"}), told


@asynccontextmanager
async def _fake() -> AsyncIterator[tuple[FakeBootOverride, Told]]:
    fake = FakeBootOverride.from_config({}, {})

    async def told() -> str:
        return str(fake.history[-1])

    yield fake, told


CASES: dict[str, OverrideCase] = {
    "redfish": OverrideCase(
        _redfish, "Pxe", "Hdd", {"host": "bmc", **LOGIN}, {"system": "1", "network": "UefiHttp"}
    ),
    "ipmi": OverrideCase(_ipmi, "pxe", "default", {"host": "bmc", **LOGIN}, {"efi": False}),
    "command": OverrideCase(
        _command, "arm-1 host", "arm-1 dut", {"network": ["mux", "{name}"]}, {"name": "arm-1"}
    ),
    "usb-sd-mux": OverrideCase(
        _usb_sd_mux, "host", "dut", {"timeout": 4}, {"path": "/dev/usb-sd-mux/id-1", "network": "off"}
    ),
    "fake": OverrideCase(_fake, "network", "disk", {}, {}),
}
