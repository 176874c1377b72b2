"""A file system brought in order and cleaned, on a device that keeps the changes from its disk."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.root_files import is_root, mounted, within
from hostler.model.cleaning import MACHINE_ID, SSH_HOST_KEYS, paths_of
from hostler.model.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

KERNEL_NAMES = {Volume.EXT: "ext4", Volume.XFS: "xfs", Volume.BTRFS: "btrfs"}
"""By content, what the kernel calls the file systems in which systems are cleaned."""

_MACHINE_ID = "/etc/machine-id"
_BLOCK = 1 << 20
_KEYS_UNIT = Path("/etc/systemd/system/hostler-ssh-host-keys.service")
_KEYS_TEXT = """\
[Unit]
Description=Make ssh host keys: this system was captured without them
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key
Before=ssh.service ssh.socket sshd.service
After=systemd-random-seed.service local-fs.target

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
"""
_KEYS_MADE_BY = ("usr/bin/cloud-init", "lib/systemd/system/sshd-keygen@.service", "usr/libexec/sshd-gen-keys")


def settle(device: Path, volume: Volume, words: Sequence[str]) -> list[str] | None:
    """Mount a file system, which replays its journal, and clean it if a system's root or ``/var`` is in it.

    Args:
        device: Takes changes that do not reach the disk.
        volume: Its content.
        words: What is to be cleaned, of `hostler.model.cleaning.cleaning`.

    Returns:
        What was taken out, as paths of the system; None: it cannot be mounted.

    Raises:
        StepError: Something in it cannot be changed.
    """
    with mounted(device, (KERNEL_NAMES[volume],)) as place:
        if place is None:
            return None
        if is_root(place):
            return within(place, lambda: _cleaned(words, ""))
        if (place / "log").is_dir() and (place / "lib/misc").is_dir():
            return within(place, lambda: _cleaned(words, "/var"))
        return []


def _cleaned(words: Sequence[str], prefix: str) -> list[str]:
    """Clean what is mounted at ``/`` and belongs to ``prefix`` of the system."""
    done = []
    for word in words:
        for pattern in paths_of(word):
            if not pattern.startswith(f"{prefix}/"):
                continue
            for path in sorted(Path("/").glob(pattern.removeprefix(prefix).lstrip("/"))):
                name = f"{prefix}{path}"
                _remove(path, empty=name == _MACHINE_ID and word == MACHINE_ID)
                done.append(name)
    if SSH_HOST_KEYS in words and not prefix and any("/ssh_host_" in path for path in done):
        _have_keys_made()
    return done


def _remove(path: Path, *, empty: bool) -> None:
    """Remove a file or folder; what was in files is overwritten, so that free blocks do not tell it."""
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        for folder, _, names in os.walk(path):
            for name in names:
                _overwrite(Path(folder, name))
        shutil.rmtree(path)
        return
    _overwrite(path)
    if empty and stat.S_ISREG(status.st_mode):
        os.truncate(path, 0)
    else:
        path.unlink()


def _overwrite(path: Path) -> None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        return
    with path.open("r+b") as file:
        left = status.st_size
        while left:
            left -= file.write(bytes(min(left, _BLOCK)))
        file.flush()
        os.fsync(file.fileno())


def _have_keys_made() -> None:
    """Let a system that makes ssh host keys only when sshd is installed make them at its next boot."""
    systemd = Path("/etc/systemd/system").is_dir()
    makes = any(Path("/", name).exists() or Path("/usr", name).exists() for name in _KEYS_MADE_BY)
    if not systemd or makes or not Path("/usr/bin/ssh-keygen").exists():
        return
    _KEYS_UNIT.write_text(_KEYS_TEXT)
    _KEYS_UNIT.chmod(0o644)
    wants = _KEYS_UNIT.parent / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    link = wants / _KEYS_UNIT.name
    if not link.is_symlink():
        link.symlink_to(_KEYS_UNIT)
