"""Captures: what is refused before a board is touched, and the image that comes of one."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hostler import __version__
from hostler.hub.captures import TOOL_PACK, CaptureWish
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NoSpaceError
from hostler.hub.image_records import ImageRecord
from hostler.hub.records import HUB, Agent, Principal, Role
from hostler.model.claim import Want
from hostler.model.cleaning import DEFAULT
from hostler.model.json import LARGEST
from hostler.model.power import PowerReading, PowerState
from hostler.model.run import RunState
from simulated_rack import LAB, Lab, running, until

if TYPE_CHECKING:
    from pathlib import Path

ANNA, BEN = Principal("anna", Role.MEMBER), Principal("ben", Role.MEMBER)
DEBIAN = ImageRecord(
    "debian", "amd64", ("x86-bios",), "c" * 64, 10_000, 5_000, 1024, "hello:", 77.0, 1.0, "test"
)  # fmt: skip
STORED = {
    "index": "d" * 64, "size": 1 << 30, "data_bytes": 1 << 28, "chunk_size": 1 << 20, "chunks": 256,
    "sent_chunks": 3, "sent_bytes": 12345, "shrunk_from": None, "shrink_note": "", "cleaned": [],
}  # fmt: skip


async def held(lab: Lab, *disks: dict[str, Any]) -> None:
    """Let anna hold pc-1, on whose disk is the image debian and which reported these disks."""
    agent = Agent("amd64", "a" * 64, "b" * 64, {TOOL_PACK: "e" * 64})
    await lab.hub.change(lambda draft: draft.agents.put("amd64", agent))
    await lab.hub.change(lambda draft: draft.images.put(DEBIAN.name, DEBIAN))
    await lab.hub.create_principal(HUB, "anna", "member")
    await lab.hub.claim(ANNA, Want(None, "pc-1"))
    record = lab.hub.state.boards["pc-1"]
    record = replace(record, image="debian", facts={**record.facts, "disks": list(disks)})
    await lab.hub.change(lambda draft: draft.boards.put("pc-1", record))


def disk(path: str, size: int, **facts: Any) -> dict[str, Any]:
    return {"path": path, "bus": "ata", "size": size, "spared": None, "removable": False, **facts}


async def test_a_capture_becomes_an_image(tmp_path: Path) -> None:
    """For the board's platform, known by what its forerunner showed; whose it is and where from is kept."""
    async with running(tmp_path) as lab:
        await held(lab, disk("/dev/sda", 1 << 34))
        lab.rack.result_of["capture"] = STORED
        run = await lab.hub.capture(ANNA, "pc-1", "golden", CaptureWish(shrink=True))
        params = run.order.steps[0].params
        assert params["clean"] == list(DEFAULT)
        assert (params["tools"], params["limit"], params["shrink"]) == ("e" * 64, 1 << 34, True)
        await until(lambda: lab.hub.state.runs[run.id].status.state is RunState.SUCCEEDED)
        image = lab.hub.state.images["golden"]
        assert (image.index, image.size, image.data_bytes) == ("d" * 64, 1 << 30, 1 << 28)
        assert (image.arch, image.platforms, image.pattern, image.seconds) == (
            "amd64", ("x86-bios",), "hello:", 77.0,
        )  # fmt: skip
        assert image.principal == "anna"
        assert "captured from board pc-1" in image.source
        origin = image.provenance
        assert (origin.version, origin.chunks, origin.new_chunks) == (__version__, 256, 3)
        assert lab.hub.state.boards["pc-1"].image == "debian"  # it is still what is on the disk
    async with running(tmp_path) as lab:
        assert lab.hub.state.images["golden"] == image


async def test_what_cannot_be_is_refused_before_the_board_is_touched(tmp_path: Path) -> None:
    """A name that is taken or none, a word that cleans nothing, a disk that is not there, a stranger."""
    async with running(tmp_path) as lab:
        await held(lab, disk("/dev/sda", 1 << 34), disk("/dev/sdb", 1 << 33))
        for error, name, wish, told in (
            (ConflictError, "debian", CaptureWish("first"), 'there is an image "debian" already'),
            (InvalidError, "Gold", CaptureWish("first"), '"Gold" is not an image name'),
            (InvalidError, "gold", CaptureWish("first", ("soap",)), 'nothing to clean called "soap"'),
            (InvalidError, "gold", CaptureWish("sda"), '"sda" says nothing of a disk'),
            (ConflictError, "gold", CaptureWish(), "more than one disk"),
        ):
            with pytest.raises(error, match=told):
                await lab.hub.capture(ANNA, "pc-1", name, wish)
        with pytest.raises(ForbiddenError):
            await lab.hub.capture(BEN, "pc-1", "gold", CaptureWish("first"))
        agent = Agent("amd64", "a" * 64, "b" * 64)
        await lab.hub.change(lambda draft: draft.agents.put("amd64", agent))
        with pytest.raises(ConflictError, match="hostler agent build --arch amd64"):
            await lab.hub.capture(ANNA, "pc-1", "gold", CaptureWish("first"))
        assert lab.hub.state.boards["pc-1"].run is None


async def test_a_name_is_kept_while_it_is_being_captured(tmp_path: Path) -> None:
    """Nobody imports or captures another image of this name meanwhile; once the run has ended anybody may."""
    async with running(tmp_path, hang=True) as lab:
        await held(lab, disk("/dev/sda", 1 << 34))
        run = await lab.hub.start_run(ANNA, "pc-1", "capture:golden")
        told = f'run {run.id} captures an image "golden" from board "pc-1"'
        with pytest.raises(ConflictError, match=told), lab.hub.images.reserve_name(HUB, "golden"):
            pass
        await lab.hub.cancel_run(ANNA, run.id)
        await until(lambda: lab.hub.state.runs[run.id].status.state is RunState.CANCELLED)
        with lab.hub.images.reserve_name(HUB, "golden"):
            pass
        assert "golden" not in lab.hub.state.images


async def test_what_an_agent_tells_of_its_work_may_be_anything(tmp_path: Path) -> None:
    """What is no number counts as 0, and one that nothing could hold as the largest."""
    async with running(tmp_path) as lab:
        await held(lab, {"size": "a lot"}, {"path": []})
        lab.rack.result_of["capture"] = {
            **STORED,
            "chunks": "many",
            "sent_chunks": 10**40,
            "sent_bytes": None,
        }
        run = await lab.hub.capture(ANNA, "pc-1", "golden", CaptureWish("first"))
        assert run.order.steps[0].params["limit"] > 1 << 40
        await until(lambda: lab.hub.state.runs[run.id].status.state is RunState.SUCCEEDED)
        origin = lab.hub.state.images["golden"].provenance
        assert (origin.chunks, origin.new_chunks, origin.stored_bytes) == (0, LARGEST, 0)


async def test_a_board_of_which_nonsense_is_seen_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with where it failed; others seen with it are taken over, now and after a restart."""

    def told() -> list[logging.LogRecord]:
        return [one for one in caplog.records if "board pc-1 cannot be taken over" in one.getMessage()]

    async with running(tmp_path) as lab:
        await held(lab, disk("/dev/sda", 1 << 34))
        lab.rack.result_of["capture"] = {"index": "d" * 64}
        run = await lab.hub.capture(ANNA, "pc-1", "golden", CaptureWish())
        await until(lambda: bool(told()))
        assert told()[0].exc_info
        one, other = lab.rack.boards["pc-1"], lab.rack.boards["pc-2"]
        await asyncio.gather(lab.rack.tell(one, console=True), lab.rack.tell(other, conflict="is not pc-2"))
        await until(lambda: lab.hub.state.boards["pc-2"].conflict == "is not pc-2")
    caplog.clear()
    async with running(tmp_path) as lab:
        await until(lambda: bool(told()))
        await lab.rack.link.publish({"at": 1.0, "source": "a", "kind": "b", "text": "", "board": ["pc-1"]})
        await lab.rack.tell(lab.rack.boards["pc-2"], power=PowerReading(PowerState.ON), conflict="")
        await until(lambda: not lab.hub.state.boards["pc-2"].conflict)
        await until(lambda: any("event" in one.getMessage() and one.exc_info for one in caplog.records))
        assert not lab.hub.state.runs[run.id].status.state.ended
        assert "golden" not in lab.hub.state.images


async def test_captures_keep_to_the_share_of_who_asks(tmp_path: Path) -> None:
    """What is left travels with the order, and is kept for it until it ends; an admin has no share."""
    text = LAB.replace('name = "bench"', 'name = "bench"\nimage_limit_per_person = 10000')
    async with running(tmp_path, lab=text, hang=True) as lab:
        await held(lab, disk("/dev/sda", 6_000))
        mine = replace(DEBIAN, name="mine", data_bytes=1_000, principal="anna")
        await lab.hub.change(lambda draft: draft.images.put(mine.name, mine))

        async def most_data(by: Principal, plan: str) -> list[int | None]:
            run = await lab.hub.start_run(by, "pc-1", plan)
            found = [step.params["most_data"] for step in run.order.steps]
            if by is ANNA:
                told = f"has {1_000 + sum(found)}, of which captures under way may take {sum(found)}, "
                if sum(found) == 9_000:
                    with pytest.raises(NoSpaceError, match=told):
                        lab.hub.images.reserve_name(ANNA, "more").__enter__()
            await lab.hub.cancel_run(by, run.id)
            await until(lambda: lab.hub.state.runs[run.id].status.state is RunState.CANCELLED)
            return found

        assert await most_data(ANNA, "capture:one") == [6_000]
        assert await most_data(ANNA, "capture:one,capture:two") == [6_000, 3_000]
        assert await most_data(HUB, "capture:one") == [None]
        with pytest.raises(NoSpaceError, match="may have images with 10000 bytes"):
            await lab.hub.start_run(ANNA, "pc-1", "capture:one,capture:two,capture:three")
