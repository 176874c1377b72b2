"""What a disk image is told before its first boot is so when it has booted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from boot_paths import BootPath
from matrix_lab import RUN_SECONDS, MatrixLab

from hostler.build.debian import build_debian
from hostler.client.waiting import wait_claim
from hostler.model.first_stages import Loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.demo.material import Material

pytestmark = [pytest.mark.matrix, pytest.mark.qemu, pytest.mark.netns]

CACHE = Path(__file__).parents[2] / "var" / "cache"
BOARD = "pc"
ROW = BootPath(BOARD, "BIOS, PXE", "x86-bios", Loader.IPXE, "x86-bios", image="debian")


@pytest.fixture(scope="module")
def lab(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixLab]:
    """A lab with one board, which is held."""
    made = MatrixLab(tmp_path_factory.mktemp("first-boot"), [ROW])
    try:
        made.start()
        debian = build_debian(CACHE / "built", CACHE).path
        made.import_needed(replace(material, images={"debian": debian}))
        claim = made.client.claim(BOARD, ttl="2h", wait=True)
        wait_claim(made.client, claim["id"], seconds=RUN_SECONDS)
        yield made
    finally:
        made.stop()


def told(lab: MatrixLab, *options: str) -> dict:
    """Deploy as a person does; returns what the agent did about it."""
    done = lab.hostler("deploy", BOARD, "debian", *options, "--json", seconds=RUN_SECONDS)
    assert done.status == 0, f"{done.err}\n{lab.told(BOARD)}"
    return json.loads(done.out)["results"][0]["first_boot"]


def test_a_system_has_the_name_it_was_given(lab: MatrixLab, tmp_path: Path) -> None:
    """Debian without cloud-init: the agent writes into its file system, and its login prompt says so."""
    motd = tmp_path / "motd"
    motd.write_text("told before it booted\n")
    report = told(lab, "--hostname", "db1", "--file", f"/etc/motd={motd}")
    assert (report["way"], report["files"]) == ("files", ["/etc/hostname", "/etc/motd"])
    assert b"db1 login:" in lab.client.console_log(BOARD, tail=3000)


def test_an_image_boots_with_a_seed_behind_it(lab: MatrixLab) -> None:
    """Its partition table has one entry more, at the end of the disk, and nothing else has changed."""
    report = told(lab, "--hostname", "db2", "--first-boot", "seed")
    assert report["way"] == "seed"
    assert report["files"] == ["meta-data", "user-data"]
    with lab.disk(BOARD).open("rb") as disk:
        disk.seek(report["offset"])
        seed = disk.read()
    assert seed[43:49] == b"CIDATA"
    assert b'"local-hostname": "db2"' in seed
