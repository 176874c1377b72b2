"""The machine behind each kind of board: its firmware files and QEMU's argument list."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.virtual import disk_wiring, uboot_env, uefi_nvram
from hostler.virtual.config import First, Kind
from hostler.virtual.disks import DiskKind

if TYPE_CHECKING:
    from hostler.virtual.config import BoardConfig

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
OVMF_SECURE_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
OVMF_SECURE_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")  # Microsoft's keys are enrolled
AAVMF_CODE = Path("/usr/share/AAVMF/AAVMF_CODE.fd")
AAVMF_VARS = Path("/usr/share/AAVMF/AAVMF_VARS.ms.fd")  # likewise; the one without them is all zero
UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
IPXE_ROM = Path("/usr/lib/ipxe/qemu/efi-virtio.rom")  # holds the BIOS image as well
NETDEV = "net"
"""The id of a board's ``-netdev``."""
_FLASH_BANK = 64 << 20  # the "virt" machine takes no other size

BINARY = {
    Kind.X86_BIOS: "qemu-system-x86_64",
    Kind.X86_UEFI: "qemu-system-x86_64",
    Kind.ARM64_UBOOT: "qemu-system-aarch64",
    Kind.ARM64_UEFI: "qemu-system-aarch64",
}
_NEEDS = {
    Kind.X86_BIOS: ((IPXE_ROM, "ipxe-qemu"),),
    Kind.X86_UEFI: ((OVMF_CODE, "ovmf"), (OVMF_VARS, "ovmf")),
    Kind.ARM64_UBOOT: ((UBOOT, "u-boot-qemu"),),
    Kind.ARM64_UEFI: ((AAVMF_CODE, "qemu-efi-aarch64"), (AAVMF_VARS, "qemu-efi-aarch64")),
}
_PACKAGE = {"qemu-system-x86_64": "qemu-system-x86", "qemu-system-aarch64": "qemu-system-arm"}


class FirmwareMissing(Exception):  # noqa: N818 - says what is missing
    """A program or firmware file is not installed; the text names its Debian package."""


@dataclass(frozen=True, slots=True)
class Plugs:
    """What a board is wired to.

    Attributes:
        tap: Network device in the namespace QEMU is started in.
        serial_fd: Inherited file descriptor of a connected stream socket: the serial line.
        accelerator: ``kvm`` or ``tcg``.
        cache: Disk cache mode.
        monitor_fd: Inherited file descriptor of a connected stream socket: a QMP monitor of its own.
    """

    tap: str
    serial_fd: int
    accelerator: str
    cache: str
    monitor_fd: int | None = None


def require(kinds: set[Kind]) -> None:
    """Check that QEMU and the firmware of these kinds are installed.

    Raises:
        FirmwareMissing: Names the file and its package.
    """
    for kind in sorted(kinds):
        if shutil.which(BINARY[kind]) is None:
            raise FirmwareMissing(
                f"{BINARY[kind]} is missing; boards of kind {kind} need package {_PACKAGE[BINARY[kind]]}"
            )
        for path, package in _NEEDS[kind]:
            if not path.exists():
                raise FirmwareMissing(f"{path} is missing; boards of kind {kind} need package {package}")


def prepare(board: BoardConfig, directory: Path) -> None:
    """Put the board's disks, once, and its firmware's settings, afresh, into ``directory``.

    The disks survive power cuts and restarts. The firmware's settings are written at every power-up, so that
    an operating system which moves itself to the front of the boot order cannot take a board off the network.

    Raises:
        OSError: No space, no permission.
        NoDefaultEnvironment, NotAStore: The installed firmware is not the kind this lab knows.
    """
    directory.mkdir(parents=True, exist_ok=True)
    disk_wiring.prepare(board.disks, directory)
    if board.kind.uefi:
        arm = board.kind is Kind.ARM64_UEFI
        template = (AAVMF_VARS if arm else OVMF_SECURE_VARS if board.secure_boot else OVMF_VARS).read_bytes()
        if arm and not board.secure_boot:
            template = uefi_nvram.without_variables(template)
        (directory / "nvram.fd").write_bytes(
            uefi_nvram.boot_order(template, board.mac, board.first, board.disks[0].kind)
        )
    elif board.kind is Kind.ARM64_UBOOT:
        defaults = uboot_env.default_environment(UBOOT.read_bytes())
        order = uboot_env.disk_first if board.first is First.DISK else uboot_env.network_first
        settings = order(defaults, board.mac, board.uuid)
        with (directory / "environment.img").open("wb") as file:
            file.write(uboot_env.encode(settings))
            file.truncate(_FLASH_BANK)


def command(board: BoardConfig, plugs: Plugs) -> list[str]:
    """Return QEMU's argument list; file names are relative to the board's directory."""
    return [
        *_machine(board, plugs.accelerator),
        *("-name", board.name, "-uuid", str(board.uuid), "-m", str(board.memory), "-smp", str(board.cpus)),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        # A guest that powers itself off stays on its port, like a real one, until the port is switched off.
        "-no-shutdown",
        *("-smbios", _smbios(board)),
        *(("-rtc", f"base={board.clock}") if board.clock else ()),
        *("-chardev", f"socket,id=line,fd={plugs.serial_fd}", "-serial", "chardev:line"),
        *("-qmp", "unix:qmp.sock,server=on,wait=off"),
        *_monitor(plugs.monitor_fd),
        *("-netdev", f"tap,id={NETDEV},ifname={plugs.tap},script=no,downscript=no"),
        *("-device", _network_card(board)),
        *disk_wiring.arguments(
            board.disks, _disk_slots(board), plugs.cache, 1 if board.kind is Kind.X86_BIOS else None
        ),
        *_media(board),
        *("-device", "virtio-rng-pci"),
    ]


def accelerator_options(accelerator: str) -> list[str]:
    """Return the options that choose an accelerator."""
    if accelerator == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi,tb-size=256"]


def _monitor(fd: int | None) -> list[str]:
    # Beside qmp.sock, which serves one client at a time and is left to people.
    if fd is None:
        return []
    return ["-chardev", f"socket,id=monitor,fd={fd}", "-mon", "chardev=monitor,mode=control"]


def _machine(board: BoardConfig, accelerator: str) -> list[str]:
    binary = BINARY[board.kind]
    chosen = accelerator_options(accelerator)
    if board.kind is Kind.X86_BIOS:
        # graphics=off makes SeaBIOS, and what boots through it, speak on the serial port.
        # A board that finds nothing to boot starts over.
        # An SD card has no place in the order, and strict leaves out what has none.
        strict = "off" if board.disks[0].kind is DiskKind.SD else "on"
        order = ["-boot", f"menu=off,strict={strict},reboot-timeout=5000"]
        return [binary, "-machine", "pc,graphics=off", *chosen, *order]
    if board.kind is Kind.X86_UEFI:
        # Secure Boot keeps its variables in system management mode.
        smm = "on" if board.secure_boot else "off"
        code = OVMF_SECURE_CODE if board.secure_boot else OVMF_CODE
        return [
            *(binary, "-machine", f"q35,smm={smm}", *chosen, *_patience(board)),
            *(("-global", "driver=cfi.pflash01,property=secure,value=on") if board.secure_boot else ()),
            *_flash(code),
        ]
    cpu = [] if accelerator == "kvm" else ["-cpu", "cortex-a57"]
    machine = [binary, "-machine", "virt", *chosen, *cpu]
    if board.kind is Kind.ARM64_UEFI:
        return [*machine, *_patience(board), *_flash(AAVMF_CODE)]
    return [*machine, "-bios", str(UBOOT), "-drive", "if=pflash,index=1,format=raw,file=environment.img"]


def _patience(board: BoardConfig) -> list[str]:
    # A card has its link-local address a second after the firmware started it. EDK2's HTTP boot fails without
    # it, where PXE waits; on real boards the entries before this one take that long.
    return ["-boot", "menu=on,splash-time=3000"] if board.first is First.HTTP6 else []


def _flash(code: Path) -> list[str]:
    return [
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"),
        *("-drive", "if=pflash,unit=1,format=raw,file=nvram.fd"),
    ]


def _smbios(board: BoardConfig) -> str:
    return f"type=1,manufacturer=Hostler,product=Virtual {board.kind},uuid={board.uuid},serial={board.serial}"


def _network_card(board: BoardConfig) -> str:
    card = f"virtio-net-pci,netdev={NETDEV},mac={board.mac},addr={uefi_nvram.NETWORK_SLOT:#x}"
    if board.kind is Kind.X86_BIOS and board.first is First.NETWORK:
        # The card's default ROM is iPXE; a ROM named here keeps its own ids, and SeaBIOS does not run it.
        return f"{card},bootindex=0"
    return f"{card},romfile="  # UEFI and U-Boot have network stacks of their own


def _disk_slots(board: BoardConfig) -> list[int]:
    behind = uefi_nvram.MEDIA_SLOT + 1
    return [uefi_nvram.DISK_SLOT, *range(behind, behind + len(board.disks) - 1)]


def _media(board: BoardConfig) -> list[str]:
    if board.media is None:
        return []
    first = ",bootindex=0" if board.kind is Kind.X86_BIOS and board.first is First.MEDIA else ""
    return [
        *("-drive", f"if=none,id=media,format=raw,readonly=on,file={board.media}"),
        *("-device", f"virtio-blk-pci,drive=media,addr={uefi_nvram.MEDIA_SLOT:#x}{first}"),
    ]
