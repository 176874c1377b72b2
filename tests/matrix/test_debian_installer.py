"""Debian's own installer with the preset's preseed, from a board's firmware up to its mirror.

The installation behind that is Debian's own and needs a whole mirror, its installer's packages included. What
is shown is all that comes from here: its kernel and initramfs, the command line it obeys, the preseed
rendered for the board, and the call by which it tells its end.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from boot_paths import BootPath
from matrix_lab import RUN_SECONDS, MatrixLab

from hostler.build import deb
from hostler.build.apt import Apt
from hostler.client.waiting import wait_claim
from hostler.model.first_stages import Loader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from hostler.demo.material import Material

pytestmark = [pytest.mark.matrix, pytest.mark.qemu, pytest.mark.netns]

CACHE = Path(__file__).parents[2] / "var" / "cache"
BOARD = "pc"
ROW = BootPath(BOARD, "BIOS, PXE", "x86-bios", Loader.IPXE, "x86-bios")
PACKAGE = "debian-installer-12-netboot-amd64"
WHERE = "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/"
# Run by the installer as soon as it has read the preseed. It has wget, as late_command has.
TELL = "\nd-i preseed/early_command string wget -q -O /dev/null --post-data=preseeded '{{ done_url }}'\n"


@pytest.fixture(scope="module")
def installer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preset as a person changes it, with the installer's files beside it."""
    folder = tmp_path_factory.mktemp("installer")
    (package,) = Apt("amd64", CACHE).fetch((PACKAGE,), lambda one: one.name == PACKAGE)
    wanted = (f"{WHERE}linux", f"{WHERE}initrd.gz")
    for member in deb.members(package.path, wanted.__contains__):
        (folder / member.path.rpartition("/")[2]).write_bytes(member.data)
    return folder


@pytest.fixture(scope="module")
def lab(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixLab]:
    """A lab with one board, held."""
    made = MatrixLab(tmp_path_factory.mktemp("debian"), [ROW])
    try:
        made.start()
        made.import_needed(material)
        claim = made.client.claim(BOARD, ttl="2h", wait=True)
        wait_claim(made.client, claim["id"], seconds=RUN_SECONDS)
        yield made
    finally:
        made.stop()


def test_debians_installer_obeys_its_preseed(
    lab: MatrixLab, installer: Path, proving: Callable[[str], AbstractContextManager]
) -> None:
    """Nobody answers a question: it comes up, finds its preseed and does what that says."""
    mine = installer / "mine"
    done = lab.hostler("image", "presets", "debian", "--to", str(mine))
    assert done.status == 0, done.err
    with (mine / "preseed.cfg").open("a") as preseed:
        preseed.write(TELL)
    files = ("--kernel", str(installer / "linux"), "--initrd", str(installer / "initrd.gz"))
    done = lab.hostler("image", "import", "debian", str(mine), *files)
    assert done.status == 0, done.err
    refused = lab.hostler("run", BOARD, "install:debian")
    assert refused.status == 1
    assert 'there is no metadata "mirror"' in refused.err
    before = lab.newest_boot(BOARD)
    with proving("debian-installer") as proof:
        started = lab.hostler(
            "run", BOARD, "install:debian", "--set", "mirror=10.77.0.1", seconds=RUN_SECONDS
        )
        proof.events = events = lab.events(BOARD, before)
        assert started.status == 0, f"{started.err}\n{lab.told(BOARD)}"
        files_got = [event["data"].get("file") for event in events if event["source"] == "http"]
        assert "preseed.cfg" in files_got
        (run,) = [one for one in lab.client.runs(BOARD) if one["plan"] == "install:debian"][:1]
        assert run["results"][0]["body"] == "preseeded"
