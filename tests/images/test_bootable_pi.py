"""Root file systems made into disks for Raspberry Pis, looked into with tools that others have for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hostler.images.importer import import_image
from hostler.images.source import SourceError
from hostler.images.store import ImageStore
from hostler.model.bootable import DiskTerms
from root_trees import Disk, Tar, bootable, debugfs, kernel, run

if TYPE_CHECKING:
    from pathlib import Path

FIRMWARE = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")
TREES = "./usr/lib/linux-image-6.1/broadcom"


def debian(*names: str) -> Tar:
    """Return a tree as Debian's raspi-firmware leaves it where its hook has not run."""
    tar = bootable("arm64").add("./etc/fstab", b"/dev/mmcblk0p1 /boot/firmware vfat defaults 0 2\n")
    for name in names or FIRMWARE:
        tar.add(f"./usr/lib/raspi-firmware/{name}", name.encode())
    for name in ("bcm2837-rpi-3-b.dtb", "bcm2711-rpi-4-b.dtb", "bcm2835-rpi-zero.dtb"):
        tar.add(f"{TREES}/{name}", name.encode())
    return tar


def made(tar: Tar, place: Path, *platforms: str, append: str = "", given: Path | None = None) -> Disk:
    """Make a disk of it."""
    source = place / "tree.tar"
    source.write_bytes(tar.bytes())
    store = ImageStore(place / "store")
    terms = DiskTerms("arm64", platforms or ("raspberrypi3", "raspberrypi4"), append=append, kernel=given)
    return Disk.of(store, import_image(source, store, disk=terms).index, place / "disk")


def text(disk: Disk, name: str) -> str:
    return disk.fat_file(1, name).decode()


def test_debians_firmware_becomes_a_disk(tmp_path: Path) -> None:
    """An MBR with a FAT32 first, which has all that the firmware asks for, and names the root."""
    disk = made(debian(), tmp_path, append="quiet")
    boot, root = disk.partitions()
    assert (boot["type"], root["type"]) == ("c", "83")
    names = run("mdir", "-b", "-/", "-i", f"{disk.path}@@{boot['start'] * 512}", "::").decode()
    assert {line.removeprefix("::/") for line in names.split()} == {
        *FIRMWARE, "vmlinuz", "initrd.img", "config.txt", "cmdline.txt", "bcm2837-rpi-3-b.dtb",
        "bcm2711-rpi-4-b.dtb",
    }  # fmt: skip
    run("fsck.fat", "-n", _part(disk, tmp_path))
    assert "kernel=vmlinuz\ninitramfs initrd.img followkernel\n" in text(disk, "config.txt")
    assert disk.fat_file(1, "vmlinuz") == kernel("arm64")
    words = text(disk, "cmdline.txt").split()
    assert words[:2] == ["console=tty0", "console=ttyS1,115200"]
    assert words[-1] == "quiet"
    [where] = [word.removeprefix("root=UUID=") for word in words if word.startswith("root=")]
    file = disk.root()
    assert where in run("dumpe2fs", "-h", file).decode()
    fstab = debugfs(file, "cat /etc/fstab")
    assert f"UUID={where} / ext4" in fstab
    assert "# /dev/mmcblk0p1 /boot/firmware" in fstab
    assert " /boot/firmware vfat umask=0077,nofail" in fstab


def test_a_tree_that_boots_already_keeps_its_way(tmp_path: Path) -> None:
    """As Raspberry Pi OS: config.txt, overlays and options stay; only the root is the new one."""
    tar = Tar().folder("./").folder("./etc")
    for name in (*FIRMWARE, "bcm2711-rpi-4-b.dtb", "overlays/disable-bt.dtbo"):
        tar.add(f"./boot/firmware/{name}", name.encode())
    tar.add("./boot/firmware/kernel8.img", kernel("arm64"))
    tar.add("./boot/firmware/config.txt", b"[pi4]\narm_boost=1\n")
    line = b"console=serial0,115200 root=PARTUUID=12345678-02 rootfstype=ext4 rootwait quiet\n"
    tar.add("./boot/firmware/cmdline.txt", line)
    disk = made(tar, tmp_path, append="net.ifnames=0")
    assert text(disk, "config.txt") == "[pi4]\narm_boost=1\n"
    assert disk.fat_file(1, "overlays/disable-bt.dtbo") == b"overlays/disable-bt.dtbo"
    label = run("sfdisk", "--disk-id", str(disk.path)).decode().strip().removeprefix("0x")
    assert text(disk, "cmdline.txt") == (
        f"console=serial0,115200 quiet root=PARTUUID={label}-02 rootfstype=ext4 rootwait net.ifnames=0\n"
    )
    # Under the place where the FAT is mounted nothing takes room a second time.
    assert "kernel8.img" not in debugfs(disk.root(), "ls -p /boot/firmware")


def test_an_older_config_keeps_what_it_says(tmp_path: Path) -> None:
    """One that starts nothing in the tree is added to, for every board, whatever section it ends in."""
    tar = debian().add("./boot/firmware/config.txt", b"gpu_mem=16\n[pi3]\nkernel=gone.img")
    assert text(made(tar, tmp_path), "config.txt").startswith(
        "gpu_mem=16\n[pi3]\nkernel=gone.img\n[all]\narm_64bit=1\n"
    )


def test_a_kernel_from_outside_is_started_in_its_place(tmp_path: Path) -> None:
    """With a kernel that is given even a tree that boots already starts that one."""
    pack = Tar().add("boot/vmlinuz-9.9", kernel("arm64") + b"given").add("boot/initrd.img-9.9", b"given")
    pack.add("usr/lib/linux-image-9.9/broadcom/bcm2711-rpi-4-b.dtb", b"given")
    (tmp_path / "pack").write_bytes(pack.bytes())
    tar = debian().add("./boot/firmware/kernel8.img", kernel("arm64"))
    disk = made(tar, tmp_path, "raspberrypi4", given=tmp_path / "pack")
    assert disk.fat_file(1, "vmlinuz").endswith(b"given")
    assert disk.fat_file(1, "bcm2711-rpi-4-b.dtb") == b"given"
    assert "kernel=vmlinuz" in text(disk, "config.txt")


@pytest.mark.parametrize(
    ("tar", "platforms", "words"),
    [
        (bootable("arm64"), ("raspberrypi4",), "install the package raspi-firmware"),
        (debian("start4.elf", "fixup4.dat"), ("raspberrypi3",), "bootcode.bin is neither in /boot/firmware"),
        (debian(), ("raspberrypi5",), "no device tree bcm2712"),
        (debian(), ("raspberrypi4", "arm64-uboot"), "import it twice"),
        (debian().add("./boot/firmware/a\\b", b"x"), ("raspberrypi4",), "a name that is not taken"),
    ],
)
def test_what_could_not_start_is_refused(
    tmp_path: Path, tar: Tar, platforms: tuple[str, ...], words: str
) -> None:
    """What is missing is named, with the package that has it, and nothing is kept."""
    with pytest.raises(SourceError, match=words):
        made(tar, tmp_path, *platforms)
    assert not list((tmp_path / "store/tmp").iterdir())


def _part(disk: Disk, place: Path) -> str:
    part = disk.partitions()[0]
    with disk.path.open("rb") as file:
        file.seek(part["start"] * 512)
        (place / "fat").write_bytes(file.read(part["size"] * 512))
    return str(place / "fat")
