"""A medium that brings the agent to a board without network boot: one file, for a stick and as a CD.

An ISO image with a partition table: written to a stick byte by byte, or attached as a CD, it starts on UEFI,
with Secure Boot too (shim and GRUB are signed), and on amd64 by BIOS. Made without root by ``xorriso``.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build.cache import space_errors
from hostler.build.disk import MIB, fat_image
from hostler.build.media_loaders import BIOS_BOOT_SECTOR, BIOS_IMAGE, PREFIX
from hostler.build.tool import find, run
from hostler.model.bootable import UEFI_GRUB, UEFI_SHIM
from hostler.model.medium import DISK_WORD, RACK_ARGUMENT, VOLUME
from hostler.model.platform import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Mapping

KERNEL, INITRD = "kernel", "initrd"
_DEADLINE = 300.0
_MARK = "/boot/hostler-agent"
"""A file by which GRUB, started from the EFI partition, finds the rest."""
_MOST_DISKS = 8
_REMOVABLE_PATH = {"amd64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI"}
_GRUB_BESIDE_SHIM = {"amd64": "grubx64.efi", "arm64": "grubaa64.efi"}
_USUAL = {"amd64": "x86-uefi", "arm64": "arm64-uefi"}


@dataclass(frozen=True, slots=True)
class MediumTerms:
    """What a medium tells its agent.

    Attributes:
        arch: ``amd64`` or ``arm64``.
        rack: ``http://HOST:PORT`` of the boot listener, as boards reach it.
        platform: The board's, whose console is used; empty: any of the architecture.
        macs: The board's; empty: any machine, by whichever interface gets an answer.
        address: ``ADDRESS/BITS`` to use; None: DHCP is asked.
        router: Default gateway for that address, or None.
    """

    arch: str
    rack: str
    platform: str = ""
    macs: tuple[str, ...] = ()
    address: str | None = None
    router: str | None = None

    @property
    def cmdline(self) -> str:
        """The kernel's command line."""
        console = PLATFORMS[self.platform or _USUAL[self.arch]].console
        words = ["console=tty0", f"console={console}", "quiet"]
        words.append(f"{RACK_ARGUMENT}={self.rack}")
        if self.macs:
            words.append(f"hostler.macs={','.join(self.macs)}")
        if self.address:
            words.append(f"hostler.address={self.address}")
            if self.router:
                words.append(f"hostler.router={self.router}")
        return " ".join(words)


def files_needed(arch: str) -> tuple[str, ...]:
    """Return the names of the registered agent's files that a medium is made of."""
    bios = (BIOS_IMAGE, BIOS_BOOT_SECTOR) if arch == "amd64" else ()
    return (KERNEL, INITRD, UEFI_SHIM[arch], UEFI_GRUB[arch], *bios)


def grub_configuration(terms: MediumTerms) -> str:
    """Return ``grub.cfg``: start the agent, or a disk if the agent left word for that in a BIOS's clock."""
    lines = ["set timeout=0"]
    if terms.arch == "amd64":
        lines += ['if [ "$grub_platform" = pc ]; then', *_disk_once(), "fi"]
    lines += [
        f"linux /boot/{KERNEL} {terms.cmdline}",
        f"initrd /boot/{INITRD}",
        "boot",
        # Whatever failed was said; a board in a rack has nobody to press a key.
        "sleep 30",
        "reboot",
    ]
    return "\n".join(lines) + "\n"


def _disk_once() -> list[str]:
    """Lines that start the first bootable disk if the clock's registers say so, and take the word back."""
    lines = ["  set disk=yes"]
    bits = [(register, bit, value >> bit & 1) for register, value in DISK_WORD.items() for bit in range(8)]
    for register, bit, wanted in bits:
        answer = "then true; else set disk=; fi" if wanted else "then set disk=; fi"
        lines.append(f"  if cmostest {register}:{bit}; {answer}")
    lines.append('  if [ "$disk" = yes ]; then')
    lines += [f"    cmosclean {register}:{bit}" for register, bit, wanted in bits if wanted]
    names = " ".join(f"hd{number}" for number in range(_MOST_DISKS))
    lines += [
        f"    for name in {names}; do",
        # A BIOS lets what it starts think it came from the first disk; so the two change names.
        '      if [ "($name)" != "$cmdpath" ]; then',
        "        set root=$name",
        '        if [ "$name" != hd0 ]; then drivemap -s hd0 $name; fi',
        "        if chainloader +1; then boot; fi",
        "        drivemap -r",
        "      fi",
        "    done",
        "    exit",
        "  fi",
    ]
    return lines


def build_medium(output: Path, terms: MediumTerms, files: Mapping[str, Path]) -> None:
    """Make the image; the same terms and files give the same bytes.

    Args:
        output: Of the image; appears whole or not at all, and replaces what is there.
        terms: What the agent is told.
        files: By name, those of ``files_needed``.

    Raises:
        BuildError: A tool is missing or failed, or there is no space.
        OSError: The image cannot be put there.
    """
    find("xorriso", "xorriso")  # what is missing is said before anything is done
    with (
        space_errors(output.parent),
        tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch,
    ):
        place = Path(scratch)
        tree = place / "tree"
        _fill(tree, terms, files)
        _efi_partition(place / "efi.img", terms.arch, files)
        made = place / "medium.iso"
        run(
            _command(made, tree, place / "efi.img", terms.arch, files), deadline=_DEADLINE, environment=_CLOCK
        )
        made.replace(output)


# One time stamp for everything in it; volume and partition ids come from it too.
_CLOCK = {"SOURCE_DATE_EPOCH": "1767225600", "TZ": "UTC"}


def _fill(tree: Path, terms: MediumTerms, files: Mapping[str, Path]) -> None:
    """Lay out what is in the ISO's own file system."""
    grub = tree / PREFIX.strip("/")
    grub.mkdir(parents=True)
    (tree / _MARK.strip("/")).write_text("The agent of Hostler.\n")
    for name in (KERNEL, INITRD):
        shutil.copyfile(files[name], tree / "boot" / name)
    if terms.arch == "amd64":
        shutil.copyfile(files[BIOS_IMAGE], grub / "bios.img")
    (grub / "grub.cfg").write_text(grub_configuration(terms))


def _efi_partition(path: Path, arch: str, files: Mapping[str, Path]) -> None:
    """Make the file system from which UEFI starts: shim, GRUB, and where the rest is."""
    contents = {
        f"EFI/BOOT/{_REMOVABLE_PATH[arch]}": files[UEFI_SHIM[arch]].read_bytes(),
        f"EFI/BOOT/{_GRUB_BESIDE_SHIM[arch]}": files[UEFI_GRUB[arch]].read_bytes(),
        "EFI/BOOT/grub.cfg": (
            f"search --no-floppy --file --set=root {_MARK}\n"
            f"set prefix=($root){PREFIX}\n"
            "configfile $prefix/grub.cfg\n"
        ).encode(),
    }
    size = -(-sum(map(len, contents.values())) // MIB) * MIB + MIB
    fat_image(path, size, "HOSTLER EFI", "484f5354", contents)


def _command(made: Path, tree: Path, efi: Path, arch: str, files: Mapping[str, Path]) -> list[str | Path]:
    bios = (
        "-b", f"{PREFIX.strip('/')}/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
        "--grub2-boot-info", "--grub2-mbr", files[BIOS_BOOT_SECTOR], "--mbr-force-bootable",
        "-eltorito-alt-boot",
    ) if arch == "amd64" else ()  # fmt: skip
    return [
        find("xorriso", "xorriso"), "-as", "mkisofs", "-quiet", "-r", "-V", VOLUME,
        "--set_all_file_dates", f"={_CLOCK['SOURCE_DATE_EPOCH']}", *bios,
        "-append_partition", "2", "0xef", efi, "-appended_part_as_gpt",
        "-e", "--interval:appended_partition_2:all::", "-no-emul-boot",
        "-o", made, tree,
    ]  # fmt: skip
