"""Programs of UEFI firmware, as binutils reads and writes them."""

from __future__ import annotations

import re
import struct
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.wire import pe

if TYPE_CHECKING:
    from pathlib import Path

STUB = pe.program(pe.Machine.X64, b"\xc3" * 5000)
SECTIONS = (
    pe.Section(".osrel", 7),
    pe.Section(".cmdline", 30),
    pe.Section(".initrd", 9001),
    pe.Section(".linux", 5000, 70_000, code=True),
)
_ROW = re.compile(r"^\s*\d+\s+(\.\w+)\s+([0-9a-f]{8})\s+([0-9a-f]{16})\s+[0-9a-f]{16}\s+([0-9a-f]{8})", re.M)


def contents(sections: tuple[pe.Section, ...] = SECTIONS) -> list[bytes]:
    return [bytes((number,)) * section.size for number, section in enumerate(sections, 1)]


def put_together(stub: bytes, sections: tuple[pe.Section, ...] = SECTIONS) -> bytes:
    plan = pe.add_sections(stub, sections)
    parts = zip(contents(sections), plan.padding, strict=True)
    return plan.head + b"".join(content + bytes(padding) for content, padding in parts)


def objdump(path: Path, *options: str) -> str:
    done = subprocess.run(
        ["objdump", *options, str(path)], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def sections_of(path: Path) -> dict[str, tuple[int, int, int]]:
    """Size, address and place in the file of each section."""
    rows = _ROW.findall(objdump(path, "-h"))
    return {name: (int(size, 16), int(address, 16), int(at, 16)) for name, size, address, at in rows}


def test_binutils_finds_what_was_added(tmp_path: Path) -> None:
    """Each section is at a page, none lies over another, and its bytes are where the header says."""
    file = tmp_path / "image.efi"
    file.write_bytes(put_together(STUB))
    found = sections_of(file)
    assert list(found) == [".text", ".osrel", ".cmdline", ".initrd", ".linux"]
    end = 0
    for section, content in zip(SECTIONS, contents(), strict=True):
        size, address, at = found[section.name]
        assert address % 4096 == 0
        assert address >= end
        assert size >= section.size
        assert file.read_bytes()[at : at + section.size] == content
        end = address + max(section.size, section.memory)
    assert f"SizeOfImage\t\t{-(-end // 4096) * 4096:08x}" in objdump(file, "-p")
    assert pe.image_size(file.read_bytes()[: pe.HEADER_BYTES]) == -(-end // 4096) * 4096


def test_objcopy_would_add_the_same(tmp_path: Path) -> None:
    """Told the same addresses, it makes sections of the same sizes, flags and contents."""
    ours, stub, theirs = tmp_path / "ours.efi", tmp_path / "stub.efi", tmp_path / "theirs.efi"
    sections = tuple(pe.Section(section.name, section.size) for section in SECTIONS)
    ours.write_bytes(put_together(STUB, sections))
    stub.write_bytes(STUB)
    arguments = []
    for section, content in zip(sections, contents(), strict=True):
        part = tmp_path / section.name[1:]
        part.write_bytes(content)
        address = sections_of(ours)[section.name][1]
        arguments += ["--add-section", f"{section.name}={part}"]
        arguments += ["--set-section-flags", f"{section.name}=alloc,load,readonly,data"]
        arguments += ["--change-section-vma", f"{section.name}={address:#x}"]
    subprocess.run(["objcopy", *arguments, str(stub), str(theirs)], check=True, timeout=30)
    for name, (size, address, at) in sections_of(theirs).items():
        mine = sections_of(ours)[name]
        assert mine[1] == address
        mine_there = ours.read_bytes()[mine[2] :][:size].rstrip(b"\0")
        assert mine_there == theirs.read_bytes()[at:][:size].rstrip(b"\0")
    sizes = [re.search(r"SizeOfImage\s+(\w+)", objdump(file, "-p")) for file in (ours, theirs)]
    assert sizes[0] is not None
    assert sizes[1] is not None
    assert sizes[0][1] == sizes[1][1]


def test_a_program_is_an_efi_application(tmp_path: Path) -> None:
    """Its first instruction is where it begins, and it needs no relocation."""
    file = tmp_path / "program.efi"
    file.write_bytes(STUB)
    text = objdump(file, "-p")
    assert "(EFI application)" in text
    assert re.search(r"AddressOfEntryPoint\s+0+1000\b", text)
    assert sections_of(file)[".text"][1:] == (4096, 4096)
    assert pe.machine_of(pe.program(pe.Machine.ARM64, b"\0")) == 0xAA64


def test_the_stub_stays_as_it_is() -> None:
    """All but the headers; what lies behind its last section too."""
    stub = STUB + b"symbols"
    plan = pe.add_sections(stub, SECTIONS)
    assert plan.head[4096 : len(stub)] == stub[4096:]
    assert len(plan.head) % 4096 == 0


@pytest.mark.parametrize(
    ("stub", "sections", "words"),
    [
        (b"", SECTIONS, "ends within its headers"),
        (b"ELF" + bytes(5000), SECTIONS, "no PE program"),
        (STUB[:200], SECTIONS, "ends within its headers"),
        (STUB, (pe.Section(".nine9999", 1),), "longer than eight"),
        (STUB, (pe.Section(".a", 1),) * 200, "no room for 200 more"),
        (STUB, (pe.Section(".a", 3 << 30), pe.Section(".b", 2 << 30)), "more than a program can have"),
    ],
)
def test_what_cannot_be_done_is_said(stub: bytes, sections: tuple[pe.Section, ...], words: str) -> None:
    """Nothing half right is made."""
    with pytest.raises(pe.PeError, match=words):
        pe.add_sections(stub, sections)


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(0, 300), st.integers(0, 0xFFFFFFFF))
def test_any_bytes_are_read_or_refused(noise: bytes, at: int, number: int) -> None:
    """A file somebody registered as a kernel is no reason to fail otherwise than by saying so."""
    spoiled = bytearray(STUB)
    struct.pack_into("<I", spoiled, at, number)
    for data in (noise, bytes(spoiled), bytes(spoiled[:at])):
        with suppress(pe.PeError):
            assert len(pe.add_sections(data, SECTIONS).head) < 100_000
