"""Images that come and go at the same time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from hostler.hub.image_desk import ImageTerms
from hostler.hub.records import HUB
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
