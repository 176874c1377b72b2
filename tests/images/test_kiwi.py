"""KIWI's tar for installing over the network, as ``kiwi-ng`` puts it together, and what is none."""

from __future__ import annotations

import lzma
import random
import tarfile
import tomllib
from io import BytesIO
from pathlib import Path

import pytest

from hostler.images.netboot_files import Keeper, unpack
from hostler.images.source import SourceError
from hostler.images.store import ImageStore

NAME = "LimeJeOS.x86_64-1.15.6"
MEMBERS = {
    f"{NAME}.append": b"rd.kiwi.install.pxe rd.kiwi.install.image=http://example.com/image.xz "
    b" net.ifnames=0\n",
    f"{NAME}.initrd": b"the system's own",
    f"{NAME}.md5": b"0123 4 5",
    f"{NAME}.xz": lzma.compress(bytes(100_000)),
    f"pxeboot.{NAME}.config.bootoptions": b"root=UUID=1",
    f"pxeboot.{NAME}.initrd.xz": b"initrd",
    f"pxeboot.{NAME}.kernel": b"kernel",
}


def tar(place: Path, members: dict[str, bytes], mode: str = "w:xz") -> Path:
    """Write such a tar."""
    target = place / "kiwi.tar"
    with tarfile.open(target, mode) as archive:
        for name, data in members.items():
            head = tarfile.TarInfo(name)
            head.size = len(data)
            archive.addfile(head, BytesIO(data))
        link = tarfile.TarInfo(f"{NAME}.kernel")
        link.type, link.linkname = tarfile.SYMTYPE, f"pxeboot.{NAME}.kernel"
        archive.addfile(link)
    return target


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_of_kiwi_becomes_a_description(tmp_path: Path, mode: str):
    """Its ``.append`` goes on the command line; what the installer looks for beside the image is served."""
    store = ImageStore(tmp_path / "store")
    found = unpack(tar(tmp_path, MEMBERS, mode), "kiwi.tar.xz", Keeper(store, lambda _: None))
    described = tomllib.loads(found.description)
    assert (described["arch"], described["installs"]) == ("amd64", True)
    assert described["done"]["signal"] == "console"
    words = described["cmdline"].split(" rd.neednet=1 ")
    assert words[0] == (
        f"rd.kiwi.install.pxe rd.kiwi.install.image={{{{ file_url('{NAME}.xz') }}}} "
        "rd.kiwi.install.pass.bootparam"
    )
    assert words[1].endswith("console={{ board.console }} net.ifnames=0")
    assert described["files"] == {
        f"{NAME}.xz": f"{NAME}.xz",
        f"{NAME}.md5": f"{NAME}.md5",
        f"{NAME}.initrd": f"{NAME}.initrd",
        f"{NAME}.kernel": f"pxeboot.{NAME}.kernel",
        f"{NAME}.config.bootoptions": f"pxeboot.{NAME}.config.bootoptions",
    }
    for key in ("kernel", "initrd"):
        assert store.artefact_path(found.files[described[key]].artefact).read_bytes() == key.encode()


@pytest.mark.parametrize(
    ("without", "more", "says"),
    [
        (f"pxeboot.{NAME}.kernel", {}, r"one kernel .* but has none"),
        (f"{NAME}.xz", {}, r"one image .* but has none"),
        ("", {"pxeboot.other.kernel": b"k"}, "one kernel .* but has pxeboot.Lime"),
        ("", {f"{NAME}.append": b"a={{ x }}"}, "braces"),
        ("", {f"{NAME}.append": b'a="b"'}, "has signs that"),
        ("", {f"{NAME}.append": b"\xff"}, "is not text in UTF-8"),
    ],
)
def test_a_tar_that_is_not_kiwis_is_refused(tmp_path: Path, without: str, more, says: str):
    """The error says what is missing."""
    members = {name: data for name, data in {**MEMBERS, **more}.items() if name != without}
    with pytest.raises(SourceError, match=says):
        unpack(tar(tmp_path, members), "kiwi.tar.xz", Keeper(ImageStore(tmp_path / "store"), lambda _: None))


@pytest.mark.parametrize("part", [0.01, 0.3, 0.9])
def test_a_tar_that_ends_early_is_refused(tmp_path: Path, part: float):
    """Plain or compressed."""
    for mode in ("w", "w:xz", "w:gz"):
        made = tar(tmp_path, {**MEMBERS, "pad": random.Random(1).randbytes(50_000)}, mode)
        data = made.read_bytes()
        made.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(SourceError):
            unpack(made, "kiwi.tar.xz", Keeper(ImageStore(tmp_path / "store"), lambda _: None))


def test_what_is_no_archive_is_told_so(tmp_path: Path):
    """Neither an ISO, nor a tar."""
    file = tmp_path / "x"
    file.write_bytes(b"what is this?" * 100)
    with pytest.raises(SourceError, match=r"upload: is neither a live ISO, nor a tar with an image\.toml"):
        unpack(file, "upload", Keeper(ImageStore(tmp_path / "store"), lambda _: None))
