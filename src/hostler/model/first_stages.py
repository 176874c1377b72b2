"""What firmware is to fetch first, by the architecture it tells (option 93) and by the loader chosen.

Names are those that TFTP serves, and HTTP below ``/boot/``. A first stage finds its next ones beside it.
"""

from __future__ import annotations

from enum import StrEnum

BIOS_FILE = "undionly.kpxe"
UEFI_X64_FILE = "snponly.efi"
UEFI_ARM64_FILE = "snponly-arm64.efi"


class Loader(StrEnum):
    """Which boot loader brings a board's kernel, where its firmware leaves a choice.

    Attributes:
        IPXE: iPXE.
        GRUB: Debian's shim and GRUB, signed: the only one that Secure Boot lets start.
        PXELINUX: ``lpxelinux`` (BIOS): fetches by HTTP once it runs. To U-Boot, its own ``pxelinux.cfg``.
        UBOOT: A U-Boot that a Raspberry Pi's firmware fetches as its kernel, one build for each thing to do.
        UKI: None: one EFI program that is kernel, initramfs and command line, made for the board.
    """

    IPXE = "ipxe"
    GRUB = "grub"
    PXELINUX = "pxelinux"
    UKI = "uki"
    UBOOT = "u-boot"


# Some x64 firmware calls itself EBC, which is 9: RFC 4578 had 7 and 9 swapped (errata).
_X64_PXE, _ARM64_PXE = (7, 9), (11,)
_X64_HTTP, _ARM64_HTTP = 16, 19
_X64, _ARM64 = (*_X64_PXE, _X64_HTTP), (*_ARM64_PXE, _ARM64_HTTP)
UKI_FILE = "uki.efi"
"""The unified kernel image made for the board that asks."""
_FILES = {
    Loader.IPXE: {0: BIOS_FILE} | dict.fromkeys(_X64, UEFI_X64_FILE) | dict.fromkeys(_ARM64, UEFI_ARM64_FILE),
    # Debian's GRUB finds no network that HTTP boot has left, and stops at its prompt. Such firmware is given
    # a disk with all that GRUB needs.
    Loader.GRUB: dict.fromkeys(_X64_PXE, "grub/shimx64.efi")
    | dict.fromkeys(_ARM64_PXE, "grub/shimaa64.efi")
    | {_X64_HTTP: "grub/x64/boot.img", _ARM64_HTTP: "grub/arm64/boot.img"},
    Loader.PXELINUX: {0: "pxelinux/lpxelinux.0"},
    Loader.UKI: dict.fromkeys((*_X64, *_ARM64), UKI_FILE),
    Loader.UBOOT: {},
}
IPXE_FILES = frozenset(_FILES[Loader.IPXE].values())
"""Every build of iPXE, by the name it is served under."""
FIRST_STAGES = {number: _FILES[Loader.IPXE][number] for number in (0, 7, 9, 11)}
"""Files of iPXE by option 93 number of PXE firmware: BIOS, UEFI x64, EBC, UEFI ARM64."""
HTTP_FIRST_STAGES = {_X64_HTTP: UEFI_X64_FILE, _ARM64_HTTP: UKI_FILE}
"""Files for UEFI HTTP boot by option 93 number, where nobody chooses by the board: what needs no more."""


_HOLD = dict.fromkeys(_X64, "hold-x64.efi") | dict.fromkeys(_ARM64, "hold-arm64.efi")


_REGISTERED = {
    (Loader.GRUB, "amd64"): ("shimx64.efi", "grubx64.efi"),
    (Loader.GRUB, "arm64"): ("shimaa64.efi", "grubaa64.efi"),
    (Loader.PXELINUX, "amd64"): ("lpxelinux.0", "ldlinux.c32"),
    (Loader.UKI, "amd64"): ("linuxx64.efi.stub",),
    (Loader.UKI, "arm64"): ("linuxaa64.efi.stub",),
    (Loader.UBOOT, "arm64"): ("u-boot-provisioning.bin",),
}
"""Boot files a loader needs to bring a kernel of an architecture; flat names, registered with the agent."""


def registered_files(arch: str, loader: Loader) -> tuple[str, ...]:
    """Return the boot files with which a loader brings a kernel.

    Args:
        arch: Debian's name of the kernel's architecture.
        loader: The loader; iPXE is not registered but comes with this host's package.
    """
    return _REGISTERED.get((loader, arch), ())


def first_stage(architecture: int, loader: Loader) -> str | None:
    """Return what to fetch first; None: this loader is not for such firmware."""
    return _FILES[loader].get(architecture)


def hold_file(architecture: int) -> str | None:
    """Return a program that lets UEFI firmware wait and ask again; it is always there. None: for no other."""
    return _HOLD.get(architecture)


def required_files(architecture: int, loader: Loader) -> tuple[str, ...]:
    """Return the boot files that must be there before firmware is sent to a first stage."""
    stage = first_stage(architecture, loader)
    if stage is None or stage == UKI_FILE:  # always there: it may be one that says what is missing
        return ()
    if loader is Loader.IPXE:
        return (stage,)
    return registered_files("arm64" if architecture in _ARM64 else "amd64", loader)


UBOOT_GRUB_FILE = "grub/grubaa64.efi"
"""What U-Boot starts as GRUB: its EFI has nothing by which shim could fetch the next file from a server."""
