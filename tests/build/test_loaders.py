"""Boot loaders out of Debian's packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostler.build.errors import PackageError
from hostler.build.loaders import build_loaders

CACHE = Path(__file__).parents[2] / "var" / "cache"
MACHINES = {"x64": b"\x64\x86", "aa64": b"\x64\xaa"}  # PE/COFF: Machine


@pytest.mark.parametrize(("arch", "word"), [("amd64", "x64"), ("arm64", "aa64")])
def test_loaders_are_those_of_the_architecture(arch: str, word: str) -> None:
    """EFI programs of that machine, and a record of the packages they are from."""
    files = build_loaders(arch, CACHE / "built", CACHE)
    programs = {name: path for name, path in files.items() if ".efi" in name}
    assert set(programs) == {f"shim{word}.efi", f"grub{word}.efi", f"linux{word}.efi.stub"}
    for path in programs.values():
        data = path.read_bytes()
        header = int.from_bytes(data[0x3C:0x40], "little")
        assert data[header : header + 6] == b"PE\0\0" + MACHINES[word]
    record = json.loads((path.parent / "packages.json").read_text())
    assert "shim-signed" in str(record)


def test_a_bios_gets_pxelinux_with_its_core() -> None:
    """One works only with the other of the same build."""
    files = build_loaders("amd64", CACHE / "built", CACHE)
    record = json.loads((files["lpxelinux.0"].parent / "packages.json").read_text())
    versions = {one["version"] for one in record if one["name"] in ("pxelinux", "syslinux-common")}
    assert len(versions) == 1
    assert b"\x7fELF" in files["ldlinux.c32"].read_bytes()[:4]


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    """It names those there are."""
    with pytest.raises(PackageError, match="amd64, arm64"):
        build_loaders("riscv64", tmp_path, tmp_path)
