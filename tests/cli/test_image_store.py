"""The store of images from the command line: nightlies, block maps, exports, damage and its mending."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from simulated_lab import SimulatedLab, simulated_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTLER = str(Path(sys.executable).parent / "hostler")
MIB = 1024 * 1024
TERMS = ("--arch", "amd64", "--platforms", "x86-bios")


class Shell:
    """Runs ``hostler`` against one server."""

    def __init__(self, lab: SimulatedLab) -> None:
        self._environment = {**os.environ, **lab.environment}

    def __call__(self, *arguments: str | Path, status: int = 0) -> str:
        done = self.run(*arguments)
        out = (done.stdout + done.stderr).decode()
        assert done.returncode == status, f"{arguments}: {out}"
        return out

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        """Run and return all of it."""
        return subprocess.run(
            [HOSTLER, *arguments], capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
            env=self._environment,
        )  # fmt: skip

    def json(self, *arguments: str | Path, status: int = 0) -> Any:
        """Run with ``--json`` and return the document."""
        done = self.run(*arguments, "--json")
        assert done.returncode == status, done
        return json.loads(done.stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A server with a simulated rack, and the command line."""
    with simulated_lab(tmp_path / "state") as lab:
        yield Shell(lab)


def nightly(path: Path, changed: int | None = None) -> bytes:
    """Write a sparse disk of 8 MiB with 4 MiB of noise, one of them changed."""
    rnd = random.Random(1)
    parts = [rnd.randbytes(MIB) for _ in range(4)]
    if changed is not None:
        parts[changed] = random.Random(2).randbytes(MIB)
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            file.seek(2 * number * MIB)
            file.write(part)
        file.truncate(8 * MIB)
    return path.read_bytes()


def block_map(image: Path) -> Path:
    """Have the real tool make a block map where it looks for it."""
    made = image.with_suffix(".bmap")
    subprocess.run(["bmaptool", "-q", "create", "-o", str(made), str(image)], check=True, timeout=60)
    return made


def test_tomorrows_nightly_adds_what_changed(shell: Shell, tmp_path: Path):
    """The import says so, ``show`` says so, and ``diff`` says what."""
    nightly(tmp_path / "disk.img")
    assert "new: 4 of 4 chunks" in shell("image", "import", "one", tmp_path / "disk.img", *TERMS)
    nightly(tmp_path / "disk.img", changed=2)
    packed = tmp_path / "disk.img.gz"
    packed.write_bytes(gzip.compress((tmp_path / "disk.img").read_bytes()))
    assert "new: 1 of 4 chunks, 1.0 MB in the store" in shell("image", "import", "two", packed, *TERMS)
    shown = shell("image", "show", "two")
    assert "disk.img.gz, by admin, with version" in shown
    assert subprocess.run(
        ["sha256sum", packed], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()[0] in shown  # fmt: skip
    told = shell("image", "diff", "one", "two")
    assert "3 chunks, 3.1 MB" in told
    assert "1.0 MB in 1 stretches" in told
    found = shell.json("image", "diff", "one", "two")
    assert (found["shared"]["chunks"], found["gone"]["chunks"], found["new"]["chunks"]) == (3, 1, 1)
    assert found["stretches"] == [[4 * MIB, MIB]]
    assert "0 B in 0 stretches" in shell("image", "diff", "two", "two")
    assert 'no image "three"' in shell("image", "diff", "one", "three", status=1)


def test_a_block_map_beside_the_file_is_used(shell: Shell, tmp_path: Path):
    """As bmaptool looks for it; one that does not fit is refused; it can be left alone."""
    image = tmp_path / "disk.img"
    data = nightly(image)
    made = block_map(image)
    packed = tmp_path / "disk.img.gz"
    packed.write_bytes(gzip.compress(data[: MIB + 5] + b"old" + data[MIB + 8 :]))
    assert f"with the block map {made}" in shell("image", "import", "one", packed, *TERMS)
    assert shell.json("image", "show", "one")["data_bytes"] == 4 * MIB
    assert "new: 1 of 5 chunks" in shell("image", "import", "two", packed, *TERMS, "--no-bmap")
    nightly(image, changed=1)
    refused = shell("image", "import", "three", image, *TERMS, status=1)
    assert "have another sha256 checksum than the map says" in refused
    assert "new: 1 of 4" in shell("image", "import", "three", image, *TERMS, "--bmap", block_map(image))
    assert "cannot read" in shell("image", "import", "x", image, *TERMS, "--bmap", "/nowhere", status=1)
    mixed = shell("image", "import", "x", image, *TERMS, "--bmap", "http://127.0.0.1/x.bmap", status=1)
    assert "must both be files, or both be addresses" in mixed


def test_what_is_exported_is_what_came_in(shell: Shell, tmp_path: Path):
    """Raw and sparse, packed, into a pipe, and for bmaptool; a file that is there stays unless forced."""
    data = nightly(tmp_path / "disk.img")
    shell("image", "import", "one", tmp_path / "disk.img", *TERMS)
    raw, packed = tmp_path / "out.img", tmp_path / "out.img.zst"
    shell("image", "export", "one", raw, "--bmap")
    assert raw.read_bytes() == data
    assert raw.stat().st_blocks * 512 < 5 * MIB
    copy = ["bmaptool", "-q", "copy", str(raw), str(tmp_path / "copy")]
    subprocess.run(copy, check=True, timeout=60)
    assert (tmp_path / "copy").read_bytes() == data
    made = shell.json("image", "export", "one", packed, "--bmap", "--force")
    assert (made["form"], made["bmap"]) == ("zst", str(tmp_path / "out.img.bmap"))
    subprocess.run(["bmaptool", "-q", "copy", str(packed), str(tmp_path / "copy2")], check=True, timeout=60)
    assert (tmp_path / "copy2").read_bytes() == data
    assert shell.run("image", "export", "one", "-").stdout == data
    assert shell.run("image", "export", "one", "-", "--form", "zst").stdout == packed.read_bytes()
    assert "choose another name, or --force" in shell("image", "export", "one", raw, status=1)
    assert "cannot write" in shell("image", "export", "one", tmp_path / "no" / "file", status=1)
    assert "need a FILE" in shell("image", "export", "one", "-", "--bmap", status=2)
    assert 'no image "two"' in shell("image", "export", "two", tmp_path / "two.img", status=1)
    assert not list(tmp_path.glob("*.part"))
    assert not (tmp_path / "two.img").exists()


def test_damage_is_found_and_mended(shell: Shell, tmp_path: Path):
    """As it is told: import the file once more, and all images that share the chunk are whole again."""
    nightly(tmp_path / "disk.img")
    shell("image", "import", "one", tmp_path / "disk.img", *TERMS)
    nightly(tmp_path / "other.img", changed=3)
    shell("image", "import", "two", tmp_path / "other.img", *TERMS)
    assert "everything is as it should be" in shell("image", "verify")
    shared = sorted(
        (tmp_path / "state" / "images" / "chunks").glob("*/*"), key=lambda path: path.stat().st_mtime_ns
    )[0]
    shared.write_bytes(shared.read_bytes()[:-5])
    told = shell("image", "verify", status=1)
    assert f"damaged: chunk {shared.name} of image one, image two" in told
    assert "To mend image one: import disk.img once more under another name" in told
    assert "is missing from the store" in shell("image", "export", "one", tmp_path / "out.img", status=1)
    assert not list(tmp_path.glob("out*"))
    assert "1 damaged chunks" in shell("image", "gc", "--dry-run")
    assert shell.json("image", "gc")["damaged"] == 1
    (fault,) = shell.json("image", "verify", "two", status=1)["faults"]
    assert (fault["kind"], fault["images"]) == ("missing", ["one", "two"])
    assert "new: 1 of 4 chunks" in shell("image", "import", "mend", tmp_path / "disk.img", *TERMS)
    assert shell.json("image", "verify")["faults"] == []
    shell("image", "rm", "mend")
    assert shell.json("image", "gc")["freed_bytes"] == 0
    shell("image", "export", "one", tmp_path / "out.img")
