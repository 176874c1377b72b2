"""The tool pack is made of Debian's packages and runs by itself."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from hostler.build import elf
from hostler.build.tool_pack import PACK_NAME, TOOLS, build_tool_pack

CACHE = Path(__file__).parents[2] / "var" / "cache"


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_a_pack_has_all_its_programs_need(arch: str, tmp_path: Path) -> None:
    """Every library that a program or library asks for is in it, and it fits a board of 512 MB many times."""
    pack = build_tool_pack(arch, CACHE / "built", CACHE)[PACK_NAME]
    plain = tmp_path / "plain.tar"
    with pack.open("rb") as packed, plain.open("wb") as file:
        zstandard.ZstdDecompressor().copy_stream(packed, file)
    assert plain.stat().st_size < 20 << 20
    with tarfile.open(plain) as tar:
        tar.extractall(tmp_path)  # noqa: S202  (our own; Debian 12 knows no filter yet)
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == sorted(TOOLS)
    there = {path.name for path in (tmp_path / "lib").iterdir()}
    for path in [*(tmp_path / "bin").iterdir(), *(tmp_path / "lib").iterdir()]:
        assert set(elf.needed(path.read_bytes())) <= there
    assert "libgcc_s.so.1" in there  # asked for by name while it runs


def test_its_programs_run_with_its_own_libraries(tmp_path: Path) -> None:
    """In an empty root, with nothing of this machine to fall back on, a file system's map is read."""
    pack = build_tool_pack("amd64", CACHE / "built", CACHE)[PACK_NAME]
    with (
        pack.open("rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed) as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        tar.extractall(tmp_path)  # noqa: S202  (our own; Debian 12 knows no filter yet)
    for folder in ("proc", "tmp", "dev"):
        (tmp_path / folder).mkdir()
    image = tmp_path / "image"
    image.write_bytes(bytes(32 << 20))
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", image], check=True, timeout=60)
    loader = ("/lib/ld-linux-x86-64.so.2", "--library-path", "/lib")
    # Root needs no user namespace for it, and has none where it is in a chroot itself.
    as_root = () if os.geteuid() == 0 else ("unshare", "--map-root-user")
    alone = (*as_root, "/usr/sbin/chroot", tmp_path, *loader)
    done = subprocess.run(
        [*alone, "/bin/partclone.extfs", "-D", "-q", "-s", "/image", "-o", "/map", "-L", "/log"],
        check=False, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " +" in (tmp_path / "map").read_text()
