"""Where a disk is attached: its path as udev writes it below ``/dev/disk/by-path``, and what carries it.

The rules are those of systemd's ``udev-builtin-path_id.c``, for what boards have: PCI, platform devices, ATA,
NVMe, USB, virtio, plain SCSI. A disk on SAS, Fibre Channel or iSCSI has a WWN, and no path here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FABRICS = (("rport-", "fc"), ("end_device-", "sas"), ("session", "iscsi"))


def by_path(block: Path) -> str:
    """Return the place of a directory of ``/sys/block``, such as ``pci-0000:00:1f.2-ata-1.0``; or nothing."""
    words: list[str] = []
    skipped = ""
    if nsid := _text(block / "nsid"):
        words.append(f"nvme-{nsid}")
    for device in _ancestors(block.resolve()):
        kind = _subsystem(device)
        if kind == skipped:
            continue
        skipped = ""
        if kind == "scsi" and re.fullmatch(r"\d+:\d+:\d+:\d+", device.name):
            if _fabric(device):
                return ""
            words.append(_scsi(device))
        elif kind == "usb":
            words.append(f"usb-0:{device.name.partition('-')[2]}")
            skipped = kind
        elif kind in ("pci", "platform"):
            words.append(f"{kind}-{device.name}")
            skipped = kind
    # What the kernel makes up, or what hangs on nothing known, has no place.
    return "-".join(reversed(words)) if words and words[-1].startswith(("pci-", "platform-")) else ""


def transport(block: Path, bus: str) -> str:
    """Return what carries a disk: ``pcie``, ``tcp``, ``sd``, ``sas``, ``fc``, ``iscsi``, else its bus.

    Args:
        block: Directory of ``/sys/block``.
        bus: The family the disk belongs to.
    """
    if bus == "nvme":
        return _text(block / "device/transport") or bus
    if bus == "mmc":
        return _text(block / "device/type").lower() or bus
    if bus == "scsi":
        return _fabric(block.resolve()) or bus
    return bus


def wwn(block: Path) -> str:
    """Return a disk's world wide name as udev writes it (``0x5000…``, ``eui.…``); empty if it has none."""
    for name in ("wwid", "device/wwid"):
        if text := _text(block / name):
            kind, _, number = text.partition(".")
            # A T10 name is vendor, model and serial once more, and NVMe's own likewise.
            return f"0x{number}" if kind == "naa" else text if kind in ("eui", "uuid") else ""
    return ""


def _scsi(device: Path) -> str:
    host, channel, target, lun = map(int, device.name.split(":"))
    for above in device.parents:
        port = _text(above / "ata_port" / above.name / "port_no")
        if port:
            return f"ata-{port}.{channel}.0" if channel else f"ata-{port}.{target}"
        if above.name == f"host{host}":
            # Hosts are numbered as they come; what counts is which one it is of its adapter's.
            hosts = [path.name[4:] for path in above.parent.glob("host*")]
            host -= min((int(number) for number in hosts if number.isdigit()), default=host)
    return f"scsi-{host}:{channel}:{target}:{lun}"


def _fabric(device: Path) -> str:
    for mark, name in _FABRICS:
        if any(part.startswith(mark) for part in device.parts):
            return name
    return ""


def _ancestors(device: Path) -> Iterator[Path]:
    """Yield what is above a device and a device itself, nearest first."""
    for above in device.parents:
        if above.name == "devices":
            return
        if (above / "subsystem").exists():
            yield above


def _subsystem(device: Path) -> str:
    return (device / "subsystem").resolve().name


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip().strip("\0")
    except OSError:
        return ""
