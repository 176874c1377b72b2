"""What a disk image is told before its first boot: from the wish to the agent's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from netboot_image import KEYS, folder, imported

from hostler.hub import ssh_keys
from hostler.hub.errors import InvalidError
from hostler.hub.first_boot import FirstBootWish
from hostler.hub.image_records import ImageRecord
from hostler.hub.records import HUB, Principal, Role
from hostler.model.first_boot import FirstBoot, Way
from simulated_rack import Lab, running

if TYPE_CHECKING:
    from pathlib import Path

ANNA = Principal("anna", Role.MEMBER)
DEBIAN = ImageRecord(
    "debian", "amd64", ("x86-bios",), "c" * 64, 10_000, 5_000, 1024, "login:", 300.0, 1.0, "test"
)  # fmt: skip


async def held(lab: Lab, keys: list[str]) -> None:
    """Let anna hold a board, with an image there is and some keys."""
    lab.store.artefact_path(DEBIAN.index).write_bytes(b"its chunk index")
    await lab.hub.change(lambda draft: draft.images.put(DEBIAN.name, DEBIAN))
    await lab.hub.create_principal(HUB, "anna", "member")
    for key in keys:
        await lab.hub.change(lambda draft, key=key: ssh_keys.add(draft, HUB, "anna", key))
    await lab.hub.claim(ANNA, "pc")


async def ordered(lab: Lab, wish: FirstBootWish | None) -> Any:
    run = await lab.hub.deploy(ANNA, "pc-1", "debian", wish=wish)
    return run.order.steps[0].params.get("first_boot")


async def test_a_wish_becomes_what_the_agent_tells(tmp_path: Path) -> None:
    """The board's name, the holder's keys and others, each once; the agent reads it as it was meant."""
    wish = FirstBootWish("", True, (KEYS[0], KEYS[1] + " ada"), "ada", {"/etc/motd": "hi"}, None, Way.SEED)
    async with running(tmp_path) as lab:
        await held(lab, KEYS[:1])
        told = FirstBoot.from_json(await ordered(lab, wish))
    assert told.hostname == "pc-1"
    assert [key.split()[1] for key in told.ssh_keys].count(KEYS[0].split()[1]) == 1
    assert len(told.ssh_keys) == 2
    assert (told.user, told.way, dict(told.files)) == ("ada", Way.SEED, {"/etc/motd": "hi"})


async def test_without_a_wish_nothing_is_told(tmp_path: Path) -> None:
    """An image stays as it was imported."""
    async with running(tmp_path) as lab:
        await held(lab, [])
        assert await ordered(lab, None) is None


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (FirstBootWish(own_keys=True), "anna has no ssh key here"),
        (FirstBootWish("not a name"), "is not a host name"),
        (FirstBootWish(network={"version": 1}), "is to be of cloud-init's version 2"),
        (FirstBootWish(files={"motd": ""}), "absolute path"),
        (FirstBootWish(network={"version": 2}, way=Way.FILES), "needs a seed"),
    ],
)
async def test_what_cannot_be_meant_stops_the_plan(tmp_path: Path, wish: FirstBootWish, why: str) -> None:
    """Before the board is touched."""
    async with running(tmp_path) as lab:
        await held(lab, [])
        with pytest.raises(InvalidError, match=why):
            await ordered(lab, wish)
        assert lab.hub.state.boards["pc-1"].run is None


async def test_an_installer_is_told_in_its_templates(tmp_path: Path) -> None:
    """What comes over the network is no image the agent could write into."""
    async with running(tmp_path) as lab:
        await held(lab, [])
        await imported(lab, "installer", folder(tmp_path / "image"))
        with pytest.raises(InvalidError, match="templates"):
            await lab.hub.deploy(ANNA, "pc-1", "installer", wish=FirstBootWish(""))
