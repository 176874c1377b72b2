"""ATA commands through SCSI, and what their answers say.

ATA numbers are those of ACS-3: section 7.12 (IDENTIFY DEVICE), 7.36 (SANITIZE DEVICE), 7.38-7.43 (SECURITY
…), 7.48 (SMART). The wrapping is ATA PASS-THROUGH (16), and its answer the ATA Status Return descriptor, of
SAT-3 12.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hostler.agent.scsi import ScsiDevice, ScsiError
from hostler.model.disk_health import DiskHealth

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from hostler.agent.scsi import ScsiAnswer

SECTOR = 512
_PASS_THROUGH_16 = 0x85
_NO_DATA, _PIO_IN, _PIO_OUT = 3, 4, 5
_CHECK_CONDITION = 1 << 5  # always return the registers, not only after an error
_FROM_DEVICE = 1 << 3
_IN_BLOCKS = 1 << 2
_LENGTH_IN_COUNT = 2
_USES_LBA = 0x40  # device register
_DESCRIPTOR_SENSE, _FIXED_SENSE = 0x72, 0x70
_NO_SENSE, _RECOVERED_ERROR = 0, 1  # what SAT answers with when a command went well
_DEVICE_FAULT_OR_ERROR = 0x21
_ROTATION_RATES = range(0x0401, 0xFFFF)  # 0: not reported; 1: no platters; the rest is reserved

_IDENTIFY, _READ_LOG_EXT, _SMART = 0xEC, 0x2F, 0xB0
_SMART_READ, _SMART_STATUS = 0xD0, 0xDA
_SMART_KEY, _SMART_FAILING = 0xC24F00, 0x2CF400
_STATISTICS_LOG, _STATISTICS_SSD = 0x04, 0x07

_HOURS, _REALLOCATED, _PENDING, _UNCORRECTABLE = 9, 5, 197, 198
_TEMPERATURES = (194, 190)


class AtaError(Exception):
    """The drive refused a command; the message says which and why."""


@dataclass(frozen=True, slots=True)
class AtaCommand:
    """One command with its registers.

    Attributes:
        command: The command.
        features: Features register.
        count: Count register.
        lba: LBA registers, 48 bits.
        extended: Whether it is a command of 48-bit addresses.
        reads: Sectors the drive answers with.
        sends: What is sent, whole sectors.
        seconds: Longest time it may take.
    """

    command: int
    features: int = 0
    count: int = 0
    lba: int = 0
    extended: bool = False
    reads: int = 0
    sends: bytes = field(default=b"", repr=False)
    seconds: float = 15.0

    def encode(self) -> bytes:
        """Return it as ATA PASS-THROUGH (16)."""
        sectors = self.reads or len(self.sends) // SECTOR
        protocol, flags = _NO_DATA, _CHECK_CONDITION
        if sectors:
            protocol = _PIO_IN if self.reads else _PIO_OUT
            flags |= _IN_BLOCKS | _LENGTH_IN_COUNT | (_FROM_DEVICE if self.reads else 0)
        count = sectors or self.count
        lba = self.lba.to_bytes(6, "little")
        return bytes(
            [
                _PASS_THROUGH_16, protocol << 1 | int(self.extended), flags,
                self.features >> 8, self.features & 0xFF, count >> 8, count & 0xFF,
                lba[3], lba[0], lba[4], lba[1], lba[5], lba[2], _USES_LBA, self.command, 0,
            ]
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AtaAnswer:
    """The registers after a command, and what was read.

    Attributes:
        status: Status register; bit 0 tells of an error.
        error: Error register.
        count: Count register.
        lba: LBA registers.
        data: What was read.
    """

    status: int
    error: int
    count: int
    lba: int
    data: bytes = b""

    @classmethod
    def decode(cls, sense: bytes, data: bytes = b"") -> AtaAnswer | None:
        """Take the registers out of sense data; None: it has none."""
        if sense[0] & 0x7F == _FIXED_SENSE:
            return cls(sense[4], sense[3], sense[6], sense[9] | sense[10] << 8 | sense[11] << 16, data)
        at, end = 8, 8 + sense[7]
        if sense[0] & 0x7F != _DESCRIPTOR_SENSE:
            return None
        while at + 14 <= end and sense[at] != 0x09:
            at += 2 + sense[at + 1]
        if at + 14 > end:
            return None
        part = sense[at : at + 14]
        lba = bytes([part[7], part[9], part[11], part[6], part[8], part[10]])
        return cls(part[13], part[3], part[4] << 8 | part[5], int.from_bytes(lba, "little"), data)


class AtaPort(Protocol):
    """Where commands go."""

    def run(self, command: AtaCommand) -> AtaAnswer:
        """Carry a command out; raises AtaError."""
        ...


class KernelAta:
    """The drive behind a block device, such as ``/dev/sda``; raises OSError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._device = ScsiDevice(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self._device.__exit__(*reason)

    def run(self, command: AtaCommand) -> AtaAnswer:
        """Carry a command out."""
        try:
            answer = self._device.run(
                command.encode(), reads=command.reads * SECTOR, sends=command.sends, seconds=command.seconds
            )
        except ScsiError as error:
            raise AtaError(str(error)) from error
        try:
            return registers_of(answer)
        except AtaError as error:
            raise AtaError(f"{self._path}: command {command.command:#x}: {error}") from error


def registers_of(answer: ScsiAnswer) -> AtaAnswer:
    """Return the registers after a command that went well; raises AtaError if it did not, or nobody knows.

    The registers alone do not tell: after a timeout or a reset of the link they hold what was there before,
    or zeros. The sense key does. After a read some controllers (QEMU's AHCI) still show that
    data is wanted, of which the kernel makes an error: there the data tells.
    """
    registers = AtaAnswer.decode(answer.sense, answer.data)
    if registers is None:
        raise AtaError("the bridge does not know ATA commands")
    key = answer.sense[2 if answer.sense[0] & 0x7F == _FIXED_SENSE else 1] & 0xF
    ended = any(answer.data) if answer.data else key in (_NO_SENSE, _RECOVERED_ERROR)
    if registers.status & _DEVICE_FAULT_OR_ERROR or not ended:
        raise AtaError(
            "the drive refused it, or did not end it: "
            f"sense key {key:#x}, status {registers.status:#x}, error {registers.error:#x}"
        )
    return registers


@dataclass(frozen=True, slots=True)
class AtaIdentity:
    """What IDENTIFY DEVICE says; the number is that of the word.

    Attributes:
        firmware: Its revision (23-26).
        smart: Whether SMART is on (85, bit 0).
        logs: Whether it knows READ LOG EXT (84 or 87, bit 5).
        rotational: Whether it says that it has platters (217).
        security: The feature set Security (128).
        sanitizes: Features of SANITIZE DEVICE it knows: ``crypto``, ``block``, ``overwrite`` (59).
        erase_seconds: How long SECURITY ERASE UNIT takes by its own estimate (89); None: it does not say.
        enhanced_seconds: Likewise in enhanced mode (90).
    """

    firmware: str
    smart: bool
    logs: bool
    rotational: bool
    security: Security
    sanitizes: frozenset[str]
    erase_seconds: float | None
    enhanced_seconds: float | None

    @classmethod
    def decode(cls, data: bytes) -> AtaIdentity:
        """Read the 512 bytes."""
        words = struct.unpack("<256H", data)
        sanitize = ((13, "crypto"), (15, "block"), (14, "overwrite")) if words[59] >> 12 & 1 else ()
        return cls(
            # Two characters a word, the first in the upper byte.
            firmware=struct.pack(">4H", *words[23:27]).decode("ascii", "replace").strip(),
            smart=bool(words[85] & 1),
            logs=bool((words[84] | words[87]) >> 5 & 1),
            rotational=words[217] in _ROTATION_RATES,
            security=Security.decode(words[128]),
            sanitizes=frozenset(name for bit, name in sanitize if words[59] >> bit & 1),
            erase_seconds=_erase_seconds(words[89]),
            enhanced_seconds=_erase_seconds(words[90]),
        )


@dataclass(frozen=True, slots=True)
class Security:
    """The state of the feature set Security (word 128)."""

    supported: bool
    enabled: bool
    locked: bool
    frozen: bool
    expired: bool
    enhanced: bool

    @classmethod
    def decode(cls, word: int) -> Security:
        """Read the word."""
        return cls(*(bool(word >> bit & 1) for bit in range(6)))


def _erase_seconds(word: int) -> float | None:
    """Read words 89 and 90: units of two minutes in 8 bits, or in 15 when bit 15 says so; all ones: more."""
    bits = 0x7FFF if word >> 15 else 0xFF
    value = word & bits
    return value * 120.0 if value else None


def identify(port: AtaPort) -> AtaIdentity:
    """Ask the drive what it is; raises AtaError."""
    data = port.run(AtaCommand(_IDENTIFY, reads=1)).data
    if not any(data):
        raise AtaError("the drive says nothing of itself")
    return AtaIdentity.decode(data)


def read_health(port: AtaPort) -> DiskHealth | None:
    """Read what SMART tells, or None if it is off; raises AtaError."""
    identity = identify(port)
    if not identity.smart:
        return None
    verdict = port.run(AtaCommand(_SMART, _SMART_STATUS, lba=_SMART_KEY)).lba & 0xFFFF00
    data = port.run(AtaCommand(_SMART, _SMART_READ, lba=_SMART_KEY, reads=1)).data
    wear = None
    if identity.logs and not identity.rotational:
        try:
            log = AtaCommand(
                _READ_LOG_EXT, lba=_STATISTICS_LOG | _STATISTICS_SSD << 8, extended=True, reads=1
            )
            wear = decode_wear(port.run(log).data)
        except AtaError:
            pass  # a drive that has logs need not have this one
    return decode_health(data, failing=verdict == _SMART_FAILING, wear=wear)


def decode_health(data: bytes, *, failing: bool, wear: int | None) -> DiskHealth:
    """Read the 512 bytes of SMART READ DATA: thirty attributes of twelve bytes, as all makers have them."""
    raw = {}
    for at in range(2, 2 + 30 * 12, 12):
        if data[at]:
            raw[data[at]] = int.from_bytes(data[at + 5 : at + 11], "little")
    known = [raw[number] for number in (_REALLOCATED, _PENDING, _UNCORRECTABLE) if number in raw]
    temperature = next((raw[number] & 0xFF for number in _TEMPERATURES if number in raw), None)
    return DiskHealth(
        "ata",
        wear_percent=wear,
        errors=sum(value & 0xFFFFFFFF for value in known) if known else None,
        hours=raw[_HOURS] & 0xFFFFFF if _HOURS in raw else None,  # some keep minutes in the upper bytes
        temperature=temperature or None,
        failing=("its SMART says that it is about to fail",) if failing else (),
    )


def decode_wear(page: bytes) -> int | None:
    """Read Percentage Used Endurance Indicator of Device Statistics, page 7 (A.5.8); None: not told."""
    (value,) = struct.unpack_from("<Q", page, 8)
    supported_and_valid = value >> 62 == 3
    return value & 0xFF if supported_and_valid else None
