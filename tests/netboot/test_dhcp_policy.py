"""What each kind of firmware is told to boot."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Interface

import pytest

from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.netboot.dhcp_policy import Answer, Firmware, Refusal, boot_answer, client_facts
from hostler.netboot.table import NetworkConfig, Target
from hostler.wire.dhcp import Message

NETWORK = NetworkConfig(
    "lab", "srv0", IPv4Interface("10.77.0.1/24"), IPv4Address("10.77.0.100"), IPv4Address("10.77.0.199")
)
FILES = frozenset(("undionly.kpxe", "snponly.efi"))
MAC = bytes.fromhex("525400770001")
GUID = bytes.fromhex("33221100554477668899aabbccddeeff")
PXE_BIOS = {60: b"PXEClient:Arch:00000:UNDI:002001", 93: b"\0\0", 94: b"\x01\x02\x01", 97: b"\0" + GUID}
PXE_X64 = {60: b"PXEClient:Arch:00007:UNDI:003001", 93: b"\0\x07", 94: b"\x01\x03\x00"}
PXE_ARM64 = {60: b"PXEClient:Arch:00011:UNDI:003001", 93: b"\0\x0b"}
IPXE = {**PXE_BIOS, 77: b"iPXE", 175: b"\x13\x01\x01\x21\x01\x01"}
UBOOT = {60: b"U-Boot.armv8", 93: b"\0\x16", 94: b"\x01\0\0"}
UDHCPC = {60: b"udhcp 1.35.0"}


def board(intent: BootIntent = BootIntent.STEP) -> Target:
    return Target("vx-bios", "x86-bios", "amd64", (MAC.hex(":"),), intent=intent)


def answer(
    options: dict[int, bytes], target: Target | None = None, files: frozenset[str] = FILES
) -> Answer | Refusal:
    message = Message(1, 1, MAC, {53: b"\x01", **options})
    return boot_answer(message, client_facts(message), target, NETWORK, files)


@pytest.mark.parametrize(
    ("options", "firmware", "architecture"),
    [
        (PXE_BIOS, Firmware.PXE, 0),
        (PXE_X64, Firmware.PXE, 7),
        ({93: b"\0\0", 94: b"\x01\x02\x01"}, Firmware.PXE, 0),
        (IPXE, Firmware.IPXE, 0),
        ({**PXE_X64, 77: b"\x04iPXE"}, Firmware.IPXE, 7),
        ({**PXE_BIOS, 77: b"iPXE", 175: b"\x21\x01\x01"}, Firmware.PXE, 0),
        (UBOOT, Firmware.UBOOT, 0x16),
        ({93: b"\0\x15"}, Firmware.UBOOT, 0x15),
        ({60: b"HTTPClient:Arch:00016", 93: b"\0\x10"}, Firmware.HTTP, 16),
        (UDHCPC, Firmware.SYSTEM, None),
        ({}, Firmware.SYSTEM, None),
    ],
)
def test_firmware_is_told_apart(
    options: dict[int, bytes], firmware: Firmware, architecture: int | None
) -> None:
    """Options 60, 77, 93 and 175 say who asks; an iPXE without HTTP counts as a plain PXE ROM."""
    facts = client_facts(Message(1, 1, MAC, options))
    assert (facts.firmware, facts.architecture) == (firmware, architecture)


def test_the_uuid_reads_as_dmidecode_prints_it() -> None:
    """PXE ROMs and iPXE send SMBIOS byte order; zeros are no UUID."""
    for options in (PXE_BIOS, IPXE):
        assert client_facts(Message(1, 1, MAC, options)).uuid == "00112233-4455-6677-8899-aabbccddeeff"
    assert client_facts(Message(1, 1, MAC, {**PXE_BIOS, 97: bytes(17)})).uuid is None


@pytest.mark.parametrize(
    "intent", [BootIntent.LOCAL, BootIntent.STEP, BootIntent.HOLD, BootIntent.ENVIRONMENT, None]
)
def test_every_intent_gets_as_far_as_the_last_stage(intent: BootIntent | None) -> None:
    """Only the script differs by intent; a stranger is answered like a held board."""
    told = answer(IPXE, board(intent) if intent else None)
    assert isinstance(told, Answer)
    assert told.file == "http://10.77.0.1:8067/boot/ipxe"
    assert told.options[67] == told.file.encode()
    assert told.options[175] == b"\xb0\x01\x01"


def test_a_bios_rom_gets_undionly_and_looks_for_no_boot_server() -> None:
    """43 = discovery control 8, 60 = PXEClient, 66 and siaddr the server, 97 echoed."""
    told = answer(PXE_BIOS, board())
    assert told == Answer(
        "undionly.kpxe",
        next_server=True,
        options={
            60: b"PXEClient",
            43: b"\x06\x01\x08\xff",
            66: b"10.77.0.1",
            67: b"undionly.kpxe",
            97: b"\0" + GUID,
        },
    )


@pytest.mark.parametrize("architecture", [7, 9])
def test_x64_uefi_gets_snponly(architecture: int) -> None:
    """Some x64 firmware calls itself EBC (9)."""
    told = answer({**PXE_X64, 93: bytes((0, architecture))}, board())
    assert isinstance(told, Answer)
    assert told.file == "snponly.efi"


def test_uboot_is_told_the_server_and_no_file() -> None:
    """U-Boot would fetch and start a boot file; it finds pxelinux.cfg by siaddr alone."""
    assert answer(UBOOT, board()) == Answer(next_server=True)


@pytest.mark.parametrize("options", [{}, UDHCPC, {60: b"dhclient"}])
def test_a_system_gets_a_lease_and_no_boot_options(options: dict[int, bytes]) -> None:
    """What boots from the network is firmware's business only."""
    assert answer(options, board()) == Answer()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({60: b"PXEClient", 93: b"\0\x06"}, "no boot file for x86 UEFI"),
        ({60: b"PXEClient"}, "does not tell its architecture"),
        ({60: b"HTTPClient:Arch:00015", 93: b"\0\x0f"}, "no boot file for x86 UEFI HTTP"),
        ({60: b"HTTPClient:Arch:00018", 93: b"\0\x12"}, "no boot file for ARM32 UEFI HTTP"),
        ({60: b"HTTPClient"}, "does not tell its architecture"),
    ],
)
def test_firmware_that_cannot_be_served_is_refused_with_the_reason(
    options: dict[int, bytes], words: str
) -> None:
    """Nothing is guessed in silence: the trace says what is missing."""
    told = answer(options)
    assert isinstance(told, Refusal)
    assert words in told.reason


@pytest.mark.parametrize(
    ("options", "file"),
    [(PXE_ARM64, "hold-arm64.efi"), ({60: b"HTTPClient:Arch:00016", 93: b"\0\x10"}, "hold-x64.efi")],
)
def test_uefi_of_a_stranger_is_held_where_there_is_no_ipxe(options: dict[int, bytes], file: str) -> None:
    """Debian has none for arm64; a machine nobody knows waits to be adopted all the same."""
    told = answer(options, files=frozenset())
    assert isinstance(told, Answer)
    assert told.file.rpartition("/")[2] == file


def test_a_boards_own_ipxe_is_not_replaced() -> None:
    """A board's class says what brings its kernel, so what is missing is named."""
    told = answer(PXE_ARM64, board())
    assert isinstance(told, Refusal)
    assert "snponly-arm64.efi, which is not registered" in told.reason


def test_arm64_uefi_is_served_once_its_file_is_registered() -> None:
    """What TFTP can serve decides."""
    told = answer(PXE_ARM64, board(), FILES | {"snponly-arm64.efi"})
    assert isinstance(told, Answer)
    assert told.file == "snponly-arm64.efi"


@pytest.mark.parametrize(
    ("options", "loader", "files", "file"),
    [
        (PXE_X64, None, (), "snponly.efi"),
        (PXE_X64, Loader.UKI, (), "uki.efi"),
        (PXE_X64, Loader.GRUB, ("shimx64.efi", "grubx64.efi"), "grub/shimx64.efi"),
        (PXE_ARM64, Loader.GRUB, ("shimaa64.efi", "grubaa64.efi"), "grub/shimaa64.efi"),
        (PXE_BIOS, Loader.PXELINUX, ("lpxelinux.0", "ldlinux.c32"), "pxelinux/lpxelinux.0"),
        (PXE_X64, Loader.GRUB, ("shimx64.efi",), "needs grubx64.efi, which is not registered"),
        (PXE_BIOS, Loader.GRUB, (), 'cannot start its loader, "grub"'),
        (PXE_X64, Loader.PXELINUX, (), 'cannot start its loader, "pxelinux"'),
    ],
)
def test_the_loader_of_its_class_decides(
    options: dict[int, bytes], loader: Loader | None, files: tuple[str, ...], file: str
) -> None:
    """A loader that cannot begin on this firmware, or lacks a file, is refused, never replaced."""
    target = dataclasses.replace(board(), loader=loader, files=dict.fromkeys(files, "id"))
    told = answer(options, target)
    if isinstance(told, Refusal):
        assert file in told.reason
    else:
        assert (told.file, told.options[67]) == (file, file.encode())


def test_http_boot_comes_to_grub_by_a_disk_image() -> None:
    """Debian's GRUB stops at its prompt when HTTP boot started it alone."""
    files = {"shimx64.efi": "s", "grubx64.efi": "g"}
    target = dataclasses.replace(board(), loader=Loader.GRUB, files=files)
    for who, file in ((target, "grub/x64/boot.img"), (None, "snponly.efi")):
        told = answer({60: b"HTTPClient:Arch:00016:UNDI:003001", 93: b"\0\x10"}, who)
        assert isinstance(told, Answer)
        assert told.file == f"http://10.77.0.1:8067/boot/{file}"


def test_http_boot_gets_a_url_under_its_own_name() -> None:
    """60 = HTTPClient, the URL in 67 and in ``file``, and nothing of TFTP's or PXE's."""
    for number, name in ((16, "snponly.efi"), (19, "uki.efi")):
        target = dataclasses.replace(board(), loader=Loader.UKI if number == 19 else Loader.IPXE)
        told = answer({60: b"HTTPClient:Arch:%05d:UNDI:003001" % number, 93: bytes((0, number))}, target)
        url = f"http://10.77.0.1:8067/boot/{name}"
        assert told == Answer(url, options={60: b"HTTPClient", 67: url.encode()})


@pytest.mark.parametrize("options", [IPXE, PXE_BIOS, UBOOT, {}])
def test_a_denied_board_gets_nothing(options: dict[int, bytes]) -> None:
    """Intent DENY: whatever asks."""
    assert isinstance(answer(options, board(BootIntent.DENY)), Refusal)
