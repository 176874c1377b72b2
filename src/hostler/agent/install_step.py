"""The step that installs: which index, where to, and what is done there besides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.disks import choose_disk, find_disks
from hostler.agent.drives import health_of
from hostler.agent.emmc_boot import emmc_with, refuse_protected, set_boot, writable
from hostler.agent.first_boot import first_boot_of, tell
from hostler.agent.grow import grow
from hostler.agent.install import install
from hostler.agent.install_flash import install_flash
from hostler.agent.media import Media
from hostler.agent.mtd import KernelFlash, choose_flash, find_flash
from hostler.agent.signed import proven_index
from hostler.agent.work import ImageFaultError, StepError
from hostler.model.install_target import InstallTarget, InstallTargetError

if TYPE_CHECKING:
    from hostler.agent.disks import Disk, Machine
    from hostler.agent.rack import Rack
    from hostler.agent.signed import Trust
    from hostler.agent.work import Work
    from hostler.model.chunkindex import ChunkIndex
    from hostler.model.json import JSON, Document


def install_step(params: Document, machine: Machine, rack: Rack, work: Work, trust: Trust) -> Document:
    """Carry out an install step; returns its result.

    Args:
        params: ``index`` and ``size``, where to (``InstallTarget``), and what the system is told before its
            first boot.
        machine: Where the hardware is.
        rack: Where the image comes from.
        work: Takes progress and log.
        trust: Whose images may be written.

    Raises:
        StepError: It cannot be done; the message says why.
    """
    artefact = params.get("index")
    if not isinstance(artefact, str):
        raise StepError("install needs the artefact id of an index")
    try:
        target = InstallTarget.from_params(params)
    except InstallTargetError as error:
        raise StepError(str(error)) from error
    if target.flash is not None:
        return _to_flash(target.flash, _index(artefact, params, rack, work, trust), machine, rack, work)
    told = first_boot_of(params)
    disk = _disk(target, machine)
    index = _index(artefact, params, rack, work, trust)
    work.say(f"install: {index.size} bytes, {len(index)} chunks, to {disk}")
    report: Document = {"disk": disk.to_json(), "size": index.size, "to": target.to}
    if target.boot_partition is not None:
        report |= _to_boot_partition(disk, target.boot_partition, index, machine, rack, work)
    else:
        with Media(Path(disk.path), write=True) as media:
            report |= install(index, media, rack, work, caller=rack).to_json()
    if (health := health_of(disk, machine)) is not None:
        report["health"] = health.to_json()
    if told is not None:
        report["first_boot"] = tell(disk, told, machine, work)
    if target.grow:
        report["growth"] = _grow(disk, machine, work, report.get("first_boot"))
    if target.emmc_boot is not None:
        report["emmc_boot"] = set_boot(disk, target.emmc_boot)
        work.say(f"install: {disk.path} boots as: {report['emmc_boot']}")
    return report


def _disk(target: InstallTarget, machine: Machine) -> Disk:
    disks = find_disks(machine, removable=target.removable)
    if target.boot_partition is not None:
        return emmc_with(target.boot_partition, disks, target.disk)
    return choose_disk(disks, target.disk)


def _to_boot_partition(
    disk: Disk, part: str, index: ChunkIndex, machine: Machine, rack: Rack, work: Work
) -> Document:
    refuse_protected(disk, part)
    device = Path(disk.path + part)
    with writable(device, machine), Media(device, write=True) as media:
        return install(index, media, rack, work, caller=rack, keep_rest=True).to_json()


def _to_flash(name: str, index: ChunkIndex, machine: Machine, rack: Rack, work: Work) -> Document:
    flash = choose_flash(find_flash(machine), name)
    work.say(f"install: {index.size} bytes, {len(index)} chunks, to {flash}")
    with KernelFlash(flash, machine) as opened:
        result = install_flash(index, opened, rack, work)
    return {"flash": flash.to_json(), "size": index.size, "to": f"mtd:{name}", **result.to_json()}


def _grow(disk: Disk, machine: Machine, work: Work, first_boot: JSON) -> Document:
    seed = first_boot.get("partition") if isinstance(first_boot, dict) else None
    return grow(disk, machine, work, seed if isinstance(seed, int) else None)


def _index(artefact: str, params: Document, rack: Rack, work: Work, trust: Trust) -> ChunkIndex:
    size = params.get("size")
    index = proven_index(rack.index(artefact), params, trust, work.say)
    if size not in (None, index.size):
        raise ImageFaultError(f"the step says that the image has {size} bytes, its index {index.size}")
    return index
