"""A unified kernel image is made for the board that asks, and says on its screen when it cannot be."""

from __future__ import annotations

import re
import struct
import subprocess
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.model.trace import TraceEvent
from hostler.netboot.boot_files import BootFiles
from hostler.netboot.hold_efi import HOLD_PROGRAMS
from hostler.netboot.http_names import NamedFiles
from hostler.netboot.refused import Refused
from hostler.netboot.table import BootTable, NetworkConfig, Target
from hostler.wire import pe

MAC = "52:54:00:00:00:01"
NETWORK = NetworkConfig(
    "bench", "br0", IPv4Interface("10.77.0.1/24"), IPv4Address("10.77.0.100"), IPv4Address("10.77.0.200")
)
ME, NOBODY = IPv4Address("10.77.0.101"), IPv4Address("10.77.0.102")
LEASES = {ME: MAC, NOBODY: "52:54:00:00:00:02"}
STUB, KERNEL = (pe.program(pe.Machine.X64, code) for code in (b"\xc3stub", b"\xc3kernel" * 2000))


@pytest.fixture
def table(tmp_path: Path) -> BootTable:
    table = BootTable()
    for name, content in (("s", STUB), ("k", KERNEL), ("i", b"initramfs" * 999)):
        (tmp_path / name).write_bytes(content)
        table.put_artefact(name, tmp_path / name)
    table.put(
        Target("b1", "x86-uefi", "amd64", (MAC,), intent=BootIntent.STEP, boot="boot-1", token="t0ken",
               kernel="k", initrd="i", cmdline="console=ttyS0", files={"linuxx64.efi.stub": "s"},
               loader=Loader.UKI)
    )  # fmt: skip
    return table


def change(table: BootTable, **fields: object) -> None:
    target = table.by_mac(MAC)
    assert target is not None
    table.put(replace(target, **fields))  # type: ignore[arg-type]


def read(table: BootTable, name: str = "uki.efi", client: IPv4Address = ME) -> bytes | None:
    file = BootFiles(table, [NETWORK], LEASES.get, {}).open(client, name)
    if file is None:
        return None
    with file:
        return file.read_at(0, file.size)


def section(image: bytes, name: str, folder: Path) -> bytes:
    """One section's content, taken out by binutils."""
    (folder / "image").write_bytes(image)
    out = folder / "out"
    command = ["objcopy", "-O", "binary", f"--only-section={name}", str(folder / "image"), str(out)]
    subprocess.run(command, check=True, timeout=30)
    return out.read_bytes()


def shown(program: bytes | None) -> str:
    """What a hold program prints: its only UTF-16 text."""
    assert program is not None
    match = re.search(rb"\r\0\n\0(?:[^\0]\0)+", program)
    assert match is not None
    return match[0].decode("utf-16-le").strip()


def test_everything_is_in_its_section(table: BootTable, tmp_path: Path) -> None:
    """The stub looks for it there; the configuration comes before the initramfs, the kernel last."""
    image = read(table)
    assert image is not None
    assert section(image, ".cmdline", tmp_path).rstrip(b"\0") == b"console=ttyS0"
    assert section(image, ".linux", tmp_path)[: len(KERNEL)] == KERNEL
    initrd = section(image, ".initrd", tmp_path)
    assert b"t0ken" in initrd[:1000]
    assert initrd.rstrip(b"\0").endswith(b"initramfs" * 999)
    assert b"ID=hostler" in section(image, ".osrel", tmp_path)
    assert image.endswith(KERNEL)


@pytest.mark.parametrize("machine", HOLD_PROGRAMS)
def test_who_is_held_reads_why(table: BootTable, machine: str) -> None:
    """A machine nobody knows too; the program is for the processor in its name."""
    change(table, intent=BootIntent.HOLD, message='Board "b1" is held: nobody has claimed it.')
    assert shown(read(table)).startswith("Hostler: b1: Board ?b1? is held")
    program = read(table, machine, NOBODY)
    assert shown(program).startswith("Hostler: unknown machine: nobody knows this machine yet")
    assert program is not None
    assert pe.machine_of(program) == HOLD_PROGRAMS[machine]
    assert read(table, client=NOBODY) is None, "no image is for a machine nobody knows"


def test_for_its_disk_there_is_no_file(table: BootTable) -> None:
    """Firmware goes on with the next entry of its boot order when this one fails."""
    change(table, intent=BootIntent.LOCAL)
    assert read(table) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"files": {}}, "linuxx64.efi.stub is not registered"),
        ({"kernel": None}, "no kernel and initramfs are registered"),
        ({"kernel": "gone"}, "kernel is not registered"),
        ({"initrd": "gone"}, "initramfs is not registered"),
        ({"kernel": "i"}, "no PE program"),
        ({"arch": "arm64", "files": {"linuxaa64.efi.stub": "a"}}, "another processor"),
        ({"token": None}, "no boot yet"),
    ],
)
def test_an_image_that_cannot_be_made_is_a_program_that_says_why(
    table: BootTable, tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    """Rather that than a board that goes on to its disk in the midst of a run."""
    (tmp_path / "a").write_bytes(pe.program(pe.Machine.ARM64, struct.pack("<I", 0x14000000)))
    table.put_artefact("a", tmp_path / "a")
    change(table, **fields)
    assert words in shown(read(table))


async def test_the_trace_says_what_was_in_it(table: BootTable) -> None:
    """One name stands for the agent and for the program that waits; told for its disk it is no such file."""
    events: list[TraceEvent] = []
    named = NamedFiles(BootFiles(table, [NETWORK], LEASES.get, {}).open, events.append)
    request = make_mocked_request("HEAD", "/boot/uki.efi")
    for intent in (BootIntent.STEP, BootIntent.HOLD, BootIntent.LOCAL):
        change(table, intent=intent)
        with suppress(Refused):
            await named.answer(request, "uki.efi", ME, table.by_mac(MAC), MAC)
    assert [event.data["intent"] for event in events] == ["step", "hold", "local"]
    assert {event.text for event in events} == {
        f"b1: uki.efi asked for; told: {intent}" for intent in ("step", "hold", "local")
    }


def test_a_kernel_that_is_gone_from_the_disk_is_named(table: BootTable, tmp_path: Path) -> None:
    """The file was there when it was registered."""
    (tmp_path / "k").unlink()
    assert "no image can be made" in shown(read(table))
