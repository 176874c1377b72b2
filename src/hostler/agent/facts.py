"""What the kernel knows of the board: identity, memory, processors, network, disks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from hostler.agent.disks import find_disks
from hostler.agent.drives import health_of
from hostler.agent.mtd import find_flash

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.agent.disks import Disk, Machine
    from hostler.model.json import JSON, Document

_DMI = {
    "vendor": "sys_vendor",
    "product": "product_name",
    "version": "product_version",
    "sku": "product_sku",
    "serial": "product_serial",
    "uuid": "product_uuid",
    "board_vendor": "board_vendor",
    "board_name": "board_name",
    "board_serial": "board_serial",
    "chassis_serial": "chassis_serial",
    "asset_tag": "chassis_asset_tag",
    "bios_vendor": "bios_vendor",
    "bios_version": "bios_version",
    "bios_date": "bios_date",
}

_SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"  # of EFI_GLOBAL_VARIABLE


def discover(machine: Machine) -> Document:
    """Return everything; nothing is judged here, junk serials of the vendor included."""
    return {
        "arch": os.uname().machine,
        "kernel": os.uname().release,
        "firmware": "uefi" if (machine.sys / "firmware/efi").exists() else "other",
        **_secure_boot(machine),
        "dmi": _dmi(machine),
        "device_tree": _device_tree(machine),
        "macs": [cast("str", nic["mac"]) for nic in _nics(machine)],
        "memory_bytes": _memory(machine),
        "cpu": _cpu(machine),
        "nics": cast("JSON", _nics(machine)),
        "disks": cast("JSON", [_disk(disk, machine) for disk in find_disks(machine)]),
        "flash": [flash.to_json() for flash in find_flash(machine)],
    }


def machine_identity(machine: Machine) -> Document:
    """Return what tells this machine from others on paper: maker, product and serial number if told."""
    told = {**_device_tree(machine), **_dmi(machine)}
    return {key: told[key] for key in ("vendor", "product", "model", "serial") if told.get(key)}


def _disk(disk: Disk, machine: Machine) -> Document:
    """A disk, and what it says of its own health where it does."""
    health = health_of(disk, machine)
    return disk.to_json() | ({"health": health.to_json()} if health is not None else {})


def _secure_boot(machine: Machine) -> Document:
    """Whether the firmware starts signed programs only (UEFI 2.10, 3.3); nothing if none can tell."""
    firmware = machine.sys / "firmware/efi"
    if not firmware.exists():
        return {"secure_boot": False}
    variables = firmware / "efivars"
    try:
        value = (variables / _SECURE_BOOT).read_bytes()
    except FileNotFoundError:
        # Firmware that knows nothing of it has no such variable; without efivarfs there is none at all.
        return {"secure_boot": False} if variables.is_dir() and any(variables.iterdir()) else {}
    except OSError:
        return {}
    return {"secure_boot": value[4:5] == b"\x01"}  # behind four bytes of attributes


def _text(path: Path) -> str:
    """Return a small file without surrounding white space; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip().strip("\0")
    except OSError:  # absent, or, as with the speed of a link that is down, not to be had
        return ""


def _dmi(machine: Machine) -> Document:
    directory = machine.sys / "class/dmi/id"
    return {name: value for name, file in _DMI.items() if (value := _text(directory / file))}


def _device_tree(machine: Machine) -> Document:
    directory = machine.sys / "firmware/devicetree/base"
    found: Document = {
        name: value
        for name, file in (("model", "model"), ("serial", "serial-number"))
        if (value := _text(directory / file))
    }
    if compatible := _text(directory / "compatible"):
        found["compatible"] = cast("JSON", compatible.split("\0"))
    return found


def _memory(machine: Machine) -> int:
    for line in _text(machine.proc / "meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _cpu(machine: Machine) -> Document:
    fields: dict[str, str] = {}
    count = 0
    for line in _text(machine.proc / "cpuinfo").splitlines():
        key, _, value = line.partition(":")
        key = key.strip()
        count += key == "processor"
        fields.setdefault(key, value.strip())
    # arm64 kernels give numbers instead of a name.
    arm = " ".join(fields[key] for key in ("CPU implementer", "CPU part", "CPU revision") if key in fields)
    return {"count": count, "model": fields.get("model name") or arm}


def _nics(machine: Machine) -> list[Document]:
    """Return the interfaces with hardware below them."""
    nics: list[Document] = []
    directory = machine.sys / "class/net"
    for path in sorted(directory.iterdir()) if directory.exists() else []:
        mac = _text(path / "address").lower()
        if not (path / "device").exists() or len(mac) != 17:
            continue
        speed = _text(path / "speed")
        driver = path / "device/driver"
        nics.append(
            {
                "name": path.name,
                "mac": mac,
                "link": _text(path / "carrier") == "1",
                "speed_mbit": int(speed) if speed.isdigit() and speed != "0" else None,
                "driver": driver.resolve().name if driver.exists() else "",
            }
        )
    return nics
