"""What netboot is told of a board, beyond what its intent says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hostler.model.board import Board, Lifecycle
from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader, registered_files
from hostler.model.keeper_view import Memory, View
from hostler.model.plan import StepKind, StepOrder
from hostler.model.run import RunOrder, RunState, RunStatus
from hostler.model.seam import Desired
from hostler.rack.check import boot_files
from hostler.rack.targets import target

FILES = {"start4.elf": "s", "fixup4.dat": "f", "bcm2711-rpi-4-b.dtb": "d"}
AGENTS = {"arm64": {"kernel": "k", "initrd": "i", **FILES}}


def view(platform: str) -> View:
    """A board whose run is at a step for the agent."""
    order = RunOrder("r-1", (StepOrder(StepKind.DISCOVER, {}, 60.0),))
    status = RunStatus("r-1", RunState.RUNNING)
    board = Board("pi-1", "pi", "boot", ("dc:a6:32:01:36:c2",), serial="9a1b2c3d")
    return View(Desired(board, platform, Lifecycle.CLAIMED, run=order), Memory(status))


def test_a_raspberry_pi_gets_the_files_of_its_firmware():
    """Those registered with the agent, and the console of its own UART."""
    made = target(view("raspberrypi4"), AGENTS)
    assert (made.intent, dict(made.files), made.kernel) == (BootIntent.STEP, FILES, "k")
    assert made.cmdline == "console=ttyS1,115200 quiet"
    assert type(made).from_json(made.to_json()) == made


def test_every_board_gets_the_files_of_its_architecture():
    """Which of them it may fetch, and by which names, is for its loader to say."""
    assert target(view("arm64-uboot"), AGENTS).files == FILES
    assert target(view("x86-bios"), AGENTS).files == {}


@pytest.mark.parametrize("absent", FILES)
def test_a_board_that_lacks_a_file_is_held_and_says_which(absent: str):
    """Rather that than a board that goes on to its disk in the midst of a run."""
    less = {name: digest for name, digest in AGENTS["arm64"].items() if name != absent}
    made = target(view("raspberrypi4"), {"arm64": less})
    assert made.intent is BootIntent.HOLD
    assert absent.split("-")[0] in made.message


@pytest.mark.parametrize(
    ("platform", "loader", "absent"),
    [("arm64-uefi", Loader.UKI, "linuxaa64.efi.stub"), ("x86-uefi", Loader.GRUB, "shimx64.efi")],
)
def test_a_board_whose_loader_is_not_registered_is_held_and_says_which(
    platform: str, loader: Loader, absent: str
):
    """What the class says is not replaced by another loader in silence."""
    asked = view(platform)
    asked = replace(asked, desired=replace(asked.desired, loader=loader))
    arch = "arm64" if platform == "arm64-uefi" else "amd64"
    made = target(asked, {arch: {"kernel": "k", "initrd": "i"}})
    assert made.intent is BootIntent.HOLD
    assert absent in made.message
    assert f"hostler agent build --arch {arch}" in made.message
    there = dict.fromkeys(registered_files(arch, loader), "id")
    assert target(asked, {arch: {"kernel": "k", "initrd": "i", **there}}).intent is BootIntent.STEP


def test_a_board_without_its_device_tree_is_held_and_says_which():
    """A kernel that knows nothing of the board would start in the dark."""
    seen = view("arm64-uboot")
    seen = replace(seen, desired=replace(seen.desired, device_tree="rk3399-rock-pi-4b.dtb"))
    made = target(seen, AGENTS)
    assert made.intent is BootIntent.HOLD
    assert "rk3399-rock-pi-4b.dtb" in made.message
    there = target(seen, {"arm64": {**AGENTS["arm64"], "rk3399-rock-pi-4b.dtb": "t"}})
    assert (there.intent, there.device_tree) == (BootIntent.STEP, "rk3399-rock-pi-4b.dtb")


def test_a_check_names_what_a_board_would_be_held_for():
    """Its device tree and its loader's files; a board that needs none has no row."""
    plain = view("arm64-uboot").desired
    with_tree = replace(plain, device_tree="rk3399-rock-pi-4b.dtb")
    with_loader = replace(view("raspberrypi4").desired, loader=Loader.UBOOT)
    assert boot_files(AGENTS, [plain]) == []
    rows = boot_files(AGENTS, [plain, with_tree, with_loader])
    assert [(row["what"], row["ok"]) for row in rows] == [
        ("boot files for arm64-uboot", False),
        ("boot files for raspberrypi4, loader u-boot", False),
    ]
    assert "--boot-file PATH/rk3399-rock-pi-4b.dtb" in rows[0]["text"]
    assert "u-boot-provisioning.bin" in rows[1]["text"]
    there = {"arm64": [*AGENTS["arm64"], "rk3399-rock-pi-4b.dtb", "u-boot-provisioning.bin"]}
    assert [row["ok"] for row in boot_files(there, [with_tree, with_loader])] == [True, True]
    assert boot_files({}, [with_tree]) == []
