"""What goes to drives and what comes back, byte for byte.

Offsets in structures of the kernel are those a C compiler prints for its headers. The EXT_CSD is that of a
real card of 4 GB (eMMC 4.41), as Linux shows it: from its last byte to its first.
"""

import struct

import pytest

from hostler.agent import ata, mmc, nvme, scsi
from hostler.agent.ata import AtaAnswer, AtaCommand, AtaError, AtaIdentity
from hostler.agent.mmc import ExtCsd, MmcCommand
from hostler.agent.nvme import AdminCommand, Controller, SanitizeStatus
from hostler.agent.wipe_ata import security_sector

EMMC_4GB = bytes.fromhex(
    "00" * 7 + "010301" + "00" * 255 + "02000000087a" + "00" * 8
    + "06150203070010060801010108080010000072800000080808080808000000000001020007000200"
    + "0500000000000001000200000000000000000000000000000100050000000000030001ca"
    + "00" * 157
)[::-1]  # fmt: skip


def test_an_nvme_command_lies_as_the_kernel_reads_it() -> None:
    """The struct nvme_passthru_cmd: 72 bytes; buffer at 24, its length at 36, words from 40."""
    data = AdminCommand(0x02, 0xFFFFFFFF, cdw10=0x7F0081, cdw11=7, length=512, seconds=3).encode(
        0x1122334455667788
    )
    assert len(data) == 72
    assert data[0] == 0x02
    assert struct.unpack_from("<I", data, 4) == (0xFFFFFFFF,)
    assert struct.unpack_from("<Q", data, 24) == (0x1122334455667788,)
    assert struct.unpack_from("<II", data, 36) == (512, 0x7F0081)
    assert struct.unpack_from("<I", data, 44) == (7,)
    assert struct.unpack_from("<I", data, 64) == (3000,)


def test_an_mmc_command_lies_as_the_kernel_reads_it() -> None:
    """The struct mmc_ioc_cmd: 72 bytes; flags at 32, block size and count behind, timeout at 56."""
    data = MmcCommand(8, 0, 0xB5, length=512).encode(0x1122334455667788)
    assert len(data) == 72
    assert struct.unpack_from("<iiII", data) == (0, 0, 8, 0)
    assert struct.unpack_from("<III", data, 32) == (0xB5, 512, 1)
    assert struct.unpack_from("<Q", data, 64) == (0x1122334455667788,)
    busy = MmcCommand(6, 0x03A50100, 0x49D, writes=True, seconds=600).encode(1)
    assert struct.unpack_from("<i", busy) == (1,)
    assert struct.unpack_from("<I", busy, 56) == (600_000,)
    assert struct.unpack_from("<Q", busy, 64) == (0,)
    assert mmc.switch_argument(165, 1) == 0x03A50100


def test_a_scsi_request_lies_as_the_kernel_reads_it() -> None:
    """The struct sg_io_hdr: 88 bytes; data, command and sense from 16, timeout at 40."""
    data = scsi.encode(16, 512, 0, 15, (0x1111, 0x2222, 0x3333))
    assert len(data) == 88
    assert struct.unpack_from("<iiBBHI", data) == (ord("S"), -3, 16, 64, 0, 512)
    assert struct.unpack_from("<QQQI", data, 16) == (0x1111, 0x2222, 0x3333, 15_000)
    assert struct.unpack_from("<ii", scsi.encode(16, 0, 512, 1, (1, 1, 1))) == (ord("S"), -2)
    assert struct.unpack_from("<ii", scsi.encode(16, 0, 0, 1, (1, 1, 1))) == (ord("S"), -1)


@pytest.mark.parametrize(
    ("command", "wrapped"),
    [
        (AtaCommand(0xEC, reads=1), "85 08 2e 00 00 00 01 00 00 00 00 00 00 40 ec 00"),
        (AtaCommand(0xF4, sends=bytes(512)), "85 0a 26 00 00 00 01 00 00 00 00 00 00 40 f4 00"),
        (AtaCommand(0xF3), "85 06 20 00 00 00 00 00 00 00 00 00 00 40 f3 00"),
        (AtaCommand(0xB0, 0xDA, lba=0xC24F00), "85 06 20 00 da 00 00 00 00 00 4f 00 c2 40 b0 00"),
        (
            AtaCommand(0xB4, 0x12, 0x10, 0x426B4572, extended=True),
            "85 07 20 00 12 00 10 42 72 00 45 00 6b 40 b4 00",
        ),
        (
            AtaCommand(0xB4, 0x14, 0x11, 0x4F5700000000, extended=True),
            "85 07 20 00 14 00 11 00 00 57 00 4f 00 40 b4 00",
        ),
    ],
)
def test_an_ata_command_is_wrapped_as_sat_says(command: AtaCommand, wrapped: str) -> None:
    """ATA PASS-THROUGH (16): registers in their places, the later halves of 48 bits before the earlier."""
    assert command.encode() == bytes.fromhex(wrapped)


def test_registers_come_back_in_both_kinds_of_sense() -> None:
    """As a descriptor, also behind another one, and in the fixed format; other sense has none."""
    part = bytes([0x09, 12, 1, 0x04, 0x80, 0x01, 0x42, 0x72, 0x00, 0x45, 0x00, 0x6B, 0x40, 0x51])
    sense = bytes([0x72, 1, 0, 0x1D, 0, 0, 0, 14]) + part
    assert AtaAnswer.decode(sense.ljust(64, b"\0")) == AtaAnswer(0x51, 0x04, 0x8001, 0x426B4572)
    behind = bytes([0x72, 1, 0, 0x1D, 0, 0, 0, 18, 0x02, 2, 0, 0]) + part
    assert AtaAnswer.decode(behind.ljust(64, b"\0")) == AtaAnswer(0x51, 0x04, 0x8001, 0x426B4572)
    fixed = bytes([0x70, 0, 1, 0x04, 0x51, 0x40, 0x07, 10, 0, 0x00, 0x4F, 0xC2]).ljust(64, b"\0")
    assert AtaAnswer.decode(fixed) == AtaAnswer(0x51, 0x04, 0x07, 0xC24F00)
    assert AtaAnswer.decode(bytes(64)) is None
    assert AtaAnswer.decode(bytes([0x72, 5, 0x20, 0, 0, 0, 0, 0]).ljust(64, b"\0")) is None


ENDED = bytes([0x72, 1, 0, 0x1D, 0, 0, 0, 14, 0x09, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x50])


@pytest.mark.parametrize(
    "sense",
    [
        ENDED[:1] + b"\x0b" + ENDED[2:21] + b"\x40",  # cut by a timeout: aborted, with stale registers
        ENDED[:1] + b"\x0b" + ENDED[2:21] + b"\0",
        ENDED[:21] + b"\x51",  # an error
        ENDED[:21] + b"\x70",  # a device fault
        bytes([0x70, 0, 0x0B, 0, 0x50, 0x40, 0, 10]),
        bytes(8),  # no sense at all
    ],
)
def test_a_command_that_did_not_end_well_is_no_success(sense: bytes) -> None:
    """The sense key counts, for after a timeout or a reset of the link registers are stale or zeros."""
    assert ata.registers_of(scsi.ScsiAnswer(2, ENDED.ljust(64, b"\0"), b"x")).data == b"x"
    fixed = bytes([0x70, 0, 1, 0, 0x50, 0x40, 0, 10]).ljust(64, b"\0")
    assert ata.registers_of(scsi.ScsiAnswer(2, fixed, b"")).status == 0x50
    with pytest.raises(AtaError):
        ata.registers_of(scsi.ScsiAnswer(2, sense.ljust(64, b"\0"), b""))


def test_after_a_read_the_data_tells_how_it_ended() -> None:
    """QEMU's AHCI shows that data is wanted when it is there, and the kernel calls that an error."""
    sense = (ENDED[:1] + b"\x05" + ENDED[2:21] + b"\x58").ljust(64, b"\0")
    assert ata.registers_of(scsi.ScsiAnswer(2, sense, b"x" * 512)).data == b"x" * 512
    with pytest.raises(AtaError):
        ata.registers_of(scsi.ScsiAnswer(2, sense, bytes(512)))


@pytest.mark.parametrize(
    ("rate", "rotational"),
    [(0, False), (1, False), (0x0400, False), (0x0401, True), (7200, True), (0xFFFF, False)],
)
def test_only_a_drive_that_tells_its_rate_has_platters(rate: int, rotational: bool) -> None:
    """Word 217; 0 is not reported, and flash is what nobody may wear out by a mistake."""
    words = [0] * 256
    words[217] = rate
    assert AtaIdentity.decode(struct.pack("<256H", *words)).rotational is rotational


def test_what_an_mmc_card_answers_is_looked_at() -> None:
    """The kernel copies the response to each command back and takes an error in it for none."""
    commands = [MmcCommand(35, 0), MmcCommand(36, 7), MmcCommand(38, 0)]
    request = bytearray(mmc.encode_all(commands, 0))
    assert len(request) == 8 + 3 * 72
    for number in range(3):
        struct.pack_into("<I", request, 8 + 72 * number + 16, 0x00000900)  # ready, in transfer state
    mmc.check_responses(commands, request)
    struct.pack_into("<I", request, 8 + 72 + 16, 0x08000900)
    with pytest.raises(mmc.MmcError, match="CMD36: the card says 0x08000900"):  # ERASE_PARAM
        mmc.check_responses(commands, request)


def test_what_is_sent_for_security_is_the_users_password() -> None:
    """Word 0 bit 1 asks for enhanced; the identifier and the level stay 0: the user's, high."""
    assert security_sector() == b"\0\0hostler".ljust(512, b"\0")
    assert security_sector(enhanced=True)[:2] == b"\2\0"


def test_identify_device_tells_what_a_drive_can() -> None:
    """Words 59, 85, 89, 90, 128, 217; strings have the first letter in the upper byte."""
    words = [0] * 256
    words[23:27] = struct.unpack(">4H", b"SVT02B6Q")
    words[59], words[85], words[87] = 0xB000, 1, 1 << 5
    words[89], words[90], words[128], words[217] = 0x8000 | 600, 2, 0b101001, 1
    identity = AtaIdentity.decode(struct.pack("<256H", *words))
    assert identity.firmware == "SVT02B6Q"
    assert (identity.smart, identity.logs, identity.rotational) == (True, True, False)
    assert identity.sanitizes == {"crypto", "block"}
    assert (identity.erase_seconds, identity.enhanced_seconds) == (72_000, 240)
    security = identity.security
    assert (security.supported, security.enabled, security.locked) == (True, False, False)
    assert (security.frozen, security.enhanced) == (True, True)


def test_smart_is_read_by_the_numbers_of_its_attributes() -> None:
    """Reallocated, pending and uncorrectable sectors are errors; what makers add is left out."""
    data = bytearray(512)
    rows = ((5, 8), (9, 0x0002_0000_2710), (197, 1), (198, 1), (194, 0x0030_0011_0023))
    for row, (number, raw) in enumerate(rows):
        struct.pack_into("<BHBB6s", data, 2 + 12 * row, number, 0, 100, 100, raw.to_bytes(6, "little"))
    health = ata.decode_health(bytes(data), failing=True, wear=7)
    assert (health.errors, health.hours, health.temperature, health.wear_percent) == (10, 10_000, 35, 7)
    assert health.failing == ("its SMART says that it is about to fail",)
    page = bytes(8) + struct.pack("<Q", 3 << 62 | 42)
    assert ata.decode_wear(page) == 42
    assert ata.decode_wear(bytes(512)) is None


def test_nvme_tells_what_it_can_and_how_it_is() -> None:
    """Identify Controller, Sanitize Status, SMART / Health Information; counters have 128 bits, JSON 63."""
    data = bytearray(4096)
    struct.pack_into("<H", data, 256, 0x17)
    struct.pack_into("<I", data, 328, 0x0000_0003)
    data[524] = 0b101
    controller = Controller.decode(bytes(data))
    assert controller.sanitizes == {nvme.SANITIZE_BLOCK_ERASE, nvme.SANITIZE_CRYPTO_ERASE}
    assert (controller.formats, controller.format_crypto, controller.erases_all) == (True, True, False)
    data[524] = 0b010
    assert Controller.decode(bytes(data)).erases_all  # bit 0 is about formats that erase nothing

    status = SanitizeStatus.decode(struct.pack("<HHIIII", 32768, 0x0102, 0, 0xFFFFFFFF, 60, 2))
    assert (status.in_progress, status.failed, status.done) == (True, False, 0.5)
    assert status.seconds == {nvme.SANITIZE_BLOCK_ERASE: 60, nvme.SANITIZE_CRYPTO_ERASE: 2}

    log = bytearray(512)
    struct.pack_into("<BHBBB", log, 0, 0b1011, 313, 4, 10, 104)
    log[128:144], log[160:176] = (8760).to_bytes(16, "little"), (2**70).to_bytes(16, "little")
    health = nvme.decode_health(bytes(log))
    assert (health.temperature, health.spare_percent, health.wear_percent) == (40, 4, 104)
    assert (health.hours, health.errors) == (8760, 2**63 - 1)
    assert len(health.failing) == 2  # spare and read-only; being hot passes
    assert "read-only" in health.failing[1]


def test_format_keeps_a_namespace_as_it_is() -> None:
    """LBA format with its upper bits, metadata setting and protection are those of Identify Namespace."""
    namespace = bytearray(4096)
    namespace[26], namespace[29] = 0b0101_0011, 0b1010
    assert nvme.format_word(bytes(namespace), nvme.ERASE_CRYPTO) == (
        3 | 1 << 4 | 2 << 5 | 1 << 8 | 2 << 9 | 2 << 12
    )


def test_the_register_of_a_real_emmc_is_read() -> None:
    """Of 4 GB, eMMC 4.41: boot partitions of 2 MiB, secure erase, no sanitize yet, no word of its health."""
    assert len(EMMC_4GB) == 512
    card = ExtCsd.decode(EMMC_4GB)
    assert (card.revision, card.sectors) == (5, 7_503_872)
    assert (card.boot_bytes, card.rpmb_bytes) == (2 << 20, 128 << 10)
    assert (card.secure_erase, card.sanitizes) == (True, False)
    assert card.group_sectors == 8192
    assert card.health is None


def test_the_life_of_an_emmc_is_told_since_5_0() -> None:
    """Bytes 267 to 269: the worse of both kinds of blocks counts, and the last warning is a failure."""
    register = bytearray(EMMC_4GB)
    register[192], register[267], register[268], register[269] = 8, 1, 2, 4
    health = ExtCsd.decode(bytes(register)).health
    assert health is not None
    assert (health.wear_percent, health.spare_percent, health.failing) == (40, 100, ())
    register[267], register[269] = 3, 11
    worn = ExtCsd.decode(bytes(register)).health
    assert worn is not None
    assert len(worn.failing) == 2
