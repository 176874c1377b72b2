"""Boot overrides against controllers that are particular, lie, or refuse."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import pytest
from bootctl_cases import usbsdmux
from ipmi_bmc import ipmi_sim

from hostler.drivers.bootctl.command import BootCommand
from hostler.drivers.bootctl.ipmi import IpmiBoot
from hostler.drivers.bootctl.redfish import RedfishBoot
from hostler.drivers.bootctl.tool import UsbBootTool
from hostler.drivers.bootctl.usb_sd_mux import UsbSdMux
from hostler.drivers.errors import (
    DidNotHappen,
    DriverConfigError,
    DriverTimeout,
    EquipmentRefused,
    EquipmentUnreachable,
)
from hostler.drivers.power.redfish_fake import FakeRedfish
from hostler.model.boot import BootTarget

if TYPE_CHECKING:
    from pathlib import Path

LOGIN = {"user": "admin", "password": "env:LAB_PASSWORD"}
PLAIN = {**LOGIN, "tls": False}


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "s3cret")


@pytest.fixture
def bmc() -> FakeRedfish:
    return FakeRedfish(["1"], "admin", "s3cret")


@pytest.mark.parametrize("tags", ["", "needed", "fickle"])
async def test_redfish_is_overridden_once_whatever_the_controller_thinks_of_tags(
    bmc: FakeRedfish, tags: str
) -> None:
    """One that asks for If-Match gets it; one whose tags never match is asked without."""
    bmc.tags = tags
    async with bmc.serve() as host:
        said = await RedfishBoot.from_config({"host": host, **PLAIN}, {}).direct(BootTarget.NETWORK)
    assert "boots from Pxe (Once)" in said
    assert bmc.boot["1"]["BootSourceOverrideTarget"] == "Pxe"
    assert bmc.boot["1"]["BootSourceOverrideEnabled"] == "Once"


async def test_redfish_boots_by_http_and_takes_an_override_back(bmc: FakeRedfish) -> None:
    """What is told for either boot, and in which mode, is the binding's to say."""
    async with bmc.serve() as host:
        wire = {"network": "UefiHttp", "disk": "None", "mode": "UEFI"}
        server = RedfishBoot.from_config({"host": host, **PLAIN}, wire)
        await server.direct(BootTarget.NETWORK)
        boot = dict(bmc.boot["1"])
        assert (boot["BootSourceOverrideTarget"], boot["BootSourceOverrideMode"]) == ("UefiHttp", "UEFI")
        assert "no override" in await server.direct(BootTarget.DISK)
    assert bmc.boot["1"]["BootSourceOverrideEnabled"] == "Disabled"


async def test_redfish_says_what_it_cannot_boot_from(bmc: FakeRedfish) -> None:
    """A controller that names its boot sources is believed, and nothing is sent."""
    bmc.boot["1"]["BootSourceOverrideTarget@Redfish.AllowableValues"] = ["None", "Hdd"]
    async with bmc.serve() as host:
        with pytest.raises(EquipmentRefused, match="cannot boot from Pxe, only None, Hdd"):
            await RedfishBoot.from_config({"host": host, **PLAIN}, {}).direct(BootTarget.NETWORK)


async def test_redfish_that_agrees_and_does_nothing_is_found_out(bmc: FakeRedfish) -> None:
    """The override is read back."""
    bmc.misbehaviour = "lie"
    async with bmc.serve() as host:
        with pytest.raises(DidNotHappen, match="reads None"):
            await RedfishBoot.from_config({"host": host, **PLAIN}, {}).direct(BootTarget.NETWORK)


async def test_ipmi_that_agrees_and_does_nothing_is_found_out(tmp_path: Path) -> None:
    """The boot device is read back."""
    async with ipmi_sim(tmp_path) as host:
        chassis = tmp_path / "chassis"
        chassis.write_text(chassis.read_text().replace('"set boot") echo "$3"', '"set boot") echo default'))
        with pytest.raises(DidNotHappen, match="agreed to boot from pxe"):
            await IpmiBoot.from_config({"host": host, **LOGIN, "cipher": 3}, {}).direct(BootTarget.NETWORK)


async def test_ipmi_without_the_right_or_without_a_controller_says_so(tmp_path: Path) -> None:
    """A mere user may not set the boot device; an address where nothing answers ends in time."""
    async with ipmi_sim(tmp_path) as host:
        equipment = {"host": host, **LOGIN, "cipher": 3, "privilege": "user"}
        with pytest.raises(EquipmentRefused, match="privilege"):
            await IpmiBoot.from_config(equipment, {}).direct(BootTarget.NETWORK)
    nobody = IpmiBoot.from_config({"host": "127.0.0.1:9", **LOGIN, "cipher": 3, "timeout": 0.3}, {})
    with pytest.raises((DriverTimeout, EquipmentUnreachable)):
        await nobody.direct(BootTarget.NETWORK)


async def test_a_card_multiplexer_that_is_not_there_or_does_not_switch_is_told() -> None:
    """The program's own words; and who has the card is read back."""
    async with usbsdmux() as state:
        with pytest.raises(EquipmentRefused, match="No such file or directory: '/dev/usb-sd-mux/id-2'"):
            await UsbSdMux.from_config({}, {"path": "/dev/usb-sd-mux/id-2"}).direct(BootTarget.DISK)
        program = state.with_name("usbsdmux")
        program.write_text(program.read_text().replace('echo "$2"', "echo dut"))
        with pytest.raises(DidNotHappen, match="to host, but dut has it"):
            await UsbSdMux.from_config({}, {"path": "/dev/usb-sd-mux/id-1"}).direct(BootTarget.NETWORK)


async def test_a_tool_ends_with_its_work_and_is_killed_with_its_time() -> None:
    """Its last words are told; when it is not wanted any more nothing of it is left."""
    assert await UsbBootTool.from_config({}, {"run": ["echo", "Second stage sent"]}).boot() == (
        "tool echo: Second stage sent"
    )
    with pytest.raises(EquipmentRefused, match="ended with 1: no device"):
        await UsbBootTool.from_config({}, {"run": ["sh", "-c", "echo no device; exit 1"]}).boot()
    waits = UsbBootTool.from_config({}, {"run": ["sh", "-c", "sleep 87654 & wait"]})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await waits.boot()
    assert subprocess.run(["pgrep", "-f", "sleep 87654"], capture_output=True).returncode == 1


async def test_a_command_that_fails_is_told_with_its_last_words() -> None:
    """Another exit code than 0 is a refusal; what is not named is not run."""
    wire = {"network": ["sh", "-c", "echo no card in slot 3 >&2; exit 2"]}
    mux = BootCommand.from_config({}, wire)
    with pytest.raises(EquipmentRefused, match="ended with 2: no card in slot 3"):
        await mux.direct(BootTarget.NETWORK)
    assert await mux.direct(BootTarget.DISK) == "no command for disk"


@pytest.mark.parametrize(
    ("driver", "equipment", "binding", "key"),
    [
        (RedfishBoot, {"host": "b", **LOGIN}, {"network": "Cd"}, "network"),
        (RedfishBoot, {"host": "b", **LOGIN}, {"mode": "Both"}, "mode"),
        (RedfishBoot, {"host": "b", **LOGIN}, {"disk": ""}, "disk"),
        (IpmiBoot, {"host": "b", **LOGIN}, {"efi": "yes"}, "efi"),
        (UsbSdMux, {}, {"path": "sdmux"}, "path"),
        (UsbSdMux, {}, {"path": "/dev/sg1", "network": "dut"}, "network"),
        (UsbBootTool, {}, {}, "run"),
        (UsbBootTool, {}, {"run": ["x"], "seconds": "1"}, "seconds"),
        (BootCommand, {}, {"disk": ["x"]}, "network"),
        (BootCommand, {}, {"network": "x y"}, "network"),
        (BootCommand, {}, {"network": ["x", "{name}"]}, "name"),
        (BootCommand, {}, {"network": ["x"], "environment": {"A": "secret"}}, "environment"),
    ],
)
def test_a_wrong_key_is_named(driver, equipment, binding, key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        driver.from_config(equipment, binding)
    assert caught.value.key == key
