"""The debian image starts from BIOS to a whole system; from UEFI the main job starts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from board import Board, login

from hostler.build.debian import build_debian

pytestmark = pytest.mark.qemu


def disk(path: Path) -> list[str]:
    return ["-drive", f"file={path},format=raw,snapshot=on,if=virtio"]


def test_starts_from_bios_with_an_identity_of_its_own(packages: Path, images: Path) -> None:
    """SeaBIOS → GRUB → systemd → login; machine-id and ssh keys are made on the board; nothing failed."""
    image = build_debian(images, packages)
    with Board("amd64", *disk(image.path), "-nic", "user,model=virtio-net-pci") as board:
        login(board, "debian", 240)
        board.type("systemctl is-system-running --wait; systemctl --failed --no-legend; echo checked")
        board.expect(r"running\s+checked", 120)
        board.type("wc -c /etc/machine-id; systemctl start ssh-host-keys; ls /etc/ssh")
        board.expect(r"33 /etc/machine-id", 60)
        board.expect(r"ssh_host_ed25519_key", 60)
        board.type("poweroff")
        board.wait(60)
