"""SCSI commands to a block device, by the kernel's SG_IO.

``struct sg_io_hdr`` is that of <scsi/sg.h>, version 3.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

_SG_IO = 0x2285
_HEADER = struct.Struct("<iiBBHIQQQIIi4xQBBBBHHiII4x")
_NO_DATA, _TO_DEVICE, _FROM_DEVICE = -1, -2, -3
_SENSE_BYTES = 64
_STATUS_AT, _HOST_AT = 64, 68


class ScsiError(Exception):
    """The command did not get to the disk; the message says which and why."""


@dataclass(frozen=True, slots=True)
class ScsiAnswer:
    """What came of a command.

    Attributes:
        status: SCSI status (SAM-5 5.3): 0 good, 2 look at the sense.
        sense: Sense data, zeros behind its end.
        data: What was read.
    """

    status: int
    sense: bytes
    data: bytes


class ScsiDevice:
    """A disk that takes SCSI commands, such as ``/dev/sda``; raises OSError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def run(self, command: bytes, *, reads: int = 0, sends: bytes = b"", seconds: float = 15.0) -> ScsiAnswer:
        """Carry out a command that reads so many bytes, or sends some; raises ScsiError."""
        data = ctypes.create_string_buffer(sends, max(reads, len(sends), 1))
        cdb = ctypes.create_string_buffer(command, len(command))
        sense = ctypes.create_string_buffer(_SENSE_BYTES)
        pointers = ctypes.addressof(data), ctypes.addressof(cdb), ctypes.addressof(sense)
        request = bytearray(encode(len(command), reads, len(sends), seconds, pointers))
        try:
            fcntl.ioctl(self._fd, _SG_IO, request)
        except OSError as error:
            raise ScsiError(f"{self._path}: SCSI command {command[0]:#x}: {error.strerror}") from error
        (host,) = struct.unpack_from("<H", request, _HOST_AT)
        if host:  # DID_TIME_OUT and the like
            raise ScsiError(f"{self._path}: SCSI command {command[0]:#x}: the host adapter says {host:#x}")
        return ScsiAnswer(request[_STATUS_AT], sense.raw, data.raw[:reads])


def encode(
    command_length: int, reads: int, sends: int, seconds: float, pointers: tuple[int, int, int]
) -> bytes:
    """Return the header as the kernel takes it; ``pointers`` to data, command and sense."""
    direction = _FROM_DEVICE if reads else _TO_DEVICE if sends else _NO_DATA
    data, command, sense = pointers
    return _HEADER.pack(
        ord("S"), direction, command_length, _SENSE_BYTES, 0, reads or sends, data if reads or sends else 0,
        command, sense, round(seconds * 1000), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
