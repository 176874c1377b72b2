"""Commands to eMMC, by the kernel's ioctl, and what its EXT_CSD register says.

Numbers are those of JESD84-B51: section 6.10.4 (commands), 7.4 (EXT_CSD). ``struct mmc_ioc_cmd`` is that of
<linux/mmc/ioctl.h>. The kernel holds the host for one ioctl, so what belongs together goes into one.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hostler.model.disk_health import DiskHealth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

_IOC_MULTI = 0xC008B301
_BLKSECDISCARD = 0x127D  # <linux/fs.h>
_IOC_CMD = struct.Struct("<iiII4IIIIIIIIIQ")
_IOC_MULTI_HEADER = struct.Struct("<Q")  # how many commands follow
_RESPONSE_AT = 16  # in struct mmc_ioc_cmd
# Bits of the card status that tell of an error (JESD84-B51 6.13), CARD_IS_LOCKED and states left out.
_STATUS_ERRORS = 0xFDF92000

# <linux/mmc/core.h>: response and kind of a command, for the native and the SPI bus.
_RESPONSE_R1 = 0x15 | 0x80
_RESPONSE_R1B = 0x1D | 0x480
_READS_DATA = 0x20

_SWITCH, _SEND_EXT_CSD, _ERASE_START, _ERASE_END, _ERASE = 6, 8, 35, 36, 38

EXT_CSD_BYTES = 512
_SECTOR = 512
_SANITIZE_START = 165
_BUSY_SECONDS = 15.0
_SWITCH_SECONDS = 2.55  # the most GENERIC_CMD6_TIME (248) and PARTITION_SWITCH_TIME (199) can say


class MmcError(Exception):
    """The card or the kernel refused a command; the message says which and why."""


@dataclass(frozen=True, slots=True)
class MmcCommand:
    """One command.

    Attributes:
        opcode: Its index.
        argument: Its argument.
        flags: Response and kind, as the kernel numbers them.
        length: Bytes the card answers with.
        writes: Whether it changes something.
        seconds: Longest time the card may be busy with it.
    """

    opcode: int
    argument: int
    flags: int = _RESPONSE_R1
    length: int = 0
    writes: bool = False
    seconds: float = _BUSY_SECONDS

    def encode(self, address: int) -> bytes:
        """Return it as the kernel takes it, with the address of the buffer for the answer."""
        blocks = self.length // _SECTOR
        return _IOC_CMD.pack(
            int(self.writes), 0, self.opcode, self.argument, 0, 0, 0, 0, self.flags,
            _SECTOR if blocks else 0, blocks, 0, 0, 0, round(self.seconds * 1000), 0,
            address if blocks else 0,
        )  # fmt: skip


class MmcPort(Protocol):
    """Where commands go."""

    def run(self, commands: Sequence[MmcCommand]) -> bytes:
        """Carry commands out, one after the other, and return the answer of the last; raises MmcError."""
        ...

    def secure_discard(self, first: int, count: int) -> None:
        """Have sectors erased so that nothing is left of them; raises MmcError."""
        ...


class KernelMmc:
    """The card behind a block device, such as ``/dev/mmcblk0``; raises OSError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def run(self, commands: Sequence[MmcCommand]) -> bytes:
        """Carry commands out; the card belongs to nobody else meanwhile."""
        buffer = ctypes.create_string_buffer(max(commands[-1].length, 1))
        address = ctypes.addressof(buffer)
        request = bytearray(encode_all(commands, address))
        try:
            fcntl.ioctl(self._fd, _IOC_MULTI, request)
        except OSError as error:
            numbers = ", ".join(f"CMD{command.opcode}" for command in commands)
            raise MmcError(f"{self._path}: {numbers}: {error.strerror}") from error
        try:
            check_responses(commands, request)
        except MmcError as error:
            raise MmcError(f"{self._path}: {error}") from error
        return buffer.raw[: commands[-1].length]

    def secure_discard(self, first: int, count: int) -> None:
        """Ask the kernel for it: it knows the cards that break when they are told directly."""
        try:
            fcntl.ioctl(self._fd, _BLKSECDISCARD, struct.pack("QQ", first * _SECTOR, count * _SECTOR))
        except OSError as error:
            raise MmcError(f"{self._path}: secure discard: {error.strerror}") from error


def encode_all(commands: Sequence[MmcCommand], address: int) -> bytes:
    """Return ``struct mmc_ioc_multi_cmd``, with the address of the buffer for the answer of the last."""
    return _IOC_MULTI_HEADER.pack(len(commands)) + b"".join(one.encode(address) for one in commands)


def check_responses(commands: Sequence[MmcCommand], request: bytes | bytearray) -> None:
    """Look at what the card answered to each command; the kernel copies it back and does not look itself.

    Args:
        commands: What was carried out; all have a response R1 or R1b.
        request: What ``encode_all`` made of them, as it came back.

    Raises:
        MmcError: The card tells of an error.
    """
    for number, command in enumerate(commands):
        at = _IOC_MULTI_HEADER.size + number * _IOC_CMD.size + _RESPONSE_AT
        (status,) = struct.unpack_from("<I", request, at)
        if status & _STATUS_ERRORS:
            raise MmcError(f"CMD{command.opcode}: the card says {status:#010x}")


@dataclass(frozen=True, slots=True)
class ExtCsd:
    """What an eMMC says of itself in EXT_CSD; the number is that of the byte.

    Attributes:
        revision: Of the register (192): 5 is eMMC 4.41, 6 is 4.5, 7 is 5.0, 8 is 5.1.
        sectors: Size of the user area in sectors of 512 bytes (212).
        boot_bytes: Size of each of the two boot partitions (226).
        rpmb_bytes: Size of the replay protected partition (168).
        general_bytes: Sizes of the four general purpose partitions together (143 to 154).
        secure_erase: Whether it knows secure erase and secure trim (231, bit 0).
        sanitizes: Whether it knows sanitize (231, bit 6).
        erased_byte: What erased blocks read as (181).
        erase_seconds: Longest time to erase one erase group (223).
        group_sectors: Sectors of an erase group (224).
        pre_eol: How far the spare blocks are used up (267): 1 normal, 2 80 %, 3 90 %; 0: not told.
        life: Used up life in steps of 10 %, for blocks of kind A and B (268, 269); 0: not told.
    """

    revision: int
    sectors: int
    boot_bytes: int
    rpmb_bytes: int
    general_bytes: int
    secure_erase: bool
    sanitizes: bool
    erased_byte: int
    erase_seconds: float
    group_sectors: int
    pre_eol: int
    life: tuple[int, int]

    @classmethod
    def decode(cls, data: bytes) -> ExtCsd:
        """Read the 512 bytes of the register."""
        features = data[231]
        general = sum(int.from_bytes(data[at : at + 3], "little") for at in range(143, 155, 3))
        return cls(
            revision=data[192],
            sectors=int(struct.unpack_from("<I", data, 212)[0]),
            boot_bytes=data[226] * 128 * 1024,
            rpmb_bytes=data[168] * 128 * 1024,
            # In write protect groups (221) of erase groups (224) of 512 KiB.
            general_bytes=general * data[221] * data[224] * 512 * 1024,
            secure_erase=bool(features & 1),
            sanitizes=bool(features & 1 << 6),
            erased_byte=0xFF if data[181] else 0,
            erase_seconds=0.3 * data[223],
            group_sectors=data[224] * 1024,
            pre_eol=data[267],
            life=(data[268], data[269]),
        )

    @property
    def health(self) -> DiskHealth | None:
        """Return its health; None before eMMC 5.0, which does not tell."""
        if self.revision < 7:
            return None
        used = max(self.life)
        failing = []
        if self.pre_eol == 3:
            failing.append("90 % of its spare blocks are used up")
        if used >= 11:
            failing.append("it is beyond its rated life")
        return DiskHealth(
            "emmc",
            wear_percent=10 * used if used else None,  # step 1 is 0 to 10 % used
            spare_percent={1: 100, 2: 20, 3: 10}.get(self.pre_eol),
            failing=tuple(failing),
        )


def ext_csd_bytes(port: MmcPort) -> bytes:
    """Read the register; raises MmcError. An SD card must not be asked: its CMD8 is another one."""
    return port.run([MmcCommand(_SEND_EXT_CSD, 0, _RESPONSE_R1 | _READS_DATA, length=EXT_CSD_BYTES)])


def read_ext_csd(port: MmcPort) -> ExtCsd:
    """Read what the register says; raises MmcError."""
    return ExtCsd.decode(ext_csd_bytes(port))


def write_ext_csd(port: MmcPort, index: int, value: int) -> None:
    """Write one byte of the register, and wait until the card has taken it; raises MmcError."""
    port.run(
        [
            MmcCommand(
                _SWITCH, switch_argument(index, value), _RESPONSE_R1B, writes=True, seconds=_SWITCH_SECONDS
            )
        ]
    )


def erase(port: MmcPort, first: int, count: int, seconds: float) -> None:
    """Erase whole erase groups of the user area (6.6.9), which unmaps them; raises MmcError.

    Not by trim, which does the same for single sectors: some cards get that wrong.

    Args:
        port: The card; it must be larger than 2 GB, others count bytes.
        first: The first sector.
        count: How many.
        seconds: Longest time it may take.
    """
    port.run(
        [
            MmcCommand(_ERASE_START, first),
            MmcCommand(_ERASE_END, first + count - 1),
            MmcCommand(_ERASE, 0, _RESPONSE_R1B, writes=True, seconds=seconds),
        ]
    )


def sanitize(port: MmcPort, seconds: float) -> None:
    """Have what is not mapped any more removed physically (6.6.13), and wait for it; raises MmcError."""
    port.run(
        [
            MmcCommand(
                _SWITCH, switch_argument(_SANITIZE_START, 1), _RESPONSE_R1B, writes=True, seconds=seconds
            )
        ]
    )


def switch_argument(index: int, value: int) -> int:
    """Return the argument of SWITCH that writes one byte of EXT_CSD (6.10.4, access mode 3)."""
    return 3 << 24 | index << 16 | value << 8
