"""NVMe admin commands, by the kernel's pass-through, and what their answers say.

Numbers are those of the NVM Express Base Specification 1.4: section 5.14 (Get Log Page), 5.15 (Identify),
5.23 (Format NVM), 5.24 (Sanitize). ``struct nvme_passthru_cmd`` is that of <linux/nvme_ioctl.h>.
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
    from pathlib import Path
    from typing import Self

_IOCTL_ID = 0x4E40
_IOCTL_ADMIN = 0xC0484E41
_PASSTHRU = struct.Struct("<BBHIIIQQIIIIIIIIII")

_GET_LOG_PAGE, _IDENTIFY, _FORMAT, _SANITIZE = 0x02, 0x06, 0x80, 0x84
_LOG_SMART, _LOG_SANITIZE = 0x02, 0x81
_ALL_NAMESPACES = 0xFFFFFFFF
_NOT_REPORTED = 0xFFFFFFFF
_KELVIN = 273
_DEFAULT_SECONDS = 15.0

SANITIZE_EXIT_FAILURE, SANITIZE_BLOCK_ERASE, SANITIZE_OVERWRITE, SANITIZE_CRYPTO_ERASE = 1, 2, 3, 4
"""Sanitize actions (SANACT)."""
ERASE_USER_DATA, ERASE_CRYPTO = 1, 2
"""Secure erase settings of Format NVM (SES)."""

_WARNINGS = (  # bits of Critical Warning, figure 194
    "its spare blocks are nearly used up",
    "it is too hot or too cold",
    "its reliability is degraded by media or internal errors",
    "it has become read-only",
    "the backup of its volatile memory has failed",
)
_TEMPERATURE_BIT = 1  # hot is a matter of the board, and passes


class NvmeError(Exception):
    """The drive refused a command, or the kernel did; the message says which and why."""


@dataclass(frozen=True, slots=True)
class AdminCommand:
    """One admin command that reads at most one buffer.

    Attributes:
        opcode: What to do.
        nsid: The namespace; 0: none.
        cdw10: First command-specific word.
        cdw11: Second one.
        length: Bytes the drive answers with.
        seconds: Longest time it may take.
    """

    opcode: int
    nsid: int = 0
    cdw10: int = 0
    cdw11: int = 0
    length: int = 0
    seconds: float = _DEFAULT_SECONDS

    def encode(self, address: int) -> bytes:
        """Return it as the kernel takes it, with the address of the buffer for the answer."""
        milliseconds = round(self.seconds * 1000)
        return _PASSTHRU.pack(
            self.opcode, 0, 0, self.nsid, 0, 0, 0, address if self.length else 0, 0, self.length,
            self.cdw10, self.cdw11, 0, 0, 0, 0, milliseconds, 0,
        )  # fmt: skip


class NvmePort(Protocol):
    """Where admin commands go; a namespace's."""

    @property
    def nsid(self) -> int:
        """Number of the namespace."""
        ...

    def admin(self, command: AdminCommand) -> bytes:
        """Carry a command out and return the answer; raises NvmeError."""
        ...


class KernelNvme:
    """The namespace behind a block device, such as ``/dev/nvme0n1``; raises OSError if there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.nsid: int = fcntl.ioctl(self._fd, _IOCTL_ID)
        except OSError:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def admin(self, command: AdminCommand) -> bytes:
        """Carry a command out; the ioctl returns the drive's status, or fails with errno."""
        buffer = ctypes.create_string_buffer(max(command.length, 1))
        request = bytearray(command.encode(ctypes.addressof(buffer)))
        try:
            status: int = fcntl.ioctl(self._fd, _IOCTL_ADMIN, request)
        except OSError as error:
            raise NvmeError(f"{self._path}: NVMe command {command.opcode:#x}: {error.strerror}") from error
        if status:
            raise NvmeError(f"{self._path}: NVMe command {command.opcode:#x}: status {status & 0x7FF:#x}")
        return buffer.raw[: command.length]


@dataclass(frozen=True, slots=True)
class Controller:
    """What Identify Controller says (figure 251).

    Attributes:
        firmware: Its revision.
        formats: Whether it knows Format NVM.
        erases_all: Whether a secure erase by Format NVM concerns every namespace.
        format_crypto: Whether Format NVM can erase by forgetting the key.
        sanitizes: The sanitize actions it knows.
        firmware: Revision of its firmware.
    """

    firmware: str
    formats: bool
    erases_all: bool
    format_crypto: bool
    sanitizes: frozenset[int]

    @classmethod
    def decode(cls, data: bytes) -> Controller:
        """Read 4096 bytes of Identify Controller."""
        (oacs,), (sanicap,), fna = (
            struct.unpack_from("<H", data, 256),
            struct.unpack_from("<I", data, 328),
            data[524],
        )
        actions = ((0, SANITIZE_CRYPTO_ERASE), (1, SANITIZE_BLOCK_ERASE), (2, SANITIZE_OVERWRITE))
        return cls(
            firmware=data[64:72].decode("ascii", "replace").strip(),
            formats=bool(oacs & 2),
            erases_all=bool(fna & 2),  # bit 0 is about a format without a secure erase
            format_crypto=bool(fna & 4),
            sanitizes=frozenset(action for bit, action in actions if sanicap >> bit & 1),
        )


@dataclass(frozen=True, slots=True)
class SanitizeStatus:
    """What the Sanitize Status log says (figure 241).

    Attributes:
        in_progress: Whether the drive is at it; it goes on by itself after a loss of power.
        failed: Whether the last one failed.
        done: How much of it is done, 0 to 1.
        seconds: The drive's own estimate for each action; an action is absent where it gives none.
    """

    in_progress: bool
    failed: bool
    done: float
    seconds: dict[int, int]

    @classmethod
    def decode(cls, data: bytes) -> SanitizeStatus:
        """Read the first 20 bytes of the log."""
        progress, status, _, overwrite, block, crypto = struct.unpack_from("<HHIIII", data)
        estimates = (
            (SANITIZE_OVERWRITE, overwrite), (SANITIZE_BLOCK_ERASE, block), (SANITIZE_CRYPTO_ERASE, crypto),
        )  # fmt: skip
        return cls(
            in_progress=status & 7 == 2,
            failed=status & 7 == 3,
            done=progress / 65536,
            seconds={action: value for action, value in estimates if value not in (0, _NOT_REPORTED)},
        )


def identify_controller(port: NvmePort) -> Controller:
    """Ask the drive what it is; raises NvmeError."""
    return Controller.decode(port.admin(AdminCommand(_IDENTIFY, cdw10=1, length=4096)))


def read_health(port: NvmePort) -> DiskHealth:
    """Read SMART / Health Information (5.14.1.2); raises NvmeError."""
    return decode_health(port.admin(_log(_LOG_SMART, 512)))


def decode_health(data: bytes) -> DiskHealth:
    """Read the 512 bytes of SMART / Health Information."""
    warning, kelvin, spare, _threshold, used = struct.unpack_from("<BHBBB", data)
    failing = [text for bit, text in enumerate(_WARNINGS) if warning >> bit & 1 and bit != _TEMPERATURE_BIT]
    return DiskHealth(
        "nvme",
        wear_percent=used,
        spare_percent=spare,
        errors=_counter(data[160:176]),
        hours=_counter(data[128:144]),
        temperature=kelvin - _KELVIN if kelvin else None,
        failing=tuple(failing),
    )


def _counter(data: bytes) -> int:
    """Read one of 128 bits as far as a JSON number goes for everybody."""
    return min(int.from_bytes(data, "little"), 2**63 - 1)


def sanitize_status(port: NvmePort) -> SanitizeStatus:
    """Read how the last or present sanitize is doing; raises NvmeError."""
    return SanitizeStatus.decode(port.admin(_log(_LOG_SANITIZE, 512)))


def sanitize(port: NvmePort, action: int) -> None:
    """Begin to sanitize; the command returns at once, ``sanitize_status`` tells the rest. Raises NvmeError.

    Unrestricted exit (AUSE) is allowed, so that a drive on which it fails is not locked up for good. One pass
    when overwriting, with zeros.
    """
    allow_exit, one_pass = 1 << 3, 1 << 4
    extra = one_pass if action == SANITIZE_OVERWRITE else 0
    port.admin(AdminCommand(_SANITIZE, cdw10=action | allow_exit | extra))


def format_namespace(port: NvmePort, erase: int, seconds: float) -> None:
    """Format the namespace as it is formatted now, with a secure erase; raises NvmeError."""
    data = port.admin(AdminCommand(_IDENTIFY, port.nsid, length=4096))
    port.admin(AdminCommand(_FORMAT, port.nsid, cdw10=format_word(data, erase), seconds=seconds))


def format_word(namespace: bytes, erase: int) -> int:
    """Return CDW10 of Format NVM that keeps the LBA format and protection of an Identify Namespace answer."""
    flbas, protection = namespace[26], namespace[29]
    return (
        flbas & 0xF  # LBA format
        | (flbas >> 4 & 1) << 4  # metadata at the end of the data
        | (protection & 7) << 5
        | (protection >> 3 & 1) << 8  # protection information in the first bytes of metadata
        | erase << 9
        | (flbas >> 5 & 3) << 12  # upper bits of the LBA format
    )


def _log(page: int, length: int) -> AdminCommand:
    return AdminCommand(_GET_LOG_PAGE, _ALL_NAMESPACES, cdw10=page | (length // 4 - 1) << 16, length=length)
