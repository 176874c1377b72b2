"""Live ISOs as mastering tools make them: the kind is told; kernel, initramfs and system are taken out."""

from __future__ import annotations

import random
import subprocess
import tomllib
from pathlib import Path

import pytest

from hostler.images.netboot_files import Keeper, unpack
from hostler.images.source import SourceError
from hostler.images.store import ImageStore

BZIMAGE = bytes(0x202) + b"HdrS" + bytes(3000)
ARM_IMAGE = bytes(0x38) + b"ARM\x64" + bytes(3000)
SYSTEM = random.Random(1).randbytes(900_000)


def iso(place: Path, files: dict[str, bytes], *options: str) -> Path:
    """Make an ISO with xorriso, as ``mkisofs`` does."""
    tree = place / "tree"
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    target = place / "live.iso"
    how = ["-quiet", *(options or ("-r", "-J")), "-o", str(target), str(tree)]
    subprocess.run(["xorriso", "-as", "mkisofs", *how], check=True, capture_output=True)
    return target


@pytest.mark.parametrize(
    ("files", "served", "arch", "words"),
    [
        (
            {"live/vmlinuz-6.1": BZIMAGE, "live/initrd.img-6.1": b"i", "live/filesystem.squashfs": SYSTEM},
            "filesystem.squashfs", "amd64",
            "boot=live components fetch={{ file_url('filesystem.squashfs') }}",
        ),
        (
            {"casper/vmlinuz": BZIMAGE, "casper/initrd": b"i", "casper/minimal.squashfs": SYSTEM},
            "live.iso", "amd64", "boot=casper ip=dhcp url={{ file_url('live.iso') }}",
        ),
        (
            {
                "images/pxeboot/vmlinuz": ARM_IMAGE, "images/pxeboot/initrd.img": b"i",
                "LiveOS/squashfs.img": SYSTEM,
            },
            "squashfs.img", "arm64", "root=live:{{ file_url('squashfs.img') }} rd.live.image",
        ),
        (
            {
                "boot/x86_64/loader/linux": BZIMAGE, "boot/x86_64/loader/initrd": b"i",
                "LiveOS/squashfs.img": SYSTEM,
            },
            "squashfs.img", "amd64", "root=live:{{ file_url('squashfs.img') }} rd.live.image",
        ),
    ],
    ids=["Debian", "Ubuntu", "Fedora", "openSUSE"],
)  # fmt: skip
@pytest.mark.parametrize(
    "options", [("-r", "-J"), ("-J",), ("-r", "-iso-level", "3")], ids=["both", "joliet", "rock"]
)
def test_a_live_iso_is_taken_apart(tmp_path: Path, files, served, arch, words, options):
    """Each distribution's layout, by Rock Ridge or Joliet names; bytes come out as they went in."""
    made = iso(tmp_path, files, *options)
    store = ImageStore(tmp_path / "store")
    found = unpack(made, "live.iso", Keeper(store, lambda _: None))
    described = tomllib.loads(found.description)
    assert described["arch"] == arch
    assert described["cmdline"].startswith(words)
    assert list(described["files"]) == [served]
    kernel, _, system = files.values()
    assert store.artefact_path(found.files["kernel"].artefact).read_bytes() == kernel
    kept = store.artefact_path(found.files[served].artefact)
    assert kept.read_bytes() == (made.read_bytes() if served == "live.iso" else system)
    assert found.files[served].size == kept.stat().st_size


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data, "is not a live ISO known here"),
        (lambda data: data[:40_000], "cannot be read"),
        (lambda data: data[:32769] + b"CD001" + bytes(range(256)) * 99, "cannot be read|not a live"),
    ],
)  # fmt: skip
def test_an_iso_that_is_none_is_refused(tmp_path: Path, damage, says):
    """An installer's ISO, one that ends early, one that is garbage: a plain error, and nothing is kept."""
    made = iso(tmp_path, {"install.amd/vmlinuz": BZIMAGE, "install.amd/initrd.gz": b"i"})
    made.write_bytes(damage(made.read_bytes()))
    store = ImageStore(tmp_path / "store")
    with pytest.raises(SourceError, match=says):
        unpack(made, "live.iso", Keeper(store, lambda _: None))
    assert store.artefacts() == []
