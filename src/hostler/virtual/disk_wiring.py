"""How the disks of a virtual board are put behind QEMU: files, controllers, limits, faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.virtual.disks import SECTOR, Access, DiskKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hostler.virtual.disks import DiskConfig, Fault

NVME_EUI64 = 0x5254000000000001
"""EUI-64 of the namespace of every NVMe disk; firmware finds its boot disk by it."""

# blkdebug's names of request kinds (QEMU qapi/block-core.json, BlkdebugIOType).
_IO_TYPES = {
    Access.READ: ("read",),
    Access.WRITE: ("write", "write-zeroes"),
    Access.ANY: ("read", "write", "write-zeroes", "discard", "flush"),
}
# What QEMU's raw driver tells blkdebug of before it does it (BlkdebugEvent).
_EVENTS = {
    Access.READ: ("read_aio",),
    Access.WRITE: ("write_aio",),
    Access.ANY: ("read_aio", "write_aio"),
}


def file_name(number: int) -> str:
    """Return the name of the file that holds disk ``number``, from 0."""
    return f"disk{number or ''}.raw"


def faults_name(number: int) -> str:
    """Return the name of the file with the faults of disk ``number``."""
    return f"disk{number or ''}.faults"


def prepare(disks: Sequence[DiskConfig], directory: Path) -> None:
    """Put the disks' files, once, and their faults, afresh, into ``directory``.

    Raises:
        OSError: No space, no permission.
    """
    for number, disk in enumerate(disks):
        path = directory / file_name(number)
        if not path.exists() or path.stat().st_size != disk.size:
            with path.open("ab") as file:
                file.truncate(disk.size)
        if disk.faults:
            (directory / faults_name(number)).write_text(blkdebug_rules(disk.faults))


def arguments(
    disks: Sequence[DiskConfig], slots: Sequence[int], cache: str, bootindex: int | None
) -> list[str]:
    """Return QEMU's arguments for the disks; file names are relative to the board's directory.

    Args:
        disks: The disks.
        slots: Device numbers on the root PCI bus, one for each disk.
        cache: QEMU's cache mode.
        bootindex: Place of the first disk in the boot order of firmware that asks QEMU for it.
    """
    chosen: list[str] = []
    for number, (disk, slot) in enumerate(zip(disks, slots, strict=True)):
        # No bootindex for an SD card: QEMU has none; SeaBIOS tries it after what has one.
        order = "" if bootindex is None or disk.kind is DiskKind.SD else f",bootindex={bootindex + number}"
        chosen += ["-drive", _drive(disk, number, cache)]
        for device in _devices(disk, f"disk{number}", slot, order):
            chosen += ["-device", device]
    return chosen


def blkdebug_rules(faults: Sequence[Fault]) -> str:
    """Return the faults as configuration of QEMU's blkdebug (docs/devel/blkdebug.rst)."""
    rules: list[str] = []
    for fault in faults:
        once = "on" if fault.once else "off"
        if fault.at is not None:
            rules += [_inject("none", kind, 0, fault.at // SECTOR, once) for kind in _IO_TYPES[fault.access]]
            continue
        after = fault.after or 0
        events = _EVENTS[fault.access]
        for event in events:
            rules += [_rule("set-state", event=event, state=n, new_state=n + 1) for n in range(1, after + 1)]
            # Without iotype the rule would be cleared by the first request that is of another kind.
            rules += [_inject(event, kind, after + 1, None, once) for kind in _IO_TYPES[fault.access]]
    return "\n".join(rules)


def _inject(event: str, kind: str, state: int, sector: int | None, once: str) -> str:
    more = {} if sector is None else {"sector": sector}
    return _rule("inject-error", event=event, iotype=kind, state=state, errno=5, once=once, **more)


def _rule(name: str, **values: object) -> str:
    return f"[{name}]\n" + "".join(f'{key} = "{value}"\n' for key, value in values.items())


def _drive(disk: DiskConfig, number: int, cache: str) -> str:
    place = f"file={file_name(number)}"
    if disk.faults:
        place = (
            f"file.driver=blkdebug,file.config={faults_name(number)},"
            f"file.image.driver=file,file.image.filename={file_name(number)}"
        )
    limits = "".join(
        f",throttling.bps-{way}={limit}"
        for way, limit in (("read", disk.read_limit), ("write", disk.write_limit))
        if limit is not None
    )
    # A full host is an I/O error to the guest; QEMU's own way is to stop the board in silence.
    return (
        f"if=none,id=disk{number},format=raw,{place},cache={cache},discard=unmap,detect-zeroes=unmap,"
        f"werror=report,rerror=report{limits}"
    )


def _devices(disk: DiskConfig, name: str, slot: int, order: str) -> list[str]:
    place = f"addr={slot:#x}"
    match disk.kind:
        case DiskKind.VIRTIO:
            return [f"virtio-blk-pci,drive={name},serial={disk.serial},{place}{order}"]
        case DiskKind.NVME:
            return [
                f"nvme,id={name}-controller,serial={disk.serial},{place}",
                f"nvme-ns,drive={name},bus={name}-controller,nsid=1,eui64={NVME_EUI64:#x}{order}",
            ]
        case DiskKind.AHCI:
            return [
                f"ich9-ahci,id={name}-controller,{place}",
                f"ide-hd,drive={name},bus={name}-controller.0,serial={disk.serial}{order}",
            ]
        case DiskKind.SD:
            return [f"sdhci-pci,id={name}-controller,{place}", f"sd-card,drive={name},bus=sd-bus"]
        case DiskKind.USB:
            return [
                f"qemu-xhci,id={name}-controller,{place}",
                f"usb-storage,drive={name},bus={name}-controller.0,serial={disk.serial}{order}",
            ]
