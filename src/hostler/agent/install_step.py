"""The step that installs: which index, where to, and what is done there besides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.disks import choose_disk, find_disks
from hostler.agent.drives import health_of
from hostler.agent.first_boot import first_boot_of, tell
from hostler.agent.install import install
from hostler.agent.media import Media
from hostler.agent.signed import proven_index
from hostler.agent.work import ImageFaultError, StepError
from hostler.model.install_target import InstallTarget, InstallTargetError

if TYPE_CHECKING:
    from hostler.agent.disks import Machine
    from hostler.agent.rack import Rack
    from hostler.agent.signed import Trust
    from hostler.agent.work import Work
    from hostler.model.chunkindex import ChunkIndex
    from hostler.model.json import Document


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
    told = first_boot_of(params)
    disk = choose_disk(find_disks(machine, removable=target.removable), target.disk)
    index = _index(artefact, params, rack, work, trust)
    work.say(f"install: {index.size} bytes, {len(index)} chunks, to {disk}")
    with Media(Path(disk.path), write=True) as media:
        result = install(index, media, rack, work, caller=rack)
    report: Document = {"disk": disk.to_json(), "size": index.size, **result.to_json()}
    if (health := health_of(disk, machine)) is not None:
        report["health"] = health.to_json()
    if told is not None:
        report["first_boot"] = tell(disk, told, machine, work)
    return report


def _index(artefact: str, params: Document, rack: Rack, work: Work, trust: Trust) -> ChunkIndex:
    size = params.get("size")
    index = proven_index(rack.index(artefact), params, trust, work.say)
    if size not in (None, index.size):
        raise ImageFaultError(f"the step says that the image has {size} bytes, its index {index.size}")
    return index
