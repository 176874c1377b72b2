"""The drive behind a disk: what it knows besides reading and writing, by the family its disk belongs to."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.ata import AtaError, KernelAta, identify
from hostler.agent.mmc import KernelMmc
from hostler.agent.nvme import KernelNvme
from hostler.agent.purge import UnsafeError
from hostler.agent.wipe_ata import AtaDrive, release
from hostler.agent.wipe_mmc import MmcDrive
from hostler.agent.wipe_nvme import NvmeDrive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hostler.agent.disks import Disk, Machine
    from hostler.agent.purge import Drive
    from hostler.model.disk_health import DiskHealth


@contextmanager
def drive_of(disk: Disk, machine: Machine) -> Iterator[Drive | None]:
    """Open the drive behind a disk; None: it has nothing to say but what it holds."""
    with ExitStack() as stack:
        path = Path(disk.path)
        drive: Drive | None = None
        try:
            if disk.bus == "nvme":
                drive = NvmeDrive(stack.enter_context(KernelNvme(path)))
            elif disk.bus == "ata":
                drive = AtaDrive(stack.enter_context(KernelAta(path)))
            elif disk.bus == "mmc" and _is_emmc(machine, path.name):
                drive = MmcDrive(stack.enter_context(KernelMmc(path)))
        except OSError:
            drive = None
        yield drive


def health_of(disk: Disk, machine: Machine) -> DiskHealth | None:
    """Return what a disk says of itself; None: nothing."""
    with drive_of(disk, machine) as drive:
        return drive.health() if drive is not None else None


def unlock(disks: Iterable[Disk]) -> list[str]:
    """Unlock disks that an erase left locked when it lost its power; return what is to be said about it.

    A locked disk fails every read, so this is done before anybody looks at the disks.
    """
    said = []
    for disk in disks:
        if disk.bus != "ata":
            continue
        try:
            with KernelAta(Path(disk.path)) as port:
                if release(port, identify(port)):
                    said.append(f"{disk.path}: an erase was cut short before; the disk is unlocked again")
        except (OSError, AtaError):
            continue
        except UnsafeError as error:
            said.append(f"{disk.path}: {error}")
    return said


def _is_emmc(machine: Machine, name: str) -> bool:
    """Tell eMMC from SD, whose commands have other meanings; a partition of its own is no card."""
    try:
        kind = (machine.sys / "block" / name / "device/type").read_text().strip()
    except OSError:
        return False
    return kind == "MMC" and name.removeprefix("mmcblk").isdigit()
