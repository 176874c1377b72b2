"""A root file system becomes a disk: everything in it is there as it was, and what boots it is beside it."""

from __future__ import annotations

import lzma
import tarfile
from pathlib import Path

import pytest

from hostler.images.importer import import_image
from hostler.images.source import SourceError
from hostler.images.store import ImageStore
from root_trees import MTIME, Disk, Tar, bootable, debugfs, kernel, run, terms

MIB = 1 << 20
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An empty store."""
    return ImageStore(tmp_path / "store")


def everything() -> Tar:
    """A tree with every kind of thing, and names that a careless script would trip over."""
    tar = bootable().add("./boot/vmlinuz-6.10", kernel()).add("./boot/initrd.img-6.10", b"newer")
    tar.folder("./boot/efi", 0o700).link("./bin", "usr/bin")
    tar.add("./usr/bin/su", b"su", mode=0o4755)
    xattr = {"SCHILY.xattr.security.capability": CAPABILITY.decode("utf-8", "surrogateescape")}
    xattr |= {"SCHILY.xattr.user.long": "long " * 300, "SCHILY.xattr.user.none": ""}
    tar.add("./usr/bin/ping", b"p" * 5000, mode=0o755, uid=70_000, gid=80_000, pax_headers=xattr)
    for number in range(40):  # more than one block of names
        tar.link(f"./usr/lib/{number:03}{'x' * 250}", "./usr/bin/ping", tarfile.LNKTYPE)
    tar.add("./dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    tar.add("./dev/nvme", type=tarfile.BLKTYPE, devmajor=259, devminor=60_000)
    tar.add("./run/queue", type=tarfile.FIFOTYPE)
    tar.add("./bin/behind-a-link", b"moved")
    tar.link("./far", "/x" * 300)
    for name in ('a "b"', "<12>", "# c", "tab\there", "\udcff", "; rm"):
        tar.add(f"./odd/{name}", b"odd")
    own = b"UUID=dead / ext4 defaults 0 1\nLABEL=h /home ext4 defaults 0 2\ntmpfs /tmp tmpfs defaults 0 0\n"
    return tar.add("./etc/fstab", own)


def test_everything_is_there_and_the_same_tree_gives_the_same_disk(store: ImageStore, tmp_path: Path) -> None:
    """Owners, modes, attributes, devices, links and names, read with e2fsprogs' own tools."""
    (tmp_path / "tree").write_bytes(lzma.compress(everything().bytes(), preset=0))
    made = import_image(tmp_path / "tree", store, disk=terms(tmp_path))
    assert made.compression == "xz+tar"
    again = import_image(tmp_path / "tree", store, disk=terms(tmp_path))
    assert (again.index, again.chunks_new) == (made.index, 0)
    assert list((store.root / "tmp").iterdir()) == []

    disk = Disk.of(store, made.index, tmp_path / "disk")
    bios, esp, last = disk.partitions()
    assert [part["name"] for part in (bios, esp, last)] == ["bios", "esp", "root"]
    assert esp["type"] == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    with disk.path.open("rb") as file:  # GRUB: its first sector beside the table, its core in the partition
        assert file.read(13) == b"disk-mbr.img."
        file.seek(bios["start"] * 512)
        assert file.read(13) == b"disk-bios.img"
    assert disk.fat_file(2, "EFI/BOOT/BOOTX64.EFI").startswith(b"shimx64.efi")
    assert disk.fat_file(2, "EFI/BOOT/grubx64.efi").startswith(b"gcdx64.efi")
    root = disk.root()
    uuid = run("blkid", "-p", "-s", "UUID", "-o", "value", root).decode().strip()
    config = disk.fat_file(2, "grub/grub.cfg").decode()
    assert config == disk.fat_file(2, "EFI/BOOT/grub.cfg").decode()
    assert f"search --no-floppy --fs-uuid --set=root {uuid}\n" in config
    assert (
        f"linux /boot/vmlinuz-6.10 root=UUID={uuid} rootfstype=ext4 ro console=tty0 console=ttyS0,115200\n"
        "initrd /boot/initrd.img-6.10\n"
    ) in config

    fstab = debugfs(root, "cat /etc/fstab").splitlines()
    assert fstab[:3] == [
        "# UUID=dead / ext4 defaults 0 1", "# LABEL=h /home ext4 defaults 0 2",
        "tmpfs /tmp tmpfs defaults 0 0",
    ]  # fmt: skip
    assert fstab[3] == f"UUID={uuid} / ext4 errors=remount-ro 0 1"
    assert fstab[4].endswith("/boot/efi vfat umask=0077,nofail 0 2")
    ping = debugfs(root, "stat /usr/bin/ping")
    assert "User: 70000   Group: 80000" in ping
    assert "Links: 41 " in ping
    assert f"mtime: 0x{MTIME:x}" in ping
    assert CAPABILITY.hex(" ") in debugfs(root, "ea_get -x /usr/bin/ping security.capability")
    assert f'"{"long " * 300}"' in debugfs(root, "ea_get /usr/bin/ping user.long")
    assert "user.none (0)" in debugfs(root, "ea_list /usr/bin/ping")
    assert "Mode:  04755" in debugfs(root, "stat /usr/bin/su")
    assert "major/minor number: 01:03" in debugfs(root, "stat /dev/null")
    assert "major/minor number: 259:60000" in debugfs(root, "stat /dev/nvme")
    assert "Type: FIFO" in debugfs(root, "stat /run/queue")
    assert 'Fast link dest: "usr/bin"' in debugfs(root, "stat /bin")
    assert debugfs(root, "cat /usr/bin/behind-a-link") == "moved"
    assert "Size: 600" in debugfs(root, "stat /far")
    odd = {line.split("/")[5] for line in debugfs(root, "ls -p /odd").splitlines() if line}
    assert odd == {".", "..", 'a "b"', "<12>", "# c", "tab\there", "\udcff", "; rm"}


def test_arm64_has_u_boot_s_configuration_in_its_root(store: ImageStore, tmp_path: Path) -> None:
    """With the mark by which U-Boot finds it, and the kernel's device trees; there is no GRUB for a BIOS."""
    tar = bootable("arm64").folder("./usr/lib/linux-image-6.1").bytes()
    (tmp_path / "tree").write_bytes(tar)
    asked = terms(tmp_path, "arm64", append="console=ttyS2,1500000")
    disk = Disk.of(store, import_image(tmp_path / "tree", store, disk=asked).index, tmp_path / "disk")
    esp, last = disk.partitions()
    assert (esp["name"], last["name"], last["attrs"]) == ("esp", "root", "LegacyBIOSBootable")
    assert disk.fat_file(1, "EFI/BOOT/BOOTAA64.EFI").startswith(b"shimaa64.efi")
    root = disk.root()
    lines = [line.split() for line in debugfs(root, "cat /boot/extlinux/extlinux.conf").splitlines()]
    assert ["kernel", "/boot/vmlinuz-6.1"] in lines
    assert ["initrd", "/boot/initrd.img-6.1"] in lines
    assert ["fdtdir", "/usr/lib/linux-image-6.1"] in lines
    assert lines[-1][-2:] == ["ro", "console=ttyS2,1500000"]


def test_only_what_the_platforms_need(store: ImageStore, tmp_path: Path) -> None:
    """For U-Boot alone no agent has to be registered; the size is the one that is asked for."""
    (tmp_path / "tree").write_bytes(bootable("arm64").bytes())
    asked = terms(tmp_path, "arm64", "arm64-uboot", size=200 * MIB)
    asked = type(asked)(asked.arch, asked.platforms, asked.size)
    made = import_image(tmp_path / "tree", store, disk=asked)
    assert made.size == 200 * MIB
    assert len(Disk.of(store, made.index, tmp_path / "disk").partitions()) == 1


def test_a_kernel_without_an_initramfs_finds_its_root_by_the_partition(
    store: ImageStore, tmp_path: Path
) -> None:
    """If it has ext4 built in, that is; if not, it could not start, and the import says so."""
    tar = Tar().folder("etc").add("boot/vmlinuz-6.1", kernel())
    tar.add("lib/modules/6.1/modules.builtin", b"kernel/fs/ext4/ext4.ko\n")
    (tmp_path / "tree").write_bytes(tar.bytes())
    disk = Disk.of(
        store, import_image(tmp_path / "tree", store, disk=terms(tmp_path)).index, tmp_path / "disk"
    )
    part = disk.partitions()[-1]["uuid"].lower()
    config = disk.fat_file(2, "grub/grub.cfg").decode()
    assert f"root=PARTUUID={part} rootwait rootfstype=ext4" in config
    assert "initrd" not in config


REFUSED = {
    "it has no kernel": lambda: Tar().folder("etc").add("usr/bin/sh", b"sh"),
    "its kernel boot/vmlinuz-6.1 is for arm64, not amd64": lambda: bootable("arm64"),
    "is no kernel": lambda: Tar().folder("etc").add("boot/vmlinuz-6.1", b"words"),
    "finds no disk without an initramfs, and there is no boot/initrd.img-6.1": lambda: (
        Tar().folder("etc").add("boot/vmlinuz-6.1", kernel()).add("lib/modules/6.1/modules.builtin", b"x\n")
    ),
    "no root file system; give a disk image": lambda: Tar().add("disk.raw", bytes(MIB)),
    "import it with --kind netboot": lambda: Tar().add("pxeboot.x.x86_64-1.kernel", b"k"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_boot_is_refused(why: str, store: ImageStore, tmp_path: Path) -> None:
    """By what is missing; nothing is kept."""
    (tmp_path / "tree").write_bytes(REFUSED[why]().bytes())
    with pytest.raises(SourceError, match=why):
        import_image(tmp_path / "tree", store, disk=terms(tmp_path))
    assert not list(store.artefacts())
    assert list((store.root / "tmp").iterdir()) == []


def test_terms_that_cannot_be_kept_are_refused(store: ImageStore, tmp_path: Path) -> None:
    """A disk too small, a word no loader takes, loaders nobody registered, terms for what is no tree."""
    (tmp_path / "tree").write_bytes(bootable().bytes())
    for more, why in (
        ({"size": 100 * MIB}, "needs a disk of at least"),
        ({"append": "quiet'; reboot"}, "command line may be plain text"),
    ):
        with pytest.raises(SourceError, match=why):
            import_image(tmp_path / "tree", store, disk=terms(tmp_path, **more))
    bare = type(terms(tmp_path))("amd64")
    with pytest.raises(
        SourceError, match=r"disk-bios\.img is not registered; run: hostler agent build --arch amd64"
    ):
        import_image(tmp_path / "tree", store, disk=bare)
    with pytest.raises(SourceError, match="is a tar, and no image of a disk"):
        import_image(tmp_path / "tree", store)
    for platform, why in (
        ("riscv64-uboot", "not for riscv64-uboot; import a whole image"),
        ("raspberrypi4", "another table than one for arm64-uefi; import it twice"),
    ):
        with pytest.raises(SourceError, match=why):
            import_image(tmp_path / "tree", store, disk=terms(tmp_path, "arm64", "arm64-uefi", platform))
    (tmp_path / "raw").write_bytes(b"disk" * 1024)
    with pytest.raises(SourceError, match="no tar of a root file system"):
        import_image(tmp_path / "raw", store, disk=terms(tmp_path, append="quiet"))
