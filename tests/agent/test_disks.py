"""Disks and facts, read from trees as real kernels show them."""

import os
from pathlib import Path

import pytest

from hostler.agent.disks import (
    MANAGERS,
    Block,
    Disk,
    Machine,
    NotMineError,
    choose_disk,
    find_disks,
)
from hostler.agent.facts import discover
from hostler.agent.work import NoDiskError

GIB = 1024**3


def tree(root: Path, files: dict[str, str]) -> Machine:
    """Write a sysfs and procfs; a name that ends in a slash is an empty directory."""
    for name, content in files.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("latin-1"))
    (root / "sys/block").mkdir(parents=True, exist_ok=True)
    return Machine(sys=root / "sys", proc=root / "proc", dev=Path("/dev"))


def block(name: str, size: int = 2 * GIB, **attributes: str) -> dict[str, str]:
    """Return the files of one block device."""
    given = {"size": f"{size // 512}\n", "removable": "0\n", "ro": "0\n", "queue/rotational": "0\n"}
    given.update({key.replace("__", "/"): value for key, value in attributes.items()})
    return {f"sys/block/{name}/{key}": value for key, value in given.items()}


def test_each_family_is_known_by_its_manager(tmp_path: Path) -> None:
    """Disks of every family are found, with model and serial from where each family keeps them."""
    machine = tree(
        tmp_path,
        {
            **block("vda", serial="SN-VIRTIO\n", device__vendor="0x1af4\n"),
            **block(
                "nvme0n1", device__model="Samsung SSD 980 1TB   \n", device__serial="S64DNF0R123456X  \n"
            ),
            **block("mmcblk0", device__name="DG4016\n", device__serial="0x12345678\n"),
            **block(
                "sda",
                device__vendor="ATA     \n",
                device__model="WDC WD10EZEX-08W\n",
                queue__rotational="1\n",
            ),
            "sys/block/sda/device/vpd_pg80": "\0\x80\0\x14    WD-WCC6Y0TZRPTK",
            **block("xvda", device__nodename="device/vbd/768\n"),
        },
    )
    disks = {disk.path: disk for disk in find_disks(machine)}
    assert [(d.bus, d.model, d.serial) for d in disks.values()] == [
        ("mmc", "DG4016", "0x12345678"),
        ("nvme", "Samsung SSD 980 1TB", "S64DNF0R123456X"),
        ("scsi", "WDC WD10EZEX-08W", "WD-WCC6Y0TZRPTK"),
        ("virtio", "0x1af4", "SN-VIRTIO"),
        ("other", "", ""),
    ]
    assert disks["/dev/sda"].rotational
    assert all(disk.size == 2 * GIB and disk.spared is None for disk in disks.values())


@pytest.mark.parametrize(
    ("place", "bus"),
    [
        ("devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda", "ata"),
        ("devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sda", "usb"),
        (
            "devices/pci0000:00/0000:02:00.0/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sda",
            "scsi",
        ),
    ],
)
def test_the_bus_of_a_scsi_disk_is_its_place_in_the_tree(place: str, bus: str, tmp_path: Path) -> None:
    """SATA, USB and SAS disks all are sd*; the path tells them apart."""
    machine = tree(tmp_path, {f"sys/{place}/size": "100\n"})
    (machine.sys / "block/sda").symlink_to(machine.sys / place)
    assert find_disks(machine)[0].bus == bus


def test_what_is_no_disk_is_not_found(tmp_path: Path) -> None:
    """Loop and RAM devices, optical and floppy drives, flash, empty readers, hidden paths are no disks."""
    machine = tree(
        tmp_path,
        {
            **block("loop0"),
            **block("ram0"),
            **block("zram0"),
            **block("dm-0"),
            **block("md0"),
            **block("sr0", device__model="DVD\n", removable="1\n"),
            **block("fd0", device__model="x\n"),
            **block("mtdblock0", device__type="nor\n"),
            **block("sdb", size=0, device__model="Card Reader\n", removable="1\n"),
            **block("nvme0c0n1", hidden="1\n"),
        },
    )
    assert find_disks(machine) == []


def test_removable_media_and_firmware_partitions_are_spared(tmp_path: Path) -> None:
    """A stick may be what the board boots from, partitions of an eMMC hold firmware and factory data.

    Each says why, and none is ever the disk to install on.
    """
    machine = tree(
        tmp_path,
        {
            **block("mmcblk0"),
            **block("mmcblk0boot0", size=4 << 20, ro="1\n"),
            **block("mmcblk0gp0", size=64 << 20),
            **block("sda", removable="1\n"),
        },
    )
    disks = find_disks(machine)
    assert choose_disk(disks, None) == choose_disk(disks, "smallest") == disks[0]
    spared = {disk.path: disk.spared for disk in disks}
    assert spared == {
        "/dev/mmcblk0": None,
        "/dev/mmcblk0boot0": "hardware partition boot0 of an eMMC",
        "/dev/mmcblk0gp0": "hardware partition gp0 of an eMMC",
        "/dev/sda": "removable medium",
    }


def test_a_manager_of_higher_priority_is_asked_first(tmp_path: Path) -> None:
    """A new family needs only a manager; the others are asked when it declines."""

    class Special:
        priority = 100

        def identify(self, block: Block, dev: Path) -> Disk:
            if block.name != "vda":
                raise NotMineError
            return block.disk("special", "", "", dev)

    machine = tree(tmp_path, {**block("vda"), **block("vdb")})
    assert [disk.bus for disk in find_disks(machine, (Special(), *MANAGERS))] == ["special", "virtio"]
    assert [manager.priority for manager in MANAGERS] == sorted((m.priority for m in MANAGERS), reverse=True)


def disk(path: str, spared: str | None = None, *, read_only: bool = False) -> Disk:
    """Return a disk of no particular kind."""
    return Disk(
        path, "virtio", GIB, "", "", rotational=False, removable=False, read_only=read_only, spared=spared
    )


def test_the_disk_to_install_on() -> None:
    """The only ordinary disk is taken; more than one, or none, must be settled by a hint."""
    one, two, stick, locked = (
        disk("/dev/a"),
        disk("/dev/b"),
        disk("/dev/c", "stick"),
        disk("/dev/d", read_only=True),
    )
    assert choose_disk([one, stick, locked], None) == one
    assert choose_disk([one, two], "first") == one
    assert choose_disk([one, two], "/dev/b") == two
    for disks, hint, told in (
        ([one, two, stick], None, r"more than one disk.*/dev/a.*/dev/b"),
        ([stick, locked], None, r"no disk to install on.*/dev/c"),
        ([one, stick], "/dev/c", r"left alone: stick"),
        ([one], "/dev/x", r"no disk .*/dev/x.*/dev/a"),
    ):
        with pytest.raises(NoDiskError, match=told):
            choose_disk(disks, hint)


def test_removable_media_are_disks_if_the_class_says_so(tmp_path: Path) -> None:
    """A card in a reader is then an ordinary disk; a boot partition of an eMMC never is."""
    machine = tree(
        tmp_path,
        {**block("sda", removable="1\n"), **block("mmcblk0boot0", size=4 << 20), **block("vda")},
    )
    spared = {disk.path: disk.spared for disk in find_disks(machine, removable=True)}
    assert spared == {
        "/dev/mmcblk0boot0": "hardware partition boot0 of an eMMC",
        "/dev/sda": None,
        "/dev/vda": None,
    }


PCI = "devices/pci0000:00"
SATA = f"{PCI}/0000:00:1f.2"
USB = f"{PCI}/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0"
PI = "devices/platform/scb/fd500000.pcie/pci0000:00/0000:00:00.0/0000:01:00.0"


@pytest.mark.parametrize(
    ("name", "place", "subsystems", "by_path"),
    [
        (
            "sda",
            f"{SATA}/ata3/host2/target2:0:0/2:0:0:0/block/sda",
            {SATA: "pci", f"{SATA}/ata3/host2/target2:0:0/2:0:0:0": "scsi"},
            "pci-0000:00:1f.2-ata-3.0",
        ),
        (
            "nvme0n1",
            f"{PCI}/0000:00:1d.0/0000:02:00.0/nvme/nvme0/nvme0n1",
            {f"{PCI}/0000:00:1d.0": "pci", f"{PCI}/0000:00:1d.0/0000:02:00.0": "pci"},
            "pci-0000:02:00.0-nvme-1",
        ),
        (
            "sdb",
            f"{USB}/host6/target6:0:0/6:0:0:0/block/sdb",
            {
                f"{PCI}/0000:00:14.0": "pci",
                f"{PCI}/0000:00:14.0/usb2": "usb",
                f"{PCI}/0000:00:14.0/usb2/2-1": "usb",
                f"{PCI}/0000:00:14.0/usb2/2-1/2-1.4": "usb",
                USB: "usb",
                f"{USB}/host6": "scsi",
                f"{USB}/host6/target6:0:0/6:0:0:0": "scsi",
            },
            "pci-0000:00:14.0-usb-0:1.4:1.0-scsi-0:0:0:0",
        ),
        (
            "vda",
            f"{PCI}/0000:00:03.0/virtio0/block/vda",
            {f"{PCI}/0000:00:03.0": "pci", f"{PCI}/0000:00:03.0/virtio0": "virtio"},
            "pci-0000:00:03.0",
        ),
        (
            "mmcblk0",
            "devices/platform/emmc2bus/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0",
            {
                "devices/platform/emmc2bus": "platform",
                "devices/platform/emmc2bus/fe340000.mmc": "platform",
                "devices/platform/emmc2bus/fe340000.mmc/mmc_host/mmc0": "mmc_host",
                "devices/platform/emmc2bus/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa": "mmc",
            },
            "platform-fe340000.mmc",
        ),
        (
            "nvme0n1",
            f"{PI}/nvme/nvme0/nvme0n1",
            {
                "devices/platform/scb": "platform",
                "devices/platform/scb/fd500000.pcie": "platform",
                f"{PI[: PI.rindex('/')]}": "pci",
                PI: "pci",
            },
            "platform-fd500000.pcie-pci-0000:01:00.0-nvme-1",
        ),
        (
            "sdc",
            f"{SATA}/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sdc",
            {SATA: "pci", f"{SATA}/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0": "scsi"},
            "",
        ),
        ("nvme0n1", "devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", {}, ""),
    ],
)
def test_the_place_of_a_disk_is_named_as_udev_names_it(
    name: str, place: str, subsystems: dict[str, str], by_path: str, tmp_path: Path
) -> None:
    """The names are those that Debian shows below ``/dev/disk/by-path`` for such disks."""
    files = {f"sys/{place}/size": "100\n"}
    if name.startswith("nvme"):
        files[f"sys/{place}/nsid"] = "1\n"
    if "ata3" in place:
        files[f"sys/{SATA}/ata3/ata_port/ata3/port_no"] = "3\n"
    machine = tree(tmp_path, files)
    for device, kind in subsystems.items():
        bus = machine.sys / "bus" / kind
        bus.mkdir(parents=True, exist_ok=True)
        (machine.sys / device / "subsystem").symlink_to(bus)
    (machine.sys / "block" / name).symlink_to(machine.sys / place)
    assert find_disks(machine)[0].by_path == by_path


@pytest.mark.parametrize(
    ("name", "files", "wwn", "transport"),
    [
        ("sda", {"device/wwid": "naa.5002538f00000001\n"}, "0x5002538f00000001", "scsi"),
        ("sda", {"device/wwid": "t10.ATA     QEMU HARDDISK\n"}, "", "scsi"),
        (
            "nvme0n1",
            {"wwid": "eui.0025385b01404b5a\n", "device/transport": "pcie\n"},
            "eui.0025385b01404b5a",
            "pcie",
        ),
        ("nvme0n1", {"wwid": "nvme.8086-414243-51454d55-00000001\n"}, "", "nvme"),
        ("mmcblk0", {"device/type": "SD\n"}, "", "sd"),
        ("mmcblk1", {"device/type": "MMC\n"}, "", "mmc"),
        ("vda", {}, "", "virtio"),
    ],
)
def test_a_disk_has_a_world_wide_name_and_a_transport(
    name: str, files: dict[str, str], wwn: str, transport: str, tmp_path: Path
) -> None:
    """As udev writes the name; one that only repeats model and serial is none."""
    given = {key.replace("/", "__"): text for key, text in files.items()}
    disk = find_disks(tree(tmp_path, block(name, **given)))[0]
    assert (disk.wwn, disk.transport) == (wwn, transport)


def test_facts_of_a_pc(tmp_path: Path) -> None:
    """DMI, memory, processor, links and disks come as they are shown; what is absent is left out."""
    machine = tree(
        tmp_path,
        {
            "sys/class/dmi/id/product_uuid": "4C4C4544-0031-3010-8051-B4C04F4A4D32\n",
            "sys/class/dmi/id/product_serial": "To be filled by O.E.M.\n",
            "sys/firmware/efi/": "",
            "sys/class/net/eth0/address": "52:54:00:AA:BB:CC\n",
            "sys/class/net/eth0/carrier": "1\n",
            "sys/class/net/eth0/speed": "1000\n",
            "sys/class/net/eth0/device/": "",
            "sys/class/net/eth1/address": "52:54:00:aa:bb:cd\n",
            "sys/class/net/eth1/device/": "",
            "sys/class/net/lo/address": "00:00:00:00:00:00\n",
            "proc/meminfo": "MemTotal:       16384000 kB\nMemFree: 1 kB\n",
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: CPU X\n\nprocessor\t: 1\nmodel name\t: CPU X\n",
            **block("vda"),
        },
    )
    facts = discover(machine)
    assert facts["dmi"] == {
        "uuid": "4C4C4544-0031-3010-8051-B4C04F4A4D32",
        "serial": "To be filled by O.E.M.",
    }
    assert facts["firmware"] == "uefi"
    assert facts["device_tree"] == {}
    assert facts["memory_bytes"] == 16384000 * 1024
    assert facts["cpu"] == {"count": 2, "model": "CPU X"}
    assert facts["nics"] == [
        {"name": "eth0", "mac": "52:54:00:aa:bb:cc", "link": True, "speed_mbit": 1000, "driver": ""},
        {"name": "eth1", "mac": "52:54:00:aa:bb:cd", "link": False, "speed_mbit": None, "driver": ""},
    ]
    assert len(facts["disks"]) == 1  # type: ignore[arg-type]
    assert discover(machine)["macs"] == ["52:54:00:aa:bb:cc", "52:54:00:aa:bb:cd"]


def test_facts_of_a_device_tree_board(tmp_path: Path) -> None:
    """A board without DMI is known by its device tree; strings there end in NUL."""
    machine = tree(
        tmp_path,
        {
            "sys/firmware/devicetree/base/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "sys/firmware/devicetree/base/serial-number": "10000000abcdef01\0",
            "sys/firmware/devicetree/base/compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0",
            "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\nCPU revision\t: 3\n",
        },
    )
    facts = discover(machine)
    assert facts["device_tree"] == {
        "model": "Raspberry Pi 4 Model B Rev 1.4",
        "serial": "10000000abcdef01",
        "compatible": ["raspberrypi,4-model-b", "brcm,bcm2711"],
    }
    assert facts["dmi"] == {}
    assert facts["cpu"] == {"count": 1, "model": "0x41 0xd08 3"}


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (None, False),  # no UEFI
        ({}, None),  # its variables cannot be read
        ({"BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c": b"\7\0\0\0\0\0"}, False),
        ({"SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": b"\6\0\0\0\0"}, False),
        ({"SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": b"\6\0\0\0\1"}, True),
    ],
)
def test_secure_boot_is_a_fact(tmp_path: Path, variables: dict[str, bytes] | None, told: bool | None) -> None:
    """As the firmware's own variable says; nothing is claimed where that cannot be read."""
    machine = tree(tmp_path, {"sys/class/net/lo/address": "00:00:00:00:00:00\n"})
    if variables is not None:
        directory = tmp_path / "sys/firmware/efi/efivars"
        directory.mkdir(parents=True)
        for name, value in variables.items():
            (directory / name).write_bytes(value)
    assert discover(machine).get("secure_boot") is told


def test_facts_of_this_machine() -> None:
    """The real trees of whatever runs the tests are read without an error."""
    facts = discover(Machine())
    assert facts["arch"] == os.uname().machine
    assert isinstance(facts["memory_bytes"], int)
    assert facts["memory_bytes"] > 0
