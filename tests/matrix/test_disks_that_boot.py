"""What the agent installs on a disk boots from it to its login, whatever the disk is wired to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from boot_paths import BootPath
from disk_lab import DiskLab

from hostler.model.first_stages import Loader
from hostler.virtual.disks import DiskKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.demo.material import Material

pytestmark = [pytest.mark.matrix, pytest.mark.qemu, pytest.mark.netns]

_SIZE = 128
_BUS = {
    DiskKind.VIRTIO: "virtio",
    DiskKind.NVME: "nvme",
    DiskKind.AHCI: "ata",
    DiskKind.SD: "mmc",
    DiskKind.USB: "usb",
}
_WITHOUT = {("x86-uefi", DiskKind.SD)}
"""Debian's OVMF never touches QEMU's SD host."""


def _board(platform: str, loader: Loader, image: str, kind: DiskKind) -> BootPath:
    key = f"{platform}-{kind}"
    return BootPath(key, key, platform, loader, platform, image=image)


PATHS = {
    _board(platform, loader, image, kind): (kind, _SIZE)
    for platform, loader, image in (
        ("x86-bios", Loader.IPXE, "tiny-amd64"),
        ("x86-uefi", Loader.IPXE, "tiny-amd64"),
    )
    for kind in DiskKind
    if (platform, kind) not in _WITHOUT
}


@pytest.fixture(scope="module")
def lab(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DiskLab]:
    """A board for each kind of firmware and of disk."""
    made = DiskLab(tmp_path_factory.mktemp("disks"), PATHS)
    try:
        made.start()
        made.import_needed(material)
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("path", PATHS, ids=[path.key for path in PATHS])
def test_a_disk_of_every_kind_boots_what_was_installed_on_it(lab: DiskLab, path: BootPath) -> None:
    """From the network to the agent, an install, and from the disk to the login of what was installed."""
    events = lab.boot(path)
    assert any(event["kind"] == "login" for event in events)
    (disk,) = [one for one in lab.client.board(path.key)["facts"]["disks"] if one["size"] == _SIZE << 20]
    assert disk["bus"] == _BUS[PATHS[path][0]]
