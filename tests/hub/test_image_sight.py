"""Whose images are: for whom they are there, and who may say so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hostler.hub import claims, image_sight, images, projects, signing
from hostler.hub.captures import TOOL_PACK, CaptureWish
from hostler.hub.errors import ConflictError, ForbiddenError, NotFoundError
from hostler.hub.image_desk import ImageTerms
from hostler.hub.image_records import ImageRecord
from hostler.hub.records import HUB, Agent, Principal, Role
from hostler.hub.state import Draft
from hostler.model.claim import Want
from hostler.model.run import RunState
from simulated_rack import Lab, running, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ANNA = Principal("anna", Role.MEMBER, projects={"red": Role.MEMBER, "blue": Role.MEMBER})
RITA = Principal("rita", Role.MEMBER, projects={"red": Role.ADMIN})
VERA = Principal("vera", Role.VIEWER, projects={"red": Role.MEMBER})
BEN = Principal("ben", Role.MEMBER, projects={"blue": Role.MEMBER})
ROOT = Principal("root", Role.ADMIN)
STORED = {"index": "d" * 64, "size": 1 << 30, "data_bytes": 1 << 28, "chunk_size": 1 << 20}


def record(name: str, project: str, principal: str = "anna") -> ImageRecord:
    return ImageRecord(
        name, "amd64", (), "f" * 64, 10, 10, 1024, "x", 9.0, 1.0, "test", principal, project=project
    )  # fmt: skip


async def with_people(lab: Lab, *there: ImageRecord) -> None:
    """Make the projects red and blue, whoever belongs to them, and some images."""
    for name in ("red", "blue"):
        await lab.hub.change(lambda draft, name=name: projects.add(draft, HUB, name))  # type: ignore[misc]
    for one in (ANNA, RITA, VERA, BEN, ROOT):
        await lab.hub.change(lambda draft, one=one: draft.principals.put(one.name, one))  # type: ignore[misc]
    for image in there:
        await lab.hub.change(lambda draft, image=image: draft.images.put(image.name, image))  # type: ignore[misc]


async def told(lab: Lab, by: Principal) -> list[str]:
    """Return what somebody is told of images by events."""
    events = [event for event in await lab.hub.history.page(0) if event.kind.startswith("image.")]
    return [event.text for event in await lab.hub.sight.events(by, events)]


async def test_what_is_captured_is_for_the_project_of_the_claim(tmp_path: Path) -> None:
    """Its members and the lab's admins have the image and its events; for anybody else there is none."""
    async with running(tmp_path) as lab:
        await with_people(lab)
        agent = Agent("amd64", "a" * 64, "b" * 64, {TOOL_PACK: "e" * 64})
        await lab.hub.change(lambda draft: draft.agents.put("amd64", agent))
        await lab.hub.claim(ANNA, Want(None, "pc-1"), project="red")
        lab.rack.result_of["capture"] = STORED
        run = await lab.hub.capture(ANNA, "pc-1", "golden", CaptureWish("first"))
        await until(lambda: lab.hub.state.runs[run.id].status.state is RunState.SUCCEEDED)
        for one in (ANNA, RITA, VERA, ROOT):
            assert [image.name for image in image_sight.seen_images(lab.hub.state, one)] == ["golden"]
            assert await told(lab, one)
        assert not image_sight.seen_images(lab.hub.state, BEN)
        assert not await told(lab, BEN)


async def test_for_a_stranger_there_is_no_such_image(tmp_path: Path) -> None:
    """Whatever is asked with its name is answered as with a name that nobody has."""
    async with running(tmp_path) as lab:
        await with_people(lab, record("theirs", "red"), record("ours", ""))
        await lab.hub.claim(BEN, Want(None, "pc-1"))
        hub = lab.hub
        draft = Draft(hub.state, 1.0)

        def refused(name: str) -> list[str]:
            asked: list[Callable[[], object]] = [
                lambda: image_sight.find_image(hub.state, name, BEN),
                lambda: images.remove(draft, BEN, name),
                lambda: image_sight.share(draft, BEN, name, None),
                lambda: signing.unsign(draft, BEN, name, "key"),
                lambda: signing.index_file(hub, BEN, name),
                lambda: hub.image_care.may_verify(BEN, name),
                lambda: claims.request(draft, BEN, [Want("pc")], image=name),
            ]
            texts = []
            for ask in asked:
                with pytest.raises(NotFoundError) as caught:
                    ask()
                texts.append(caught.value.detail.replace(name, "NAME"))
            return texts

        assert refused("theirs") == refused("nobodys")
        for name in ("theirs", "nobodys"):
            with pytest.raises(NotFoundError, match=r"; images: ours$"):
                await hub.deploy(BEN, "pc-1", name)
            with pytest.raises(NotFoundError):
                await hub.start_run(BEN, "pc-1", f"install:{name}")
            with pytest.raises(NotFoundError):
                await hub.image_care.export(BEN, name, "raw")
            with pytest.raises(NotFoundError):
                await hub.image_care.diff(BEN, "ours", name)
        assert hub.image_care.may_verify(BEN, None) == ["ours"]


async def test_who_is_in_charge_says_for_whom_an_image_is(tmp_path: Path) -> None:
    """Who brought it, and admins of its project or of the lab; those from whom it goes are told."""
    async with running(tmp_path) as lab:
        await with_people(lab, record("golden", ""))

        async def share(by: Principal, project: str | None) -> None:
            await lab.hub.change(lambda draft: image_sight.share(draft, by, "golden", project))

        with pytest.raises(ForbiddenError):
            await share(BEN, "blue")
        with pytest.raises(NotFoundError):
            await share(ANNA, "green")
        await share(ANNA, "red")
        assert await told(lab, BEN) == ['anna made image "golden" one for project "red"']
        for one in (VERA, replace(ANNA, role=Role.VIEWER)):
            with pytest.raises(ForbiddenError):
                await share(one, None)
        with pytest.raises(ForbiddenError):  # not one of hers
            await share(RITA, "blue")
        await share(ROOT, "blue")
        assert len(await told(lab, RITA)) == len(await told(lab, BEN)) == 2
        with pytest.raises(NotFoundError):
            await share(RITA, None)
        await share(ANNA, "red")
        with pytest.raises(ConflictError, match="golden"):
            await lab.hub.change(lambda draft: projects.remove(draft, ROOT, "red"))
        await share(RITA, None)
        assert image_sight.sees(BEN, lab.hub.state.images["golden"])


async def test_damage_is_told_to_those_who_see_what_is_damaged(tmp_path: Path) -> None:
    """A chunk that images of several projects need is told of to each with the names of its own alone."""
    source = tmp_path / "disk.raw"
    source.write_bytes(bytes(range(256)) * 4096)
    async with running(tmp_path, agents=False) as lab:
        await with_people(lab)
        for name, project in (("for-red", "red"), ("for-blue", "blue"), ("for-all", None)):
            terms = ImageTerms(name, "amd64")
            with lab.hub.images.reserve(ROOT, terms):
                made = await lab.hub.images.take(ROOT, terms, source, "disk.raw", lambda _: None)
            await lab.hub.change(
                lambda draft, name=name, project=project: image_sight.share(draft, ROOT, name, project)  # type: ignore[misc]
            )
        (chunk,) = lab.store.index(made.index)
        lab.store.chunk_path(chunk.digest).write_bytes(b"")
        found = await lab.hub.image_care.verify(BEN, None, lambda _: None)
        assert found.images == found.faults[0].images == ("for-all", "for-blue")
        for one, mine, other in ((BEN, "for-blue", "for-red"), (VERA, "for-red", "for-blue")):
            texts = " ".join(text for text in await told(lab, one) if "damaged" in text)
            assert "for-all" in texts
            assert mine in texts
            assert other not in texts
