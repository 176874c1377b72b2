"""Taking in a system that comes over the network: its description is read, and its files are put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hostler import __version__
from hostler.hub import images, netboot_description
from hostler.hub.errors import Fault, InvalidError
from hostler.hub.image_records import ImageRecord, NetbootImage, Provenance, TemplateSource
from hostler.hub.netboot_description import FILE, Description, Instead
from hostler.hub.state import Draft
from hostler.hub.toml_lines import Places
from hostler.model.kernel_image import HEAD, kernel_arch
from hostler.model.netboot_order import DoneSignal

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.hub.hub import Hub
    from hostler.hub.images import Keeper, KeptFile, Progress, Unpacked
    from hostler.hub.records import Principal

_INSTALL_SECONDS = 2 * 3600.0
"""A network install from a slow mirror onto a slow disk takes an hour."""
_LIVE_SECONDS = 900.0
"""A live system of some GiB over 100 Mbit/s, decompressed by a small CPU, is up in ten minutes."""


@dataclass(frozen=True, slots=True)
class NetbootTerms:
    """What is said of an import besides its description, which it overrides.

    Attributes:
        name: What it is to be called.
        arch: For which architecture; None: as described.
        platforms: Platforms it boots on; empty: as described.
        instead: Files that take the place of what it names.
        append: More for its command line.
        signal: What tells its end; None: as described, or ``console`` with a pattern.
        pattern: What its console shows when it has come up; None: as described.
        seconds: Longest time until its end; None: as described.
    """

    name: str
    arch: str | None = None
    platforms: tuple[str, ...] = ()
    instead: Instead = field(default_factory=Instead)
    append: str = ""
    signal: DoneSignal | None = None
    pattern: str | None = None
    seconds: float | None = None


async def take(
    hub: Hub, by: Principal, terms: NetbootTerms, source: Path | str, told: str,
    progress: Callable[[Progress], None],
) -> ImageRecord:  # fmt: skip
    """Import an image whose name is reserved.

    Args:
        hub: The hub.
        by: Who imports it.
        terms: What overrides the description.
        source: Path or URL of a tar, KIWI's tar or a live ISO.
        told: What the source is called in the catalogue and in errors.
        progress: Called from another thread; what it raises ends the import.

    Raises:
        InvalidError: the source or the description is at fault; with every fault found, its file and line.
        NoSpaceError: the disk is full.
    """
    desk = hub.images
    keeper = desk.files.keeper(desk.heeding(progress))
    async with desk.taking():
        try:
            unpacked, fingerprint = await _unpacked(hub, by, keeper, source, told)
            found = _described(terms, unpacked)
            draft = Draft(hub.state, 0.0)
            assert found.arch is not None
            images.check_new(
                draft, by, name=terms.name, arch=found.arch, platforms=tuple(found.platforms),
                pattern=found.done.pattern, seconds=found.boot.within or 1.0,
            )  # fmt: skip
            sources = netboot_description.templates(found, unpacked.description, unpacked.texts)
            netboot, size = await _put_together(hub, by, keeper, found, unpacked, sources)
            return await hub.change(
                lambda draft: images.add(
                    draft, by,
                    ImageRecord(
                        terms.name, found.arch or "", tuple(found.platforms), "", size, size, 0,
                        found.boot.console, found.boot.within, draft.now, told, by.name, netboot,
                        provenance=Provenance(fingerprint, __version__),
                    ),
                )
            )  # fmt: skip
        finally:
            desk.give_up(keeper.kept)  # those that the image has stay


async def _unpacked(
    hub: Hub, by: Principal, keeper: Keeper, source: Path | str, told: str
) -> tuple[Unpacked, str]:
    """Return what a source consists of, and its hash."""
    desk = hub.images

    def read(path: Path) -> tuple[Unpacked, str]:
        return keeper.unpack(path, told), keeper.sha256(path)

    if isinstance(source, Path):
        return await desk.at_length(lambda: read(source), str(source), told)
    barred = desk.barred(by)
    with desk.spool_file() as file:
        path = Path(file.name)
        await desk.at_length(lambda: keeper.download(source, path, barred))
        return await desk.at_length(lambda: read(path), str(path), told)


def _described(terms: NetbootTerms, unpacked: Unpacked) -> Description:
    found = netboot_description.read(unpacked.description, terms.arch, terms.instead)
    done = found.done
    if terms.pattern is not None or terms.signal is not None:
        signal = terms.signal or DoneSignal.CONSOLE
        described = done.pattern if signal is DoneSignal.CONSOLE else ""
        pattern = described if terms.pattern is None else terms.pattern
        if (signal is DoneSignal.CONSOLE) != bool(pattern):
            raise InvalidError(
                "a pattern is for the done-signal console, and that needs one", kind="bad-image"
            )
        # Not looked at once more: the pattern is checked with the other terms, in their words.
        done = done.model_copy(update={"signal": signal, "pattern": pattern})
    usual = _INSTALL_SECONDS if found.installs else _LIVE_SECONDS
    changed = {
        "cmdline": f"{found.cmdline} {terms.append}".strip(),
        "platforms": list(terms.platforms) or found.platforms,
        "done": done.model_copy(update={"within": terms.seconds or done.within or usual}),
    }
    return found.model_copy(update=changed)


async def _put_together(
    hub: Hub, by: Principal, keeper: Keeper, found: Description, unpacked: Unpacked,
    sources: dict[str, TemplateSource],
) -> tuple[NetbootImage, int]:  # fmt: skip
    """Bring every file the description names; returns the image and the bytes of its files."""
    wanted = {"kernel": found.kernel or "", **({"initrd": found.initrd} if found.initrd else {})}
    wanted |= {f"files.{name}": place for name, place in found.files.items()}
    places = Places(unpacked.description)
    faults = [
        Fault(f"{key}: there is no file {place}", FILE, places.line(tuple(key.split(".", 1))), key)
        for key, place in wanted.items()
        if not _is_address(place) and place not in unpacked.files
    ]
    if faults:
        raise InvalidError("; ".join(map(str, faults)), kind="bad-image", faults=tuple(faults))
    desk, barred = hub.images, hub.images.barred(by)
    kept: dict[str, KeptFile] = {}
    for key, place in wanted.items():
        if _is_address(place):
            kept[key] = await desk.at_length(lambda place=place: keeper.fetch(place, barred))  # type: ignore[misc]
        else:
            kept[key] = unpacked.files[place]
    kernel = desk.files.file(kept["kernel"].artefact)
    arch = kernel_arch(await desk.in_thread(lambda: _head(kernel)))
    if arch not in (None, found.arch):
        said = (
            f"kernel: the kernel is for {arch}, the image for {found.arch}; give it a kernel for "
            f"{found.arch}, or say --arch {arch}"
        )
        fault = Fault(said, FILE, places.line(("kernel",)), "kernel")
        raise InvalidError(str(fault), kind="bad-image", faults=(fault,))
    ids = {key: file.artefact for key, file in kept.items()}
    templates = dict(sources)
    assert found.done.within is not None
    netboot = NetbootImage(
        kernel=ids["kernel"],
        initrd=ids.get("initrd", ""),
        cmdline=templates.pop(""),
        files={name: ids[f"files.{name}"] for name in found.files},
        templates=templates,
        metadata=found.metadata,
        installs=found.installs,
        done=found.done.signal,
        pattern=found.done.pattern,
        seconds=found.done.within,
    )
    return netboot, sum(file.size for file in kept.values())


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _is_address(place: str) -> bool:
    return place.startswith(("http://", "https://"))
