"""Programs of UEFI firmware: sections put behind those of a stub, and a program around a little code.

Source: Microsoft PE Format (COFF file header, PE32+ optional header, section table); the sections of a
unified kernel image: UAPI Group Specification 5, and ``systemd-stub``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PE_OFFSET = 0x3C  # in the DOS header: where the PE header is
_FILE_HEADER = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_PE32_PLUS = 0x20B
# Within the optional header.
_INITIALISED, _SECTION_ALIGNMENT, _IMAGE_SIZE, _CHECKSUM = 8, 32, 56, 64
_CODE, _DATA, _EXECUTE, _READ = 0x20, 0x40, 0x20000000, 0x40000000
_PAGE = 0x1000
_MOST = 0xFFFFFFFF
_WIDEST = 0x10000  # the widest that the format allows in a file, and that firmware uses in memory
HEADER_BYTES = 4096
"""So much of a program's beginning holds its headers, in every program this module reads."""


class PeError(ValueError):
    """This is no program of the expected kind, or these sections do not go into it; the text says why."""


class Machine(IntEnum):
    """Processors, by their number in the file header."""

    X64 = 0x8664
    ARM64 = 0xAA64


@dataclass(frozen=True, slots=True)
class Section:
    """One section to be added.

    Attributes:
        name: At most eight bytes, with its dot.
        size: Bytes it has in the file.
        memory: Bytes it needs in memory; 0: as many.
        code: Whether the processor may run it.
    """

    name: str
    size: int
    memory: int = 0
    code: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The bytes around the contents of the sections added.

    Attributes:
        head: Before the first one: the stub with its headers changed.
        padding: How many zero bytes follow each content.
    """

    head: bytes
    padding: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Headers:
    """Where the headers of a program are, and what they say."""

    machine: int
    optional: int
    table: int
    count: int
    section_alignment: int
    file_alignment: int
    image_size: int
    headers_size: int


def image_size(program: bytes) -> int:
    """Return how many bytes of memory a program needs, from its first ``HEADER_BYTES`` bytes.

    Raises:
        PeError: They are not those of a 64-bit PE program.
    """
    return _headers(program).image_size


def machine_of(program: bytes) -> int:
    """Return the number of the processor that a program is for, from its first ``HEADER_BYTES`` bytes.

    Raises:
        PeError: They are not those of a 64-bit PE program.
    """
    return _headers(program).machine


def add_sections(stub: bytes, sections: Sequence[Section]) -> Layout:
    """Lay out a program that is a stub with more sections behind its own.

    Raises:
        PeError: The stub is no 64-bit PE program, has no room for so many, or all is too big.
    """
    headers = _headers(stub)
    end = headers.table + (headers.count + len(sections)) * _SECTION.size
    if end > min(headers.headers_size, len(stub)):
        raise PeError(f"the stub's headers have no room for {len(sections)} more sections")
    present = [
        _SECTION.unpack_from(stub, headers.table + number * _SECTION.size) for number in range(headers.count)
    ]
    # A stub may say that it need not be loaded at page boundaries. What is added is: a kernel is run there.
    alignment = max(headers.section_alignment, _PAGE)
    address = max([headers.headers_size, *(section[2] + section[1] for section in present)])
    offset = _up(len(stub), headers.file_alignment)
    head = bytearray(stub.ljust(offset, b"\0"))
    padding = []
    for number, section in enumerate(sections, headers.count):
        name = section.name.encode()
        if len(name) > 8:
            raise PeError(f"a section cannot be called {section.name}: that is longer than eight bytes")
        address = _up(address, alignment)
        memory, raw = max(section.size, section.memory), _up(section.size, headers.file_alignment)
        if max(offset + raw, address + memory) > _MOST:
            raise PeError(f"{offset + raw >> 20} MiB are more than a program can have")
        flags = _READ | _DATA | (_CODE | _EXECUTE if section.code else 0)
        _SECTION.pack_into(
            head, headers.table + number * _SECTION.size,
            name, memory, address, raw, offset if raw else 0, 0, 0, 0, 0, flags,
        )  # fmt: skip
        padding.append(raw - section.size)
        address += memory
        offset += raw
    file_header = _FILE_HEADER.unpack_from(head, headers.optional - _FILE_HEADER.size)
    _FILE_HEADER.pack_into(
        head, headers.optional - _FILE_HEADER.size,
        *file_header[:2], headers.count + len(sections), *file_header[3:],
    )  # fmt: skip
    initialised = (
        _number(head, headers.optional + _INITIALISED) + offset - _up(len(stub), headers.file_alignment)
    )
    for field, value in (
        (_INITIALISED, initialised),
        (_IMAGE_SIZE, _up(address, headers.section_alignment)),
        (_CHECKSUM, 0),  # not computed: firmware looks at it in drivers of Windows only
    ):
        struct.pack_into("<I", head, headers.optional + field, value & _MOST)
    return Layout(bytes(head), tuple(padding))


def program(machine: Machine, code: bytes) -> bytes:
    """Return an EFI application of one section that begins with its first instruction.

    The code must run wherever it is loaded: there are no relocations.
    """
    alignment = _PAGE
    raw = _up(len(code), alignment)
    dos = b"MZ".ljust(_PE_OFFSET, b"\0") + struct.pack("<I", 64)
    file_header = _FILE_HEADER.pack(b"PE\0\0", machine, 1, 0, 0, 0, 112 + 16 * 8, 0x0022)  # executable, large
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        _PE32_PLUS, 0, 0, raw, 0, 0, alignment, alignment, 0, alignment, alignment, 0, 0, 0, 0, 0, 0, 0,
        alignment + raw, alignment, 0,
        10,  # EFI application
        0, 0, 0, 0, 0, 0, 16,
    ) + bytes(16 * 8)  # fmt: skip
    section = _SECTION.pack(
        b".text", len(code), alignment, raw, alignment, 0, 0, 0, 0, _CODE | _EXECUTE | _READ
    )
    return (dos + file_header + optional + section).ljust(alignment, b"\0") + code.ljust(raw, b"\0")


def _headers(data: bytes) -> _Headers:
    try:
        at = _number(data, _PE_OFFSET)
        signature, machine, count, _, _, _, size, _ = _FILE_HEADER.unpack_from(data, at)
        optional = at + _FILE_HEADER.size
        (magic,) = struct.unpack_from("<H", data, optional)
        section_alignment, file_alignment = struct.unpack_from("<II", data, optional + _SECTION_ALIGNMENT)
        image, headers = struct.unpack_from("<II", data, optional + _IMAGE_SIZE)
        table = optional + size
        _SECTION.unpack_from(data, table + (count - 1) * _SECTION.size)
    except struct.error:
        raise PeError("it is no PE program: it ends within its headers") from None
    if data[:2] != b"MZ" or signature != b"PE\0\0":
        raise PeError("it is no PE program")
    if magic != _PE32_PLUS:
        raise PeError("it is no 64-bit PE program")
    for alignment in (file_alignment, section_alignment):
        if not 0 < alignment <= _WIDEST or alignment & (alignment - 1):
            raise PeError(f"it is no PE program that can be loaded: it is aligned to {alignment} bytes")
    if not count:
        raise PeError("it is no PE program that can be loaded: it has no section")
    return _Headers(machine, optional, table, count, section_alignment, file_alignment, image, headers)


def _number(data: bytes | bytearray, at: int) -> int:
    value: int = struct.unpack_from("<I", data, at)[0]
    return value


def _up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
