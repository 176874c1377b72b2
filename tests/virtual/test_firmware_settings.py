"""The firmware's own settings: U-Boot's environment and OVMF's boot order."""

from __future__ import annotations

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from hostler.virtual import qemu, uboot_env, uefi_nvram
from hostler.virtual.config import First

if TYPE_CHECKING:
    from pathlib import Path

MAC = "52:54:00:77:00:03"
BOARD = UUID("b0a2d0e4-0003-4c6f-9a35-6d1f2c7e0003")


def test_the_environment_is_what_mkenvimage_makes(tmp_path: Path) -> None:
    """U-Boot's own tool makes the same bytes from the same variables."""
    if shutil.which("mkenvimage") is None:
        pytest.fail("mkenvimage is missing: install package u-boot-tools")
    settings = uboot_env.network_first(uboot_env.default_environment(qemu.UBOOT.read_bytes()), MAC, BOARD)
    text = tmp_path / "environment.txt"
    text.write_text("".join(f"{name}={value}\n" for name, value in sorted(settings.items())))
    size = hex(uboot_env.ENVIRONMENT_SIZE)
    subprocess.run(
        ["mkenvimage", "-s", size, "-o", str(tmp_path / "image"), str(text)], check=True, timeout=30
    )
    assert uboot_env.encode(settings) == (tmp_path / "image").read_bytes()


def test_the_network_is_asked_before_the_disk() -> None:
    """The order of a board in a rack: network, then disk; the firmware's own commands stay as they are."""
    defaults = uboot_env.default_environment(qemu.UBOOT.read_bytes())
    settings = uboot_env.network_first(defaults, MAC, BOARD)
    assert settings["bootcmd"].index("boot_network") < settings["bootcmd"].index("bootcmd_virtio0")
    assert settings["ethaddr"] == MAC
    assert settings["kernel_addr_r"] == defaults["kernel_addr_r"]
    assert "bootcmd_virtio0" in defaults


def test_a_board_as_it_is_shipped_boots_its_disk_after_its_usual_delay() -> None:
    """The firmware's own commands, order and delay; only what tells this board from another is added."""
    defaults = uboot_env.default_environment(qemu.UBOOT.read_bytes())
    settings = uboot_env.disk_first(defaults, MAC, BOARD)
    assert settings["bootcmd"] == "run distro_bootcmd"
    assert settings["boot_targets"].index("virtio") < settings["boot_targets"].index("dhcp")
    assert settings["bootdelay"] == "2"
    assert (settings["ethaddr"], settings["pxeuuid"]) == (MAC, str(BOARD))


def test_a_binary_without_an_environment_is_refused() -> None:
    """A firmware this lab does not know is not started with a guess."""
    with pytest.raises(uboot_env.NoDefaultEnvironment):
        uboot_env.default_environment(b"\x7fELF" + bytes(1000))


def test_an_environment_larger_than_its_flash_is_refused() -> None:
    """Nothing is cut off in silence."""
    with pytest.raises(ValueError, match="larger"):
        uboot_env.encode({"a": "x" * uboot_env.ENVIRONMENT_SIZE})


def variables(store: bytes) -> list[str]:
    """Names of the variables that are valid, as EDK2 reads them."""
    found, at = [], 0x64
    while store[at : at + 2] == b"\xaa\x55":
        name, data = struct.unpack_from("<II", store, at + 36)
        if store[at + 2] == 0x3F:
            found.append(store[at + 60 : at + 60 + name].decode("utf-16-le").rstrip("\0"))
        at += 60 + name + data + 3 & ~3
    return found


@pytest.mark.parametrize("first", First)
@pytest.mark.parametrize("template", [qemu.OVMF_VARS, qemu.OVMF_SECURE_VARS, qemu.AAVMF_VARS], ids=str)
def test_the_boot_order_replaces_the_one_a_store_holds(template: Path, first: First) -> None:
    """Size and the rest of the flash stay, the keys of Secure Boot among it; no variable is there twice."""
    before = template.read_bytes()
    ordered = uefi_nvram.boot_order(before, MAC, first)
    assert len(ordered) == len(before)
    names, kept = variables(ordered), variables(before)
    assert names[-2:] == ["Boot0001", "BootOrder"]
    assert len(names) == len(set(names))
    assert set(names) >= {name for name in kept if not name.startswith("Boot")}
    assert (bytes.fromhex(MAC.replace(":", "")) in ordered) is (first is not First.MEDIA)


def test_keys_can_be_taken_out() -> None:
    """A store without variables is what is left, and Secure Boot is off with it."""
    emptied = uefi_nvram.without_variables(qemu.OVMF_SECURE_VARS.read_bytes())
    assert emptied == qemu.OVMF_VARS.read_bytes()


def test_what_is_no_store_is_refused() -> None:
    """A firmware this lab does not know is not started with a guess."""
    with pytest.raises(uefi_nvram.NotAStore):
        uefi_nvram.boot_order(bytes(100_000), MAC, First.NETWORK)
