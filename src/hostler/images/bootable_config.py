"""The small files by which a disk boots: those of its loaders, and the table of what is mounted where."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.images.bootable_kernel import Kernel

_DEVICE = re.compile(r"(?:/dev/|UUID=|LABEL=|PARTUUID=|PARTLABEL=)")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9._+~/:=,@%-]+\Z")


def grub_cfg(kernel: Kernel, root: str, cmdline: str, *, serial: bool) -> str:
    """Return GRUB's configuration.

    Args:
        kernel: What is started.
        root: UUID of the file system it is on.
        cmdline: Its command line.
        serial: Whether GRUB is to show itself on the first serial port too.
    """
    lines = ["serial --unit=0 --speed=115200", "terminal_output console serial"] if serial else []
    lines += [
        f"search --no-floppy --fs-uuid --set=root {root}",
        f"linux {kernel.path} {' '.join(map(_grub_word, cmdline.split()))}",
        *([f"initrd {kernel.initrd}"] if kernel.initrd else []),
        "boot",
    ]
    return "\n".join(lines) + "\n"


def _grub_word(word: str) -> str:
    """Quote one word for GRUB: nothing has a meaning within single quotes, and those end and begin again."""
    return word if _PLAIN_WORD.match(word) else "'" + word.replace("'", "'\"'\"'") + "'"


def extlinux_conf(kernel: Kernel, cmdline: str, device_trees: str) -> str:
    """Return ``extlinux.conf`` for U-Boot; the rest of its line is a word there, so nothing is quoted.

    Args:
        kernel: What is started.
        cmdline: Its command line.
        device_trees: Folder of the kernel's device trees; empty: the firmware's own is used.
    """
    lines = ["default linux", "timeout 1", "label linux", f"    kernel {kernel.path}"]
    lines += [f"    initrd {kernel.initrd}"] if kernel.initrd else []
    lines += [f"    fdtdir {device_trees}"] if device_trees else []
    return "\n".join([*lines, f"    append {cmdline}"]) + "\n"


def fstab(old: str, mounts: Mapping[str, str]) -> str:
    """Return ``/etc/fstab`` with our mounts; what names a device or one of our places becomes a comment.

    A device of the machine on which the tree was made would be waited for, and then the boot ends in an
    emergency shell. What needs no device (tmpfs, the network) stays.

    Args:
        old: The tree's own.
        mounts: Lines by the place they mount at.
    """
    kept = []
    for line in old.splitlines():
        words = line.split()
        ours = len(words) > 1 and words[1] in mounts
        foreign = bool(words) and _DEVICE.match(words[0]) is not None
        commented = bool(words) and words[0].startswith("#")
        kept.append(f"# {line}" if (ours or foreign) and not commented else line)
    return "\n".join([*kept, *mounts.values()]) + "\n"
