"""A tool that is no Linux: Memtest86+ of Debian's package, as a preset, on a BIOS.

Its EFI program starts as well, and ends because the virtual boards have no display.
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
    from collections.abc import Iterator

    from hostler.demo.material import Material

pytestmark = [pytest.mark.matrix, pytest.mark.qemu, pytest.mark.netns]

CACHE = Path(__file__).parents[2] / "var" / "cache"
PACKAGE = "memtest86+"
PROGRAM = "memtest86+x64.bin"
BOARD = "pc"
ROW = BootPath(BOARD, "BIOS, PXE", "x86-bios", Loader.IPXE, "x86-bios")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program."""
    path = tmp_path_factory.mktemp("memtest") / PROGRAM
    (package,) = Apt("amd64", CACHE).fetch((PACKAGE,), lambda one: one.name == PACKAGE)
    for member in deb.members(package.path, lambda path: path.endswith(f"/{PROGRAM}")):
        path.write_bytes(member.data)
    return path


@pytest.fixture(scope="module")
def lab(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixLab]:
    """A lab with one board."""
    made = MatrixLab(tmp_path_factory.mktemp("tools"), [ROW])
    try:
        made.start()
        made.import_needed(material)
        yield made
    finally:
        made.stop()


def test_memtest_runs(lab: MatrixLab, program: Path) -> None:
    """It says so on the serial console, which is its done-signal; the board stays on."""
    claim = lab.client.claim(BOARD, ttl="2h", wait=True)
    wait_claim(lab.client, claim["id"], seconds=RUN_SECONDS)
    imported = lab.hostler("image", "import", "memtest", "preset:memtest", "--kernel", str(program))
    assert imported.status == 0, imported.err
    done = lab.hostler("deploy", BOARD, "memtest", seconds=RUN_SECONDS)
    assert done.status == 0, f"{done.err}\n{lab.told(BOARD)}"
    assert lab.client.board(BOARD)["power"]["observed"] == "on"
