"""Images that come and go at the same time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from netboot_image import folder, imported

from hostler.hub.image_desk import ImageTerms
from hostler.hub.records import HUB
from hostler.serve import _sweep
from simulated_rack import running


async def test_an_image_is_never_listed_without_its_bytes(tmp_path: Path):
    """Removing an image takes nothing from one of the same bytes that is imported at that moment."""
    source = tmp_path / "disk.raw"
    source.write_bytes(random.Random(1).randbytes(1_500_000))
    async with running(tmp_path) as lab:

        async def take(name: str) -> str:
            terms = ImageTerms(name, "amd64")
            with lab.hub.images.reserve(HUB, terms):
                return (await lab.hub.images.take(HUB, terms, source, "disk.raw", lambda _: None)).index

        async def remove(name: str, after: float) -> None:
            await asyncio.sleep(after)
            await lab.hub.images.remove(HUB, name)

        await take("image-0")
        for number in range(25):
            index, _ = await asyncio.gather(
                take(f"image-{number + 1}"), remove(f"image-{number}", number * 0.001)
            )
            assert lab.store.artefact_path(index).exists()
            assert index in lab.store.indexes()
        await lab.hub.images.remove(HUB, "image-25")
        assert not lab.store.indexes()


async def test_what_a_crash_left_in_the_store_goes_at_the_next_start(tmp_path: Path):
    """Files of imports that were cut off go; those of images and agents stay."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(4096) + b"x" * 4096)
    agent = tmp_path / "agent"
    agent.write_bytes(b"kernel and initramfs")
    agent.chmod(0o644)
    async with running(tmp_path, agents=False) as lab:
        desk = lab.hub.images
        terms = ImageTerms("disk", "amd64")
        with desk.reserve(HUB, terms):
            await desk.take(HUB, terms, disk, "disk.raw", lambda _: None)
        await imported(lab, "installer", folder(tmp_path / "image"))
        await desk.register_agent(HUB, "amd64", agent, agent, {"boot.dtb": agent})
        listed = set(lab.store.artefacts())
        lost = lab.store.add_artefact(b"half of an import")
        assert listed == desk.artefacts()
        _sweep(lab.store, lab.hub)
        assert lost not in lab.store.artefacts()
        assert set(lab.store.artefacts()) == listed
