"""What a Raspberry Pi is told by DHCP and finds by TFTP, for every generation and boot intent."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.model.netboot_order import BASE_MARK, NetbootOrder
from hostler.netboot.boot_files import BootFiles
from hostler.netboot.dhcp_policy import Answer, Facts, Firmware, Refusal, boot_answer, client_facts
from hostler.netboot.raspberrypi_hold import HOLD_PROGRAM, hold_program
from hostler.netboot.raspberrypi_tree import RaspberryPiTree
from hostler.netboot.render_raspberrypi import render_config
from hostler.netboot.table import BootTable, NetworkConfig, Target
from hostler.testing.raspberrypi_dhcp import Guid, Model, Offer, discover, guid, menu_texts, request
from hostler.wire.dhcp import Message

MAC, SERIAL = "dc:a6:32:01:36:c2", "9a1b2c3d"
NETWORK = NetworkConfig(
    "bench", "br0", IPv4Interface("10.77.0.1/24"), IPv4Address("10.77.0.100"), IPv4Address("10.77.0.200")
)
ME = IPv4Address("10.77.0.101")
PI4 = Model(4, SERIAL, MAC)
FILES = {
    name: name
    for name in (
        "bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat",
        "bcm2711-rpi-4-b.dtb", "bcm2711-rpi-cm4-io.dtb", "bcm2837-rpi-3-b.dtb",
    )
}  # fmt: skip
BOARD = Target(
    "pi-1", "raspberrypi4", "arm64", (MAC,), serial=SERIAL, intent=BootIntent.STEP, boot="x1", token="t0ken",
    kernel="k", initrd="i", cmdline="console=ttyS1,115200 quiet", files=FILES,
)  # fmt: skip
BASE = f"http://{NETWORK.server}:{NETWORK.http_port}"


def answer(model: Model, target: Target | None = BOARD) -> Answer | Refusal:
    message = Message.parse(discover(model, 7))
    return boot_answer(message, client_facts(message), target, NETWORK, ())


@pytest.mark.parametrize("kind", [Guid.LITTLE, Guid.BIG, Guid.SERIAL, Guid.NO_MAC])
def test_the_serial_is_read_in_whatever_order_the_bytes_come(kind: Guid):
    """Every shape of option 97 seen in the field leads to the number printed by /proc/cpuinfo."""
    message = Message.parse(discover(dataclasses.replace(PI4, guid=kind), 1))
    facts = client_facts(message)
    assert facts.firmware is Firmware.RASPBERRY_PI
    assert SERIAL in facts.serials
    assert facts.uuid is None
    if kind is not Guid.SERIAL:  # which tells nothing about the order of its bytes
        assert facts.to_json()["serial"] == SERIAL


def test_option_97_begins_as_seen_on_the_wire():
    """``52:50:69:34`` and ``34:69:50:52`` after the kind."""
    assert guid(PI4)[:5].hex(":") == "00:52:50:69:34"
    assert guid(dataclasses.replace(PI4, guid=Guid.BIG))[:5].hex(":") == "00:34:69:50:52"


def test_a_request_without_option_60_is_still_a_raspberry_pi():
    """EEPROMs of 2020 leave it out; the ACK must say what the OFFER said."""
    offer = Offer(ME, None, NETWORK.server, NETWORK.server)
    message = Message.parse(request(PI4, 7, offer))
    assert message.vendor_class == ""
    given = boot_answer(message, client_facts(message), BOARD, NETWORK, ())
    assert given == answer(PI4)


def test_a_pc_with_a_bios_is_no_raspberry_pi():
    """It says architecture 0 as well; neither OUI nor option 97 is a Pi's."""
    message = Message.parse(discover(Model(4, SERIAL, "52:54:00:00:00:01", guid=Guid.ROM), 1))
    facts = client_facts(message)
    assert facts.firmware is Firmware.PXE
    given = boot_answer(
        message, facts, dataclasses.replace(BOARD, platform="x86-bios"), NETWORK, ("undionly.kpxe",)
    )
    assert isinstance(given, Answer)
    assert given.file == "undionly.kpxe"


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (PI4, "Raspberry Pi Boot"),
        (Model(3, SERIAL, "b8:27:eb:01:36:c2", guid=Guid.ROM), "Raspberry Pi Boot   "),
    ],
)
def test_the_menu_says_what_the_firmware_looks_for(model: Model, text: str):
    """Option 43 byte for byte as known to work, with three more spaces for a Pi 3."""
    target = dataclasses.replace(BOARD, platform=f"raspberrypi{model.generation}", macs=(model.mac,))
    given = answer(model, target)
    assert isinstance(given, Answer)
    assert given.next_server
    assert given.file == ""
    assert given.options[60] == b"PXEClient"
    assert given.options[66] == b"10.77.0.1"
    length = len(text)
    assert given.options[43] == (
        bytes.fromhex("060103 0a0400")
        + b"PXE"
        + bytes((9, 3 + length, 0, 0, length))
        + text.encode()
        + b"\xff"
    )
    assert menu_texts(given.options[43]) == [text]


def test_a_board_is_not_led_where_it_cannot_go():
    """Unknown, of another platform, or without its firmware files: no answer, and a reason for the trace."""
    for target, word in (
        (None, "nobody knows"),
        (dataclasses.replace(BOARD, platform="x86-bios"), "x86-bios"),
        (dataclasses.replace(BOARD, files={}), "hostler agent build"),
        (dataclasses.replace(BOARD, intent=BootIntent.DENY), "no answer"),
    ):
        given = answer(PI4, target)
        assert isinstance(given, Refusal)
        assert word in given.reason


@pytest.fixture
def files(tmp_path: Path):
    table = BootTable()
    for name in (*FILES, "k", "i"):
        (tmp_path / name).write_bytes(f"[{name}]".encode())
        table.put_artefact(name, tmp_path / name)

    def read(name: str, **changes: object) -> bytes | None:
        table.put(dataclasses.replace(BOARD, **changes))  # type: ignore[arg-type]
        file = BootFiles(table, [NETWORK], {ME: MAC}.get, {}).open(ME, name)
        if file is None:
            return None
        with file:
            return file.read_at(0, file.size)

    return read


def test_the_tree_lies_under_the_serial_the_mac_and_nothing(files):
    """TFTP_PREFIX 0 and 2, and what a firmware asks for that dropped its prefix."""
    for prefix in (f"{SERIAL}/", f"{SERIAL.upper()}/", "dc-a6-32-01-36-c2/", ""):
        assert files(prefix + "start4.elf") == b"[start4.elf]"
        assert files(prefix + "kernel8.img") == b"[k]"


def test_another_board_has_no_tree_here(files):
    """Neither under a serial nor under a MAC that is not its own, nor by another path."""
    for name in ("00000001/start4.elf", "dc-a6-32-00-00-00/start4.elf", f"{SERIAL}/x/start4.elf", "k", "x/k"):
        assert files(name) is None
    assert files("00000001/start4.elf", serial=None) == b"[start4.elf]"
    assert files(f"{SERIAL}/start4.elf", serial=f"10000000{SERIAL}") == b"[start4.elf]"


def test_the_agent_gets_its_configuration_in_its_initramfs(files):
    """One file, two archives; the token is in none of the texts."""
    initrd = files("initrd.img")
    assert initrd is not None
    assert initrd.endswith(b"[i]")
    assert b"t0ken" in initrd
    config, cmdline = files("config.txt"), files("cmdline.txt")
    assert b"initramfs initrd.img followkernel\n" in config
    assert b"kernel=kernel8.img\n" in config
    assert cmdline == b"console=ttyS1,115200 quiet\n"
    assert b"t0ken" not in config + cmdline


def test_another_system_than_the_agent_is_brought_whole_and_alone(files):
    """Its own kernel, initramfs and command line, told how to reach us; the agent's token stays with us."""
    order = NetbootOrder("live", "i", "k", f"root=live:{BASE_MARK}/boot/image/squashfs")
    assert files("kernel8.img", netboot=order) == b"[i]"
    assert files("initrd.img", netboot=order) == b"[k]"
    assert files("cmdline.txt", netboot=order) == f"root=live:{BASE}/boot/image/squashfs\n".encode()
    assert b"booting live" in files("config.txt", netboot=order)
    bare = dataclasses.replace(order, initrd="")
    assert files("initrd.img", netboot=bare) is None
    assert b"initramfs" not in files("config.txt", netboot=bare)


@pytest.mark.parametrize("intent", [BootIntent.HOLD, BootIntent.ENVIRONMENT])
def test_a_held_board_gets_a_kernel_that_waits(files, intent: BootIntent):
    """It boots no disk and no agent."""
    assert files("kernel8.img", intent=intent) == HOLD_PROGRAM
    assert files("initrd.img", intent=intent) is None
    assert b"initramfs" not in files("config.txt", intent=intent)
    assert files("start4.elf", intent=intent) == b"[start4.elf]"


def test_a_board_that_boots_from_its_disk_finds_nothing(files):
    """A file that is not there is the quickest way to the next entry of its boot order."""
    for name in (f"{SERIAL}/start4.elf", "start4.elf", "start.elf", "config.txt", "kernel8.img"):
        assert files(name, intent=BootIntent.LOCAL) is None


def test_a_pi_5_needs_no_firmware_and_waits_where_the_kernel_does_not_know_it(files):
    """Debian 12's kernel has no device tree for it: the board is held, and config.txt says why."""
    five = {"platform": "raspberrypi5"}
    assert files("start4.elf", **five) is None
    assert files("kernel8.img", **five) == HOLD_PROGRAM
    assert b"no device tree bcm2712" in files("config.txt", **five)
    with_tree = {**five, "files": {"bcm2712-rpi-5-b.dtb": "bcm2711-rpi-4-b.dtb"}}
    assert files("kernel8.img", **with_tree) == b"[k]"
    assert files("bcm2712-rpi-5-b.dtb", **with_tree) == b"[bcm2711-rpi-4-b.dtb]"


def test_device_trees_are_found_by_either_name(files):
    """Raspberry Pi's own names and modules without a carrier board lead to what mainline has."""
    assert files("bcm2710-rpi-3-b.dtb", platform="raspberrypi3") == b"[bcm2837-rpi-3-b.dtb]"
    assert files("bcm2711-rpi-cm4.dtb") == b"[bcm2711-rpi-cm4-io.dtb]"
    assert files("bcm2711-rpi-cm5.dtb") is None


def test_a_command_line_that_cannot_be_said_holds_the_board(files):
    """A newline in it would cut it in two; it is not booted with half of it."""
    assert files("kernel8.img", cmdline="a\nb") == HOLD_PROGRAM
    assert b"cannot boot the agent" in files("config.txt", cmdline="a\nb")


def test_words_cannot_become_settings():
    """What a person wrote about a board stays in its comment, and in one line the firmware reads whole."""
    held = dataclasses.replace(BOARD, intent=BootIntent.HOLD, message="so\nkernel=evil\r[none] " + "x" * 300)
    lines = render_config(held, BASE).splitlines()
    assert [line for line in lines if line.startswith("kernel=")] == ["kernel=kernel8.img"]
    assert max(map(len, lines)) <= 98


@pytest.mark.qemu
def test_the_program_of_a_held_board_resets_a_pi_3(tmp_path: Path):
    """QEMU's raspi3b has the power manager of the real one and ends when its watchdog resets the board."""
    if not shutil.which("qemu-system-aarch64"):
        pytest.skip("needs qemu-system-aarch64")
    (tmp_path / "kernel8.img").write_bytes(hold_program(1))
    command = ["qemu-system-aarch64", "-M", "raspi3b", "-display", "none", "-no-reboot", "-serial", "null",
               "-monitor", "none", "-kernel", str(tmp_path / "kernel8.img")]  # fmt: skip
    assert subprocess.run(command, timeout=30, check=False, capture_output=True).returncode == 0
    (tmp_path / "kernel8.img").write_bytes(hold_program(3600))
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(command, timeout=3, check=False, capture_output=True)


@given(st.binary(max_size=40), st.binary(max_size=6))
def test_no_option_97_breaks_the_server(machine: bytes, end: bytes):
    """Whatever a machine says, it is one of a Pi's shapes or it is none; serials are always eight digits."""
    for identity in (machine, b"\0RPi4" + machine, b"\0" + end * 3):
        message = Message.parse(discover(PI4, 1))
        told = client_facts(message._replace(options={**message.options, 97: identity}))
        assert all(len(serial) == 8 and int(serial, 16) >= 0 for serial in told.serials)


@given(
    st.text(max_size=60),
    st.sampled_from(["", f"{SERIAL}/", "dc-a6-32-01-36-c2/"]),
    st.sampled_from(BootIntent),
)
def test_no_other_name_leads_anywhere(name: str, prefix: str, intent: BootIntent):
    """Only the names of a Pi's firmware exist, and only those registered for this board."""
    known = {"config.txt", "cmdline.txt", "kernel8.img", "initrd.img", "boot.img", *FILES}
    tree = RaspberryPiTree(dataclasses.replace(BOARD, intent=intent), lambda artefact: Path(artefact), BASE)
    if name.rpartition("/")[2] not in known:
        assert tree.parts(prefix + name) is None


@pytest.mark.parametrize("facts", [Facts(Firmware.UBOOT, 0x16), Facts(Firmware.PXE, 11)])
def test_what_its_u_boot_then_asks_for_is_an_efi_program(facts: Facts):
    """Builds with ``dhcp; bootefi`` start what DHCP names; without the stub for it they find pxelinux.cfg."""
    message = Message(1, 7, bytes.fromhex("dca6320136c2"), {})
    target = dataclasses.replace(BOARD, loader=Loader.UBOOT, files={"linuxaa64.efi.stub": "s"})
    given = boot_answer(message, facts, target, NETWORK, ())
    assert isinstance(given, Answer)
    assert (given.file, given.next_server) == ("uki.efi", True)
    for other in ({"files": {}}, {"intent": BootIntent.LOCAL}):
        plain = boot_answer(message, facts, dataclasses.replace(target, **other), NETWORK, ())
        assert isinstance(plain, Answer)
        assert plain.file in ("", "no-efi-program")
