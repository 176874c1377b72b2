"""The legacy image format of U-Boot (``include/image.h``), as far as a script needs it: ``boot.scr``.

A header of 64 bytes, all numbers big endian: magic, CRC-32 of the header, time, size, load and entry address,
CRC-32 of the data, then operating system, architecture, type, compression and a name. The data of a script is
the length of its text, a zero that ends the list of lengths, and the text.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum

MAX_NAME = 32

_MAGIC = 0x27051956
_HEADER = struct.Struct(">7I4B32s")
_LINUX, _SCRIPT, _NO_COMPRESSION = 5, 6, 0


class Architecture(IntEnum):
    """``IH_ARCH_*`` of U-Boot. It does not look at it when it runs a script."""

    ARM = 2
    ARM64 = 22


def script(text: str, name: str, architecture: Architecture = Architecture.ARM64) -> bytes:
    """Return a script as U-Boot's ``source`` takes it; what ``mkimage -T script`` makes, at time 0.

    Args:
        text: Commands, one a line.
        name: What U-Boot calls it; cut to ``MAX_NAME`` bytes.
        architecture: What it is for.
    """
    code = text.encode()
    data = struct.pack(">II", len(code), 0) + code
    fields = (len(data), 0, 0, zlib.crc32(data), _LINUX, architecture, _SCRIPT, _NO_COMPRESSION)
    label = name.encode("ascii", "replace")[:MAX_NAME]
    blank = _HEADER.pack(_MAGIC, 0, 0, *fields, label)
    return _HEADER.pack(_MAGIC, zlib.crc32(blank), 0, *fields, label) + data
