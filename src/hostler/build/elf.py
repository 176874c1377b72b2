"""The few things of 64-bit little-endian ELF files that decide what belongs in an initramfs.

Source: System V gABI chapters 4 and 5; `.modinfo` as scripts/mod/modpost.c of the kernel writes it.
"""

from __future__ import annotations

import struct

_IDENT = b"\x7fELF\x02\x01"
_SECTION = struct.Struct("<IIQQQQIIQQ")
_TYPE_DYNAMIC = 6
_TAG_NEEDED = 1


class ElfError(ValueError):
    """Not a 64-bit little-endian ELF file, or a damaged one."""


def is_elf(data: bytes) -> bool:
    """Whether it is a file this module reads."""
    return data.startswith(_IDENT)


def needed(data: bytes) -> list[str]:
    """Names of the shared libraries that a program or library asks for (DT_NEEDED)."""
    for kind, _, offset, size, link in _sections(data):
        if kind != _TYPE_DYNAMIC:
            continue
        strings = _section(data, link)
        names = []
        for tag, value in struct.iter_unpack("<qQ", data[offset : offset + size - size % 16]):
            if tag == _TAG_NEEDED:
                names.append(_string(data, strings[2] + value))
        return names
    return []


def modinfo(data: bytes) -> list[tuple[str, str]]:
    """Key and value pairs of a kernel module (``alias``, ``depends``, ``softdep`` …), in file order."""
    sections = _sections(data)
    names = _section(data, struct.unpack_from("<H", data, 62)[0])
    for _, name, offset, size, _ in sections:
        if _string(data, names[2] + name) == ".modinfo":
            words = data[offset : offset + size].split(b"\0")
            pairs = (word.decode(errors="replace").partition("=") for word in words if word)
            return [(key, value) for key, _, value in pairs]
    return []


def _sections(data: bytes) -> list[tuple[int, int, int, int, int]]:
    """Type, name offset, file offset, size and link of every section."""
    if not is_elf(data):
        raise ElfError("not a 64-bit little-endian ELF file")
    try:
        (table,) = struct.unpack_from("<Q", data, 40)
        size, count = struct.unpack_from("<HH", data, 58)
        found = []
        for index in range(count):
            name, kind, _, _, offset, length, link, _, _, _ = _SECTION.unpack_from(data, table + index * size)
            found.append((kind, name, offset, length, link))
    except struct.error as error:
        raise ElfError(f"damaged ELF file: {error}") from error
    return found


def _section(data: bytes, index: int) -> tuple[int, int, int, int, int]:
    sections = _sections(data)
    if index >= len(sections):
        raise ElfError(f"damaged ELF file: no section {index}")
    return sections[index]


def _string(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset)
    if end < 0:
        raise ElfError("damaged ELF file: a name without an end")
    return data[offset:end].decode(errors="replace")
