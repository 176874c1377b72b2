"""Files written into the root file system of an image that has just been installed.

The image's own links must not lead out of it: whoever writes does so within the image (chroot), in a process
of its own.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.work import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hostler.agent.disks import Machine
    from hostler.model.first_boot import FirstBoot

_MS_NODEV, _MS_NOSUID, _MS_NOEXEC = 4, 2, 8
_FILE_SYSTEMS = ("ext4", "xfs", "btrfs")
"""What the agent's kernel can mount for writing; ext2 and ext3 are mounted as ext4."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]


def partitions_of(machine: Machine, disk: str) -> list[Path]:
    """Return the devices of a disk's partitions, as the kernel numbers them."""
    name = Path(disk).name
    found = [
        path.name for path in (machine.sys / "block" / name).glob(f"{name}*") if (path / "partition").exists()
    ]
    return [machine.dev / part for part in sorted(found, key=lambda part: (len(part), part))]


@contextmanager
def mounted(device: Path, kinds: Sequence[str] = _FILE_SYSTEMS) -> Iterator[Path | None]:
    """Mount a partition for writing while the context lasts; None: it holds no file system of these kinds."""
    with tempfile.TemporaryDirectory(prefix="hostler-root-") as place:
        flags = _MS_NODEV | _MS_NOSUID | _MS_NOEXEC
        done = any(
            _libc.mount(str(device).encode(), place.encode(), kind.encode(), flags, None) == 0
            for kind in kinds
        )
        if not done:
            yield None
            return
        try:
            yield Path(place)
        finally:
            os.sync()
            if _libc.umount(place.encode()) != 0:
                error = os.strerror(ctypes.get_errno())
                raise StepError(f"{device} cannot be unmounted: {error}")


def is_root(place: Path) -> bool:
    """Tell whether a mounted file system is the root of a system."""
    return (place / "etc/passwd").is_file() and (place / "etc").is_dir()


def has_cloud_init(place: Path) -> bool:
    """Tell whether a system would read a seed at its first boot."""
    programs = ("usr/bin/cloud-init", "usr/local/bin/cloud-init")
    disabled = (place / "etc/cloud/cloud-init.disabled").exists()
    return not disabled and any(os.path.lexists(place / program) for program in programs)


def write_files(root: Path, first_boot: FirstBoot) -> list[str]:
    """Write a first-boot configuration into a mounted system; returns the paths written.

    Raises:
        StepError: The system has no such user, or something cannot be written.
    """
    return within(root, lambda: _written(first_boot))


def _written(first_boot: FirstBoot) -> list[str]:
    done = []
    if first_boot.hostname:
        _write("/etc/hostname", first_boot.hostname + "\n", 0o644)
        done.append("/etc/hostname")
    for path, text in sorted(first_boot.files.items()):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        _write(path, text, 0o644)
        done.append(path)
    if first_boot.ssh_keys:
        done.append(_authorize(first_boot.user or "root", first_boot.ssh_keys))
    return done


def _authorize(user: str, keys: tuple[str, ...]) -> str:
    """Add lines to a user's ``authorized_keys``; returns its path."""
    for line in Path("/etc/passwd").read_text(errors="replace").splitlines():
        fields = line.split(":")
        if len(fields) >= 6 and fields[0] == user:
            owner, group, home = int(fields[2]), int(fields[3]), Path(fields[5] or "/")
            break
    else:
        raise ValueError(f'the image has no user "{user}", whose ssh keys are to be added')
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "authorized_keys"
    present = path.read_text(errors="replace") if path.exists() else ""
    lines = [*present.splitlines(), *(key for key in keys if key not in present.splitlines())]
    _write(str(path), "\n".join(lines) + "\n", 0o600)
    for made in (folder, path):
        os.chown(made, owner, group)
    return str(path)


def _write(path: str, text: str, mode: int) -> None:
    """Write a file whole or not at all."""
    new = path + ".hostler-new"
    with Path(new).open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(new).chmod(mode)
    Path(new).replace(path)


def within(root: Path, work: Callable[[], list[str]]) -> list[str]:
    """Do something in a process whose root directory is ``root``; returns the words it returned.

    Raises:
        StepError: it failed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.chroot(root)
            os.chdir("/")
            said = "\n".join(work())
            status = 0
        except (OSError, ValueError) as error:
            said = str(error)
        except BaseException as error:  # noqa: BLE001 - nothing of this process may go on here
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if status:
        raise StepError(f"the image's files cannot be changed: {said or 'no reason was given'}")
    return said.splitlines()
