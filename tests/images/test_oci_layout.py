"""An OCI layout becomes a root file system: layers over each other, everything checked by its digest."""

from __future__ import annotations

import json
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hostler.images import oci_layout
from hostler.images.importer import import_image
from hostler.images.rootfs_tar import Spool, read_tar
from hostler.images.rootfs_tree import Kind, Tree, TreeError
from hostler.images.store import ImageStore
from root_trees import Disk, Tar, bootable, debugfs, terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def umoci(*words: str | Path) -> None:
    """Run umoci, which writes layouts as container tools do."""
    done = subprocess.run(["umoci", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layout of four layers: a bootable tree, files added, one whited out, a directory made anew."""
    place = tmp_path_factory.mktemp("oci")
    layout, base = place / "layout", place / "base.tar"
    tar = bootable().add("etc/gone", b"1").add("etc/changed", b"old", mode=0o600, uid=7)
    base.write_bytes(tar.add("srv/old/one", b"1").add("srv/two", b"2").link("lib", "usr/lib").bytes())
    image = f"{layout}:latest"
    umoci("init", "--layout", layout)
    umoci("new", "--image", image)
    umoci("config", "--image", image, "--architecture", "amd64", "--os", "linux")
    umoci("raw", "add-layer", "--image", image, base)
    (place / "changed").write_bytes(b"new")
    (place / "srv").mkdir()
    (place / "srv" / "three").write_bytes(b"3")
    umoci("insert", "--image", image, place / "changed", "/etc/changed")
    umoci("insert", "--image", image, "--whiteout", "/etc/gone")
    umoci("insert", "--image", image, "--opaque", place / "srv", "/srv")
    return layout


def tar_of(layout: Path) -> bytes:
    """Pack a layout, as it is handed around."""
    tar = Tar()
    for path in sorted(layout.rglob("*")):
        if path.is_file():
            tar.add(str(path.relative_to(layout)), path.read_bytes())
    return tar.bytes()


def tree_of(tar: bytes, folder: Path, arch: str = "amd64") -> Tree:
    """Return the root file system in a layout."""
    spool = Spool(folder, lambda: None)
    layout = Tree()
    read_tar(iter([tar]), layout, spool)
    assert oci_layout.is_layout(layout)
    return oci_layout.root_file_system(layout, arch, spool)


def test_layers_lie_over_each_other(layout: Path, tmp_path: Path) -> None:
    """A later one changes, removes, and hides all that was in a directory."""
    tree = tree_of(tar_of(layout), tmp_path / "spool")
    assert not tree.holds("etc/gone", Kind.FILE)
    changed = tree.find("etc/changed")
    assert changed is not None
    assert changed.content is not None
    assert changed.content.read_bytes() == b"new"
    assert tree.names("srv") == ["three"]


def test_it_becomes_a_disk(layout: Path, tmp_path: Path) -> None:
    """The whole way, as any root file system does."""
    (tmp_path / "layout.tar").write_bytes(tar_of(layout))
    store = ImageStore(tmp_path / "store")
    made = import_image(tmp_path / "layout.tar", store, disk=terms(tmp_path))
    root = Disk.of(store, made.index, tmp_path / "disk").root()
    assert debugfs(root, "cat /srv/three") == "3"
    assert debugfs(root, "cat /etc/gone") == ""


NAME = "org.opencontainers.image.ref.name"


class Layout:
    """A layout put together by hand from the specification, for what tools do not write."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def blob(self, data: bytes | Mapping[str, Any], kind: str, **more: Any) -> dict[str, Any]:
        """Add a blob; returns its descriptor."""
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = sha256(content).hexdigest()
        self.blobs[digest] = content
        kind = f"application/vnd.oci.image.{kind}"
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content), **more}

    def image(self, arch: str, *layers: bytes, **more: Any) -> dict[str, Any]:
        """Add an image; returns the descriptor of its manifest."""
        config = self.blob({"os": "linux", "architecture": arch}, "config.v1+json")
        packed = [self.blob(layer, "layer.v1.tar") for layer in layers]
        manifest = {"schemaVersion": 2, "config": config, "layers": packed}
        return self.blob(manifest, "manifest.v1+json", **more)

    def tar(self, *manifests: Any) -> bytes:
        """Return the layout with these in its index."""
        tar = Tar()
        for digest, content in self.blobs.items():
            tar.add(f"blobs/sha256/{digest}", content)
        index = {"schemaVersion": 2, "manifests": list(manifests)}
        tar.add("index.json", json.dumps(index).encode())
        return tar.add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}').bytes()


def test_the_image_is_the_one_for_the_architecture(tmp_path: Path) -> None:
    """Also in an index within the index; attestations and platforms that were not copied do not count."""
    layout = Layout()
    both = [layout.image(arch, Tar().add(f"etc/{arch}").bytes()) for arch in ("amd64", "arm64")]
    absent = {"mediaType": both[0]["mediaType"], "digest": f"sha256:{'0' * 64}", "size": 5}
    unknown = layout.image("unknown", platform={"os": "unknown", "architecture": "unknown"})
    inner = layout.blob({"manifests": [*both, absent, unknown]}, "index.v1+json")
    for arch in ("amd64", "arm64"):
        assert tree_of(layout.tar(inner), tmp_path / arch, arch).names("etc") == [arch]


def test_a_whiteout_takes_nothing_of_its_own_layer(tmp_path: Path) -> None:
    """Whichever of the two comes first in the layer."""
    lower = Tar().add("a/old", b"1").add("b/old", b"1").bytes()
    upper = Tar().add("a/new", b"2").link("a/linked", "b/old", tarfile.LNKTYPE).add("a/.wh..wh..opq")
    upper.add(".wh.b").folder("b").add("b/new", b"2")
    layout = Layout()
    tree = tree_of(layout.tar(layout.image("amd64", lower, upper.bytes())), tmp_path / "spool")
    assert (tree.names("a"), tree.names("b")) == (["linked", "new"], ["new"])


def test_indexes_in_indexes_are_read_once(tmp_path: Path) -> None:
    """However many ways lead to them; the work is called off meanwhile as everywhere."""
    layout = Layout()
    level = [layout.image("amd64", Tar().add("etc/x").bytes())]
    for depth in range(3):
        level = [layout.blob({"manifests": level, "n": [depth, n]}, "index.v1+json") for n in range(24)]
    spool, tree, beats = Spool(tmp_path / "spool", lambda: beats.append(1)), Tree(), []
    read_tar(iter([layout.tar(*level)]), tree, spool)
    beats.clear()
    assert oci_layout.root_file_system(tree, "amd64", spool).names("etc") == ["x"]
    assert 24 * 48 < len(beats) < 24 * 60


def _other_content(layout: Layout) -> bytes:
    image = layout.image("amd64", Tar().add("x", b"1").bytes())
    digest = next(digest for digest, content in layout.blobs.items() if content[:1] == b"x")
    layout.blobs[digest] = Tar().add("x", b"2").bytes()
    return layout.tar(image)


def _lost(layout: Layout) -> bytes:
    image = layout.image("amd64", Tar().add("x", b"1").bytes())
    layout.blobs = {digest: content for digest, content in layout.blobs.items() if content[:1] != b"x"}
    return layout.tar(image)


BAD: dict[str, Callable[[Layout], bytes]] = {
    "is not what its digest says": _other_content,
    "lacks the blob": _lost,
    "no image for linux/amd64": lambda layout: layout.tar(layout.image("arm64")),
    "more than one image for amd64: one, two": lambda layout: layout.tar(
        *(
            layout.image("amd64", Tar().add(name).bytes(), annotations={NAME: name})
            for name in ("one", "two")
        )
    ),
    "names no layers": lambda layout: layout.tar(layout.image("amd64")),
    "may be encrypted": lambda layout: layout.tar(layout.image("amd64", b"secret" * 200)),
    "named by no SHA-256 digest": lambda layout: layout.tar({"digest": "sha256:../../etc/passwd"}),
    "leads outside": lambda layout: layout.tar(layout.image("amd64", Tar().add("../x").bytes())),
    "names more than 2000 manifests": lambda layout: layout.tar(*[layout.image("arm64")] * 2001),
    "names no manifests": lambda layout: layout.tar().replace(b'"manifests"', b'"manifesto"'),
}  # fmt: skip


@pytest.mark.parametrize("why", BAD)
def test_a_layout_that_is_not_one_is_refused(why: str, tmp_path: Path) -> None:
    """By what is wrong with it."""
    with pytest.raises(TreeError, match=why):
        tree_of(BAD[why](Layout()), tmp_path / "spool")


def test_tarfile_writes_what_is_read_here(tmp_path: Path) -> None:
    """GNU's format too, with long names: layers come from many tools."""
    file = tmp_path / "gnu.tar"
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(__file__, "etc/" + "long/" * 40 + "name")
    layout = Layout()
    tree = tree_of(layout.tar(layout.image("amd64", file.read_bytes())), tmp_path / "spool")
    assert tree.holds("etc/" + "long/" * 40 + "name", Kind.FILE)
