"""The images that faults deploy: most of them have something wrong with them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from whole_lab import BOOT_SECONDS

from hostler.demo.material import PLATFORMS
from hostler.wire import newc

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from whole_lab import WholeLab

    from hostler.demo.material import Material

MiB = 1 << 20
_RESETS = b"#!/bin/sh\nmount -t proc proc /proc\nsleep 2\necho b > /proc/sysrq-trigger\n"
# The words are given here, and are curl's: no TLS is spoken. What is shown is that they arrive and are known.
_NEEDS_TIME = b"""#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mkdir -p /run/hostler
modprobe -a virtio_pci virtio_net
for card in /sys/class/net/e*; do card=${card##*/}; done
ip link set $card up
udhcpc -i $card -s /etc/udhcpc.sh
url=$(tr ' ' '\\n' </proc/cmdline | sed -n 's/^fail=//p')
[ $(date +%Y) -ge 2020 ] || wget -q -O - --post-data "curl: (60) SSL: certificate is not yet valid" "$url"
exec sleep 3600
"""
_IDLE = b"#!/bin/sh\nexec sleep 3600\n"


def bring_images(lab: WholeLab, material: Material, wanted: Collection[str]) -> bytes:
    """Import those that are wanted, and return the kernel of ``lost-kernel``."""
    folder = lab.state / "images"
    folder.mkdir()
    for name in PLATFORMS:
        if name in wanted:
            lab.import_image(name, material.images[name], *PLATFORMS[name])
    _bring_disks(lab, material.images["tiny-amd64"], wanted, folder)
    lost = os.urandom(4 * MiB)
    _bring_systems(lab, material, wanted, folder, lost)
    return lost


def _bring_disks(lab: WholeLab, tiny: Path, wanted: Collection[str], folder: Path) -> None:
    disks = {
        "other-words": (lambda path: shutil.copyfile(tiny, path), "never said"),
        "no-kernel": (
            lambda path: path.write_bytes(_edited(tiny, b"linux /kernel", b"linux /kermel")),
            "login:",
        ),
        "no-initrd": (
            lambda path: path.write_bytes(_edited(tiny, b"\ninitrd /initrd", b"\n#nitrd /initrd")),
            "login:",
        ),
        "bulk": (lambda path: path.write_bytes(os.urandom(96 * MiB)), "login:"),
        "damaged": (lambda path: path.write_bytes(os.urandom(8 * MiB)), "login:"),
        "noise": (lambda path: path.write_bytes(os.urandom(MiB)), "login:"),
    }
    arch, platforms = PLATFORMS["tiny-amd64"]
    for name, (make, words) in disks.items():
        if name in wanted:
            make(folder / name)
            lab.client.import_image(
                name, folder / name, arch=arch, platforms=platforms, done_console=words,
                done_seconds=BOOT_SECONDS,
            )  # fmt: skip


def _bring_systems(
    lab: WholeLab, material: Material, wanted: Collection[str], folder: Path, lost: bytes
) -> None:
    kernel, initrd = (path.read_bytes() for path in material.agents["amd64"])
    systems = {
        "bad-kernel": (os.urandom(4 * MiB), initrd, "15m"),
        "no-init": (kernel, b"", "15m"),
        "lost-kernel": (lost, initrd, "15m"),
        "hung-kernel": (_hung(kernel), initrd, "2m"),
        "resets": (kernel, initrd + _with_init(_RESETS), "15m"),
        "needs-time": (kernel, initrd + _with_init(_NEEDS_TIME), "15m"),
        "never-done": (kernel, initrd + _with_init(_IDLE), "2m"),
    }
    for name, (first, second, within) in systems.items():
        if name in wanted:
            _import_system(lab, folder / name, first, second, within)
    if "bad-kernel-arm64" in wanted:
        initrd = material.agents["arm64"][1].read_bytes()
        _import_system(lab, folder / "bad-kernel-arm64", os.urandom(4 * MiB), initrd, "15m", "arm64")


def _import_system(
    lab: WholeLab, folder: Path, kernel: bytes, initrd: bytes, within: str, arch: str = "amd64"
) -> None:
    folder.mkdir()
    (folder / "kernel").write_bytes(kernel)
    (folder / "initrd").write_bytes(initrd)
    (folder / "end.sh").write_text('wget "{{ done_url }}"\n')  # which nobody runs
    (folder / "image.toml").write_text(
        f'description = "{folder.name}"\narch = "{arch}"\nkernel = "kernel"\n'
        + ('initrd = "initrd"\n' if initrd else "")
        + 'installs = true\ncmdline = "console={{ board.console }} fail={{ fail_url }}"\n'
        '[templates]\nend = "end.sh"\n'
        f'[done]\nsignal = "callback"\nwithin = "{within}"\n'
    )
    said = lab.hostler("image", "import", folder.name, str(folder / "image.toml"))
    assert said.status == 0, said.err


def _with_init(script: bytes) -> bytes:
    """Return an archive that, behind an initramfs, puts another first process in the place of its own."""
    return newc.archive([newc.file("init", script, 0o755)])


def _edited(image: Path, before: bytes, after: bytes) -> bytes:
    """Return a disk on which a line of the boot loader's script reads otherwise."""
    content = image.read_bytes()
    assert content.count(before) == 1
    return content.replace(before, after)


def _hung(kernel: bytes) -> bytes:
    """Return a kernel that loads as it should and whose first instruction is a jump to itself."""
    setup = (kernel[0x1F1] + 1) * 512  # setup_sects of the boot protocol (Linux: arch/x86/boot.rst)
    return kernel[:setup] + b"\xeb\xfe" + kernel[setup + 2 :]
