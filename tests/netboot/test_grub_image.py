"""The disk that firmware boots from memory: what is in it, as mtools reads it."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from hostler.model.boot import BootIntent
from hostler.model.netboot_order import NetbootOrder
from hostler.netboot.grub_image import IMAGES, grub_image
from hostler.netboot.table import Target
from hostler.netboot.virtual_file import VirtualFile, VirtualFileError

BASE = "http://10.77.0.1:8067"
TARGET = Target(
    "b1", "x86-uefi", "amd64", ("52:54:00:00:00:01",), boot="b", token="t0ken", kernel="kernel",
    initrd="initrd", cmdline="quiet", files={"shimx64.efi": "shim", "grubx64.efi": "grub"},
    intent=BootIntent.STEP,
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in ("shim", "grub", "kernel", "initrd"):
        (tmp_path / name).write_bytes(name.encode() * 5000)
    return tmp_path


def read(store: Path, target: Target | None) -> dict[str, bytes]:
    """The files of a board's disk."""
    program = (target or TARGET).files.get
    parts = grub_image(IMAGES[0], target, BASE, program, store.joinpath)
    assert parts is not None
    image = store / "image"
    with VirtualFile(*parts) as file:
        image.write_bytes(file.read_at(0, file.size))
    listed = subprocess.run(
        ["mdir", "-i", str(image), "-/", "-b", "::"], capture_output=True, text=True, check=True
    )
    names = [name.removeprefix("::/") for name in listed.stdout.split() if not name.endswith("/")]
    return {
        name: subprocess.run(["mtype", "-i", str(image), f"::{name}"], capture_output=True, check=True).stdout
        for name in names
    }


def test_it_holds_all_that_a_step_needs(store: Path) -> None:
    """Firmware starts shim, which finds GRUB beside it; the agent's configuration is in its initramfs."""
    files = read(store, TARGET)
    assert files["EFI/BOOT/BOOTX64.EFI"] == b"shim" * 5000
    assert files["EFI/BOOT/grubx64.efi"] == b"grub" * 5000
    assert files["grub/kernel"] == b"kernel" * 5000
    assert files["grub/initrd"].endswith(b"initrd" * 5000)
    assert b"t0ken" in files["grub/initrd"]
    assert b"linux /grub/kernel 'quiet'" in files["grub/round.cfg"]
    assert files["grub/grub.cfg"].endswith(b"reboot\n")


@pytest.mark.parametrize("target", [None, dataclasses.replace(TARGET, intent=BootIntent.HOLD)])
def test_who_is_held_gets_no_system(store: Path, target: Target | None) -> None:
    """Only what says why, and lets the firmware ask again."""
    files = read(store, target)
    assert set(files) == {"EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "grub/grub.cfg", "grub/round.cfg"}
    assert b"Hostler: " in files["grub/round.cfg"]


def test_a_system_without_initramfs_has_none(store: Path) -> None:
    """And no token of a boot is in it, which is not its own."""
    order = NetbootOrder("live", kernel="kernel", cmdline="boot=live")
    files = read(store, dataclasses.replace(TARGET, netboot=order))
    assert "grub/initrd" not in files
    assert not any(b"t0ken" in content for content in files.values())


def test_who_boots_its_disk_gets_none(store: Path) -> None:
    """Its firmware goes on with the next boot option."""
    local = dataclasses.replace(TARGET, intent=BootIntent.LOCAL)
    assert grub_image(IMAGES[0], local, BASE, local.files.get, store.joinpath) is None


def test_it_is_no_larger_than_need_be(store: Path) -> None:
    """Firmware fetches all of it into memory; a large system gets larger clusters."""
    (store / "initrd").write_bytes(b"")
    (store / "kernel").write_bytes(b"")
    parts = grub_image(IMAGES[0], TARGET, BASE, TARGET.files.get, store.joinpath)
    with VirtualFile(*parts) as file:
        assert file.size < 10 << 20
    with (store / "initrd").open("r+b") as file:
        file.truncate(700 << 20)
    parts = grub_image(IMAGES[0], TARGET, BASE, TARGET.files.get, store.joinpath)
    with VirtualFile(*parts) as file:
        assert 700 << 20 < file.size < 720 << 20


def test_what_is_not_registered_is_named(store: Path) -> None:
    """No disk without a part of it."""
    with pytest.raises(VirtualFileError, match=r"shimaa64.efi is not registered"):
        grub_image(IMAGES[1], TARGET, BASE, TARGET.files.get, store.joinpath)
