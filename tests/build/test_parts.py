"""The parts of the builders that need no package: module closures, imports, cache, boot sectors."""

from __future__ import annotations

import errno
import os
import struct
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.build import elf, python_tree
from hostler.build.cache import kept, key_of, source_digest
from hostler.build.disk import TYPE_LINUX, DiskPart, assemble, starts
from hostler.build.errors import BuildError, PackageError, SpaceError, ToolFailedError, ToolMissingError
from hostler.build.hardware import agent_wants
from hostler.build.kernel import Module, closure, dependency_table
from hostler.build.tool import find, run
from hostler.images.disk_file import embed


def module(name: str, *depends: str, soft: tuple[str, ...] = ()) -> Module:
    return Module(f"drivers/{name}.ko", depends, soft, ())


def test_a_module_brings_what_it_needs() -> None:
    """Hard and soft dependencies come along, near and far; built-in ones are there already."""
    known = {
        "a": module("a", "b", "builtin_one"),
        "b": module("b", "c"),
        "c": module("c", soft=("d", "absent")),
        "d": module("d"),
        "e": module("e"),
    }
    assert closure(["a"], known, {"builtin_one"}) == ["a", "b", "c", "d"]
    with pytest.raises(PackageError, match="builtin_one"):
        closure(["a"], known, set())


def test_modules_dep_lists_the_first_to_load_last() -> None:
    """As depmod writes it: whatever stands later is needed by what stands before."""
    modules = [module("a", "b", "c"), module("b", "c"), module("c")]
    lines = dependency_table(modules).splitlines()
    assert lines[0] == "kernel/drivers/a.ko: kernel/drivers/b.ko kernel/drivers/c.ko"
    assert lines[2] == "kernel/drivers/c.ko:"


@given(st.binary(max_size=200))
def test_any_bytes_are_an_elf_file_or_an_error(data: bytes) -> None:
    """A damaged file is named as such, never an IndexError."""
    for content in (data, b"\x7fELF\x02\x01" + data):
        try:
            elf.needed(content)
            elf.modinfo(content)
        except elf.ElfError:
            pass


def test_reads_what_a_program_needs() -> None:
    """The libraries of a real program of this machine."""
    needed = elf.needed(Path(sys.executable).resolve().read_bytes())
    assert any(name.startswith("libc.so") for name in needed)


def test_wireless_and_firmware_cards_stay_out() -> None:
    """The choice of modules, by example."""
    assert agent_wants("amd64", "drivers/net/ethernet/intel/igb/igb.ko")
    assert agent_wants("arm64", "drivers/phy/rockchip/phy-rockchip-usb.ko")
    assert not agent_wants("amd64", "drivers/net/wireless/ath/ath.ko")
    assert not agent_wants("amd64", "drivers/net/ethernet/broadcom/bnx2x/bnx2x.ko")


def test_imports_are_followed() -> None:
    """Absolute, relative and lazy imports count; unwanted ones and names inside modules do not."""
    sources = {
        "p": b"",
        "p.__main__": b"from . import a\nfrom .sub.b import name\nimport ssl, _json",
        "p.a": b"def f():\n    import lazy.inner",
        "p.sub": b"from .. import c",
        "p.sub.b": b"name = 1",
        "p.c": b"",
        "lazy": b"",
        "lazy.inner": b"",
        "ssl": b"",
        "unused": b"",
    }
    found, native = python_tree.closure(
        ["p.__main__"], sources, frozenset({"p", "p.sub", "lazy"}), frozenset({"_json"})
    )
    assert found == set(sources) - {"ssl", "unused"}
    assert native == {"_json"}


def test_an_agent_that_does_not_parse_is_refused() -> None:
    """Better now than on the board."""
    with pytest.raises(BuildError, match="does not parse"):
        python_tree.closure(["p"], {"p": b"def ("}, frozenset(), frozenset())


def test_byte_code_is_the_same_every_time() -> None:
    """Sets in the source do not make the byte code depend on the hash seed."""
    sources = {f"m{number}.py": b"x = y in {'a', 'b', 'c', 'd', 'e', 'f'}\n" * 5 for number in range(5)}
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert python_tree.compiled(sources, version) == python_tree.compiled(sources, version)
    assert set(python_tree.compiled(sources, version)) == {f"m{number}.pyc" for number in range(5)}
    assert python_tree.compiled(sources, "1.0") == sources


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    """The result appears whole or not at all."""

    def fail(place: Path) -> None:
        (place / "half").write_text("x")
        raise BuildError("no")

    with pytest.raises(BuildError):
        kept(tmp_path, "thing", "k", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """ENOSPC names the place instead of a traceback."""

    def fail(_place: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SpaceError, match=str(tmp_path)):
        kept(tmp_path, "thing", "k", fail)


def test_two_at_once_build_once(tmp_path: Path) -> None:
    """The second waits for the first and takes its result."""
    made = []
    ready = threading.Event()

    def make(place: Path) -> None:
        made.append(place)
        ready.set()
        (place / "result").write_text("x")

    threads = [threading.Thread(target=kept, args=(tmp_path, "thing", "k", make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 1
    assert (tmp_path / "thing-k/result").read_text() == "x"


def test_keys_follow_the_sources() -> None:
    """The same inputs give the same key; the builder's own source is one of them."""
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert source_digest("hostler.build") != source_digest("hostler.build", "hostler.wire.newc")
    with pytest.raises(BuildError, match="nowhere"):
        source_digest("hostler.nowhere")


def test_tools_end_by_their_deadline() -> None:
    """A tool that hangs is killed with its children; one that fails is quoted; a missing one is named."""
    with pytest.raises(ToolFailedError, match="did not end within 1 s"):
        run(["sh", "-c", "sleep 60 & sleep 60"], deadline=1)
    with pytest.raises(ToolFailedError, match=r"(?s)status 3.*because"):
        run(["sh", "-c", "echo because >&2; exit 3"], deadline=10)
    with pytest.raises(SpaceError):
        run(["sh", "-c", "echo x: No space left on device >&2; exit 1"], deadline=10)
    with pytest.raises(ToolMissingError, match='Debian package "thing"'):
        find("no-such-tool", "thing")


def test_partitions_and_boot_code_share_the_first_sector(tmp_path: Path) -> None:
    """GRUB's sector keeps the protective partition table and points at core.img."""
    parts = [
        DiskPart("one", TYPE_LINUX, 1 << 20, "7d0c4a3e-5b0e-4d3f-9c5a-0b3a7f1e0011"),
        DiskPart("two", TYPE_LINUX, 2 << 20, "7d0c4a3e-5b0e-4d3f-9c5a-0b3a7f1e0012"),
    ]
    assert starts(parts) == [1 << 20, 2 << 20]
    image = tmp_path / "disk"
    assemble(image, parts, "7d0c4a3e-5b0e-4d3f-9c5a-0b3a7f1e0001")
    table = image.read_bytes()[440:512]
    core = bytes(range(256)) * 10
    embed(image, b"\xeb" * 512, core, 1 << 20, 1 << 20)
    data = image.read_bytes()
    assert data[440:512] == table
    assert struct.unpack_from("<Q", data, 0x5C) == (2048,)
    assert struct.unpack_from("<QHH", data, (1 << 20) + 500) == (2049, 4, 0x820)
    with pytest.raises(ValueError, match="core image"):
        embed(image, b"\0" * 512, b"\0" * 3000, 1 << 20, 1024)


def test_what_is_kept_is_for_everybody_to_read(tmp_path: Path):
    """Under the strictest umask, too: boards are served what was built."""

    def make(place: Path) -> None:
        (place / "dtb").mkdir()
        (place / "dtb" / "board").write_bytes(b"d")
        (place / "run").write_bytes(b"x")
        (place / "run").chmod(0o700)

    before = os.umask(0o077)
    try:
        final = kept(tmp_path, "agent", "k", make)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [final, *final.rglob("*")]}
    assert modes == {"agent-k": 0o755, "dtb": 0o755, "board": 0o644, "run": 0o744}
