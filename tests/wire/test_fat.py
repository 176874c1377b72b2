"""A FAT16 around given files, judged by dosfstools and mtools."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.wire.fat import FatError, layout

NAMES = st.from_regex(r"[acXY01][acXY01_.+-]{0,30}[acXY01]?[acXY01]", fullmatch=True)


def image(files: dict[str, bytes]) -> bytes:
    plan = layout([(name, len(content)) for name, content in files.items()])
    parts = [content + bytes(padding) for content, padding in zip(files.values(), plan.padding, strict=True)]
    return plan.head + b"".join(parts) + bytes(plan.tail)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, st.binary(max_size=20_000), max_size=12))
def test_what_goes_in_is_read_by_others(tmp_path: Path, files: dict[str, bytes]):
    """Any names and sizes, an empty file among them: sound to fsck, and byte for byte the same to mtools."""
    files = {
        name: content for name, content in files.items() if sum(n.lower() == name.lower() for n in files) == 1
    }
    path = tmp_path / "image"
    path.write_bytes(image(files))
    checked = subprocess.run(["/usr/sbin/fsck.vfat", "-n", str(path)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    for name, content in files.items():
        done = subprocess.run(["mtype", "-i", str(path), f"::{name}"], capture_output=True, check=True)
        assert done.stdout == content


DIRECTORIES = st.sampled_from(["", "EFI/", "EFI/BOOT/", "grub/", "a-long-directory/"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.tuples(DIRECTORIES, NAMES).map("".join), st.binary(max_size=20_000), max_size=40))
def test_directories_are_read_by_others(tmp_path: Path, files: dict[str, bytes]):
    """Below each other, with more files than go into one cluster, or with none."""
    files = {
        name: content
        for name, content in files.items()
        if sum(n.lower() == name.lower() or n.startswith(f"{name}/") for n in files) == 1
    }
    path = tmp_path / "image"
    path.write_bytes(image(files))
    checked = subprocess.run(["/usr/sbin/fsck.vfat", "-n", str(path)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    for name, content in files.items():
        done = subprocess.run(["mtype", "-i", str(path), f"::{name}"], capture_output=True, check=True)
        assert done.stdout == content


def test_what_does_not_fit_is_refused():
    """A bad name, more than half a gigabyte, more files than the root directory has room for."""
    for files in (
        [("a b", 1)],
        [("/a", 1)],
        [("a//b", 1)],
        [("", 1)],
        [("a", 600 << 20)],
        [(f"a-long-name-{n}.dtb", 0) for n in range(300)],
    ):
        with pytest.raises(FatError):
            layout(files)
