"""Files that firmware fetches beside kernel and initramfs: registered by name, kept, and missed in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.hub.errors import ConflictError, InvalidError
from hostler.hub.records import HUB
from simulated_rack import LAB, running, until

NAMES = ("start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb")
PIS = LAB.replace('"arm64-uboot"', '"raspberrypi4"')


def made(folder: Path, *names: str) -> dict[str, Path]:
    paths = {}
    for name in names:
        paths[name] = folder / name
        paths[name].write_text(name)
    return paths


async def test_a_run_is_refused_while_a_file_is_missing(tmp_path: Path):
    """The error comes when the plan is made and names the files; with them the run begins."""
    files = made(tmp_path, "kernel", "initrd", *NAMES)
    async with running(tmp_path, lab=PIS) as lab:
        claim = await lab.hub.claim(HUB, "arm")
        assert claim.board is not None
        with pytest.raises(ConflictError, match=r"needs start4\.elf, fixup4\.dat; run: hostler agent build"):
            await lab.hub.start_run(HUB, claim.board, "discover")
        firmware = {name: files[name] for name in NAMES[:2]}
        await lab.hub.images.register_agent(HUB, "arm64", files["kernel"], files["initrd"], firmware)
        with pytest.raises(ConflictError, match=r"no device tree bcm2711-rpi-\*\.dtb"):
            await lab.hub.start_run(HUB, claim.board, "discover")
        every = {name: files[name] for name in NAMES}
        agent = await lab.hub.images.register_agent(HUB, "arm64", files["kernel"], files["initrd"], every)
        await lab.hub.start_run(HUB, claim.board, "discover")
        assert lab.store.artefact_path(agent.boot_files["start4.elf"]).read_text() == "start4.elf"
        await until(lambda: lab.rack.plan.agents["arm64"] == {
            **agent.boot_files, "kernel": agent.kernel, "initrd": agent.initrd,
        })  # fmt: skip
    async with running(tmp_path, lab=PIS) as lab:
        assert lab.hub.state.agents["arm64"] == agent


@pytest.mark.parametrize(
    ("loader", "names"), [("", ("shimaa64.efi", "grubaa64.efi")), ('loader = "uki"', ("linuxaa64.efi.stub",))]
)
async def test_a_run_is_refused_while_its_loader_is_missing(
    tmp_path: Path, loader: str, names: tuple[str, ...]
):
    """That of its class, or the one its platform has of itself."""
    files = made(tmp_path, "kernel", "initrd", *names)
    lines = LAB.replace('platform = "arm64-uboot"', f'platform = "arm64-uefi"\n{loader}')
    async with running(tmp_path, lab=lines) as lab:
        claim = await lab.hub.claim(HUB, "arm")
        assert claim.board is not None
        with pytest.raises(ConflictError, match=rf"loader \w+ needs {', '.join(names)}; run: hostler"):
            await lab.hub.start_run(HUB, claim.board, "discover")
        there = {name: files[name] for name in names}
        await lab.hub.images.register_agent(HUB, "arm64", files["kernel"], files["initrd"], there)
        await lab.hub.start_run(HUB, claim.board, "discover")


async def test_a_run_is_refused_while_the_device_tree_of_its_class_is_missing(tmp_path: Path):
    """The board would only be held, and its boot fail in the end."""
    files = made(tmp_path, "kernel", "initrd", "board.dtb")
    lines = LAB.replace('platform = "arm64-uboot"', 'platform = "arm64-uboot"\ndevice_tree = "board.dtb"')
    async with running(tmp_path, lab=lines) as lab:
        claim = await lab.hub.claim(HUB, "arm")
        assert claim.board is not None
        with pytest.raises(ConflictError, match=r"no device tree board\.dtb .* --boot-file PATH/board\.dtb"):
            await lab.hub.start_run(HUB, claim.board, "discover")
        there = {"board.dtb": files["board.dtb"]}
        await lab.hub.images.register_agent(HUB, "arm64", files["kernel"], files["initrd"], there)
        await lab.hub.start_run(HUB, claim.board, "discover")


@pytest.mark.parametrize("name", ["../start4.elf", "a/b", "", "kernel", ".hidden", "x" * 101])
async def test_a_name_that_no_boot_file_has_is_refused(tmp_path: Path, name: str):
    """Nothing is kept then."""
    files = made(tmp_path, "kernel", "initrd", "start4.elf")
    async with running(tmp_path) as lab:
        before = lab.hub.state.agents["arm64"]
        with pytest.raises(InvalidError, match="not a name a boot file can have"):
            await lab.hub.images.register_agent(
                HUB, "arm64", files["kernel"], files["initrd"], {name: files["start4.elf"]}
            )
        assert lab.hub.state.agents["arm64"] == before


async def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    """By its key in the request."""
    files = made(tmp_path, "kernel", "initrd")
    async with running(tmp_path) as lab:
        with pytest.raises(InvalidError, match=r"boot_files\.start4\.elf: .*nowhere"):
            await lab.hub.images.register_agent(
                HUB, "arm64", files["kernel"], files["initrd"], {"start4.elf": tmp_path / "nowhere"}
            )
