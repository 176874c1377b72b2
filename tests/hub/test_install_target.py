"""Where an image goes: what was asked for, the board's hint or its class's, and the disks it reported."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from netboot_image import folder, imported

from hostler.hub.errors import ConflictError, InvalidError
from hostler.hub.first_boot import FirstBootWish
from hostler.hub.image_records import ImageRecord
from hostler.hub.install_target import TargetWish
from hostler.hub.labfile import LabfileError, read_labfile
from hostler.hub.records import HUB, Principal, Role
from hostler.model.claim import Want
from hostler.model.disk_hint import REMOVABLE
from hostler.model.install_target import InstallTarget
from hostler.model.run import RunState
from simulated_rack import LAB, Lab, running, until

if TYPE_CHECKING:
    from pathlib import Path

ANNA = Principal("anna", Role.MEMBER)
DEBIAN = ImageRecord(
    "debian", "amd64", ("x86-bios",), "c" * 64, 10_000, 5_000, 1024, "login:", 300.0, 1.0, "test"
)  # fmt: skip
HINTED = LAB.replace(
    'platform = "x86-bios"\n', 'platform = "x86-bios"\ndisk = "bus=nvme,smallest"\ngrow = true\n', 1
).replace('[boards.pc-2]\nclass = "pc"\n', '[boards.pc-2]\nclass = "pc"\ndisk = "serial=S2"\n')


def disk(path: str, size: int, **facts: Any) -> dict[str, Any]:
    return {"path": path, "bus": "ata", "size": size, "spared": None, "removable": False, **facts}


async def held(lab: Lab, *disks: dict[str, Any], board: str = "pc-1", text: str = LAB) -> None:
    """Let anna hold a board that reported these disks."""
    lab.store.artefact_path(DEBIAN.index).write_bytes(b"its chunk index")
    await lab.hub.change(lambda draft: draft.images.put(DEBIAN.name, DEBIAN))
    await lab.hub.create_principal(HUB, "anna", "member")
    if text != LAB:
        await lab.hub.apply_inventory(HUB, text)
    await lab.hub.claim(ANNA, Want(None, board))
    if disks:
        record = lab.hub.state.boards[board]
        facts = {**record.facts, "disks": list(disks)}
        await lab.hub.change(lambda draft: draft.boards.put(board, replace(draft.boards[board], facts=facts)))


def made(place: Path) -> Path:
    place.mkdir()
    return place


async def target(lab: Lab, wish: TargetWish | None = None, board: str = "pc-1") -> InstallTarget:
    run = await lab.hub.deploy(ANNA, board, "debian", target=wish)
    return InstallTarget.from_params(run.order.steps[0].params)


async def test_the_order_names_the_disk(tmp_path: Path) -> None:
    """What was asked for goes before the board's hint, and that before its class's."""
    async with running(tmp_path) as lab:
        await held(lab, text=HINTED)
        assert await target(lab) == InstallTarget("bus=nvme,smallest", grow=True)
    async with running(made(tmp_path / "two")) as lab:
        await held(lab, text=HINTED, board="pc-2")
        assert (await target(lab, board="pc-2")).disk == "serial=S2"
    async with running(made(tmp_path / "three")) as lab:
        await held(lab, text=HINTED)
        assert await target(lab, TargetWish("/dev/sdb", grow=False)) == InstallTarget("/dev/sdb")


async def test_a_disk_that_is_not_there_is_refused_before_the_board_is_touched(tmp_path: Path) -> None:
    """As is one that is not the only one; the disks and how to look again are named."""
    two = (disk("/dev/sda", 10**9, serial="S1"), disk("/dev/sdb", 10**9, serial="S2"))
    async with running(tmp_path) as lab:
        await held(lab, *two)
        with pytest.raises(ConflictError, match=r'"pc-1": more than one disk.*S1.*S2.*hostler run pc-1 disc'):
            await target(lab)
        with pytest.raises(ConflictError, match=r'no disk is "bus=nvme".*S1.*S2'):
            await target(lab, TargetWish("bus=nvme"))
        assert lab.hub.state.boards["pc-1"].run is None
        assert (await target(lab, TargetWish("serial=S2"))).disk == "serial=S2"


async def test_an_image_larger_than_the_disk_meant_is_refused(tmp_path: Path) -> None:
    """That another disk has room does not count."""
    small, large = disk("/dev/sda", 9_999), disk("/dev/sdb", 10_000)
    async with running(tmp_path) as lab:
        await held(lab, small, large)
        with pytest.raises(ConflictError, match=r"needs 10000 bytes.*/dev/sda \(ata, 9999 bytes\)"):
            await target(lab, TargetWish("smallest"))
        assert await target(lab, TargetWish("largest"))


async def test_removable_media_are_disks_where_the_class_says_so(tmp_path: Path) -> None:
    """Then they are installed on, and wiped when the board is given back; elsewhere no hint gets at them."""
    stick = disk("/dev/sda", 10**9, removable=True, spared=REMOVABLE)
    async with running(tmp_path) as lab:
        await held(lab, stick)
        with pytest.raises(ConflictError, match="left alone: removable medium"):
            await target(lab, TargetWish("removable=yes"))
    text = LAB.replace('platform = "x86-bios"\n', 'platform = "x86-bios"\nremovable = true\n', 1)
    async with running(made(tmp_path / "two")) as lab:
        await held(lab, stick, text=text)
        assert (await target(lab)).removable
        run = lab.hub.state.boards["pc-1"].run
        await until(lambda: lab.hub.state.runs[run].status.state is RunState.SUCCEEDED)
        await lab.hub.release(ANNA, lab.hub.state.boards["pc-1"].claim)
        released = lab.hub.state.runs[lab.hub.state.boards["pc-1"].run]
        assert released.order.steps[0].params["removable"] is True
        await until(lambda: lab.hub.state.boards["pc-1"].lifecycle == "quarantined")
        assert "disk /dev/sda was not wiped" in lab.hub.state.boards["pc-1"].reason


async def test_what_goes_beside_the_disk_leaves_the_system_on_it(tmp_path: Path) -> None:
    """It is installed and not booted; neither growing nor a first boot is possible there."""
    async with running(tmp_path) as lab:
        await held(lab, text=HINTED)
        for wish, told in (
            (TargetWish(to="emmc-boot0", grow=True), "no partition to grow"),
            (TargetWish(to="floppy"), "it goes to disk, emmc-boot0"),
            (TargetWish(to="mtd:spl", disk="first"), "no part of a disk"),
            (TargetWish("sda"), '"sda" says nothing of a disk'),
            (TargetWish(emmc_boot="boot7"), '"boot7" says nothing of how'),
        ):
            with pytest.raises(InvalidError, match=told):
                await target(lab, wish)
        with pytest.raises(InvalidError, match="no first boot"):
            await lab.hub.deploy(
                ANNA, "pc-1", "debian", wish=FirstBootWish(""), target=TargetWish(to="emmc-boot0")
            )
        run = await lab.hub.deploy(ANNA, "pc-1", "debian", target=TargetWish(to="mtd:spl"))
        assert run.plan == "install:debian"
        assert InstallTarget.from_params(run.order.steps[0].params) == InstallTarget(to="mtd:spl")
        await until(lambda: lab.hub.state.runs[run.id].status.state is RunState.SUCCEEDED)
        assert lab.hub.state.boards["pc-1"].image is None


async def test_an_installer_chooses_its_disk_itself(tmp_path: Path) -> None:
    """It is told in its templates; the agent does not write for it."""
    async with running(tmp_path) as lab:
        await held(lab)
        await imported(lab, "installer", folder(tmp_path / "image"))
        with pytest.raises(InvalidError, match="chooses its disk itself"):
            await lab.hub.deploy(ANNA, "pc-1", "installer", target=TargetWish("first"))


def test_a_hint_that_cannot_be_read_is_told_with_its_line() -> None:
    """As every mistake in lab.toml."""
    text = LAB.replace('platform = "x86-bios"\n', 'platform = "x86-bios"\ndisk = "sda"\n', 1)
    with pytest.raises(LabfileError, match=r'classes.pc.disk: "sda" says nothing of a disk') as caught:
        read_labfile(text)
    assert caught.value.faults[0].line == text[: text.index('disk = "sda"')].count("\n") + 1
