"""What a client that asks by DHCP is told to boot: a pure function of what it said and who it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from hostler.model.boot import BootIntent
from hostler.model.first_stages import (
    UBOOT_GRUB_FILE,
    UKI_FILE,
    Loader,
    first_stage,
    hold_file,
    registered_files,
    required_files,
)
from hostler.model.platform import UBOOT_PLATFORMS
from hostler.netboot.dhcp_raspberrypi import menu as raspberrypi_menu
from hostler.netboot.dhcp_raspberrypi import serials as raspberrypi_serials
from hostler.netboot.pxelinux_tree import PREFIX as PXELINUX_TREE
from hostler.netboot.render_pxelinux_bios import OWN_CONFIG as PXELINUX_OWN_CONFIG
from hostler.netboot.render_raspberrypi import GENERATIONS
from hostler.wire.dhcp_options import (
    BOOT_FILE,
    CLIENT_ARCH,
    CLIENT_UUID,
    IPXE,
    IPXE_HTTP,
    IPXE_NO_PROXY,
    PXE_DISCOVERY_CONTROL,
    PXELINUX_CONFIG,
    PXELINUX_PREFIX,
    TFTP_SERVER,
    USER_CLASS,
    VENDOR,
    VENDOR_CLASS,
    encapsulate,
)

if TYPE_CHECKING:
    from collections.abc import Container

    from hostler.model.json import Document
    from hostler.netboot.table import NetworkConfig, Target
    from hostler.wire.dhcp import Message

IPXE_PATH = "/boot/ipxe"

PXE_CLIENT, HTTP_CLIENT = "PXEClient", "HTTPClient"
"""How the vendor class of firmware begins."""
NO_EFI_PROGRAM = "no-efi-program"
"""A name that no file has: fetching it in vain sends U-Boot on to its next boot target."""
_BIOS = 0
UBOOT_ARCHITECTURES = (0x15, 0x16)
"""What U-Boot says it is: ARM32 and ARM64."""
_ARCHITECTURE_NAMES = {
    0: "x86 BIOS",
    2: "Itanium",
    6: "x86 UEFI",
    7: "x64 UEFI",
    9: "EBC",
    10: "ARM32 UEFI",
    11: "ARM64 UEFI",
    15: "x86 UEFI HTTP",
    16: "x64 UEFI HTTP",
    18: "ARM32 UEFI HTTP",
    19: "ARM64 UEFI HTTP",
    20: "x86 BIOS HTTP",
    21: "ARM32 U-Boot",
    22: "ARM64 U-Boot",
    27: "RISC-V 64 UEFI",
    41: "ARM rpiboot",
}
# Bit 3: use the file you were given. UEFI and BIOS ROMs would otherwise look for a boot server by multicast.
_USE_FILE = encapsulate([(PXE_DISCOVERY_CONTROL, b"\x08")], end=True)
_NO_PROXY = encapsulate([(IPXE_NO_PROXY, b"\x01")])
# What only firmware and iPXE send. A Raspberry Pi's REQUEST may have no more than option 97.
_FIRMWARE_OPTIONS = frozenset({VENDOR_CLASS, CLIENT_ARCH, USER_CLASS, CLIENT_UUID})
_JUNK_IDS = (bytes(16), b"\xff" * 16)


class Firmware(StrEnum):
    """Who asks.

    Attributes:
        IPXE: iPXE that speaks HTTP.
        PXE: A PXE ROM, BIOS or UEFI, or an iPXE that cannot do HTTP: fetches one file by TFTP.
        RASPBERRY_PI: The ROM or EEPROM of a Raspberry Pi: fetches files whose names it knows by TFTP.
        UBOOT: U-Boot: looks for ``pxelinux.cfg`` by TFTP.
        HTTP: UEFI HTTP boot.
        SYSTEM: An operating system, or anything else that wants an address and no more.
    """

    IPXE = "ipxe"
    PXE = "pxe"
    RASPBERRY_PI = "raspberry-pi"
    UBOOT = "u-boot"
    HTTP = "uefi-http"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a client says about itself.

    Attributes:
        firmware: Who asks.
        architecture: First number of option 93, or None.
        uuid: Option 97 as the SMBIOS UUID reads in ``dmidecode``; None if absent or junk.
        vendor_class: Option 60.
        user_class: Option 77, classes joined by commas.
        serials: What a Raspberry Pi's serial number may be, 8 hexadecimal digits each, the likely one first.
    """

    firmware: Firmware
    architecture: int | None = None
    uuid: str | None = None
    vendor_class: str = ""
    user_class: str = ""
    serials: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The client in words: ``iPXE (x86 BIOS)``."""
        if self.firmware is Firmware.RASPBERRY_PI:
            return "Raspberry Pi"  # the architecture it tells is not its own
        kind = {"ipxe": "iPXE", "pxe": "PXE", "u-boot": "U-Boot", "uefi-http": "HTTP boot"}.get(self.firmware)
        if kind is None:
            return self.vendor_class or "system"
        return f"{kind} ({architecture_name(self.architecture)})"

    def to_json(self) -> Document:
        """Return what is known, for the trace."""
        document: Document = {"firmware": self.firmware.value}
        if self.architecture is not None:
            document["architecture"] = self.architecture
        for name, value in (
            ("uuid", self.uuid),
            ("serial", self.serials[0] if self.serials else ""),
            ("vendor_class", self.vendor_class),
            ("user_class", self.user_class),
        ):
            if value:
                document[name] = value
        return document


@dataclass(frozen=True, slots=True)
class Answer:
    """What to put into OFFER and ACK beside the lease.

    Attributes:
        file: Boot file or URL; empty for none.
        next_server: Whether ``siaddr`` is this server.
        options: Boot options by code.
    """

    file: str = ""
    next_server: bool = False
    options: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """No answer at all, and why, in words for the trace."""

    reason: str


_PLAIN = Answer()
_SYSTEM = Facts(Firmware.SYSTEM)


def client_facts(message: Message) -> Facts:
    """Return what the sender of a DISCOVER, REQUEST or INFORM says about itself."""
    options = message.options
    if not _FIRMWARE_OPTIONS & options.keys():
        return _SYSTEM
    serials = raspberrypi_serials(message)
    if serials is not None and "iPXE" not in message.user_classes:
        return Facts(Firmware.RASPBERRY_PI, None, None, message.vendor_class, "", serials)
    vendor_class = message.vendor_class
    user_classes = message.user_classes
    architectures = message.architectures
    architecture = architectures[0] if architectures else None
    if "iPXE" in user_classes:
        # Without option 175 it says nothing about itself; every build in use speaks HTTP.
        features = message.ipxe_options
        firmware = Firmware.PXE if features and IPXE_HTTP not in features else Firmware.IPXE
    elif vendor_class.startswith("U-Boot") or architecture in UBOOT_ARCHITECTURES:
        firmware = Firmware.UBOOT
    elif vendor_class.startswith(HTTP_CLIENT):
        firmware = Firmware.HTTP
    elif vendor_class.startswith(PXE_CLIENT) or (not vendor_class and architecture is not None):
        # Raspberry Pi EEPROMs leave option 60 out of the REQUEST.
        firmware = Firmware.PXE
    else:
        firmware = Firmware.SYSTEM
    return Facts(firmware, architecture, _uuid(message), vendor_class, ",".join(user_classes))


def boot_answer(
    message: Message,
    facts: Facts,
    target: Target | None,
    network: NetworkConfig,
    boot_files: Container[str],
    loader: Loader | None = None,
) -> Answer | Refusal:
    """Return what the client is to boot.

    A client nobody knows is answered like a held board: it gets as far as a script that tells it to wait.
    What the script says differs by intent, and is not decided here.

    Args:
        message: What it sent.
        facts: ``client_facts`` of that.
        target: The board, or None for a stranger.
        network: Where it asked.
        boot_files: Names that TFTP can serve.
        loader: What firmware is sent to instead of the board's own loader, if anything.
    """
    if target is not None and target.intent is BootIntent.DENY:
        return Refusal(f"{target.board} is to get no answer now")
    firmware = facts.firmware
    if firmware is Firmware.SYSTEM:
        return _PLAIN
    if firmware is Firmware.UBOOT:
        # No file: U-Boot would fetch and start it. It ignores 43 and 66, and finds pxelinux.cfg by siaddr.
        # Some builds do just that, with ``dhcp; bootefi``: those that a Raspberry Pi's owner makes for it.
        efi = target is not None and target.loader is Loader.UBOOT and _has_efi_program(target)
        return Answer(UKI_FILE if efi else "", next_server=True)
    server = str(network.server)
    pxelinux = target is not None and target.loader is Loader.PXELINUX and facts.architecture == _BIOS
    if firmware is Firmware.IPXE and not pxelinux:
        url = f"http://{server}:{network.http_port}{IPXE_PATH}"
        return Answer(url, next_server=True, options={BOOT_FILE: url.encode(), IPXE: _NO_PROXY})
    if firmware is Firmware.RASPBERRY_PI or (target is not None and _is_rom_of_pi(target, facts)):
        return _raspberrypi_answer(message, target, server)
    if target is not None and _is_efi_of_uboot(target, facts):
        # It asks once more, for an EFI program, when it found nothing else. Silence would hold it for ever;
        # without a name it would fetch again what it fetched last.
        return Answer(NO_EFI_PROGRAM, next_server=True)
    file = first_stage_of(facts, target, boot_files, loader)
    if isinstance(file, Refusal):
        return file
    if firmware is Firmware.HTTP:
        # UEFI 2.10 section 24.7.3.1: an offer without this name in option 60 is not one for HTTP boot.
        url = f"http://{server}:{network.http_port}/boot/{file}"
        return Answer(url, options={VENDOR_CLASS: HTTP_CLIENT.encode(), BOOT_FILE: url.encode()})
    options = {
        VENDOR_CLASS: PXE_CLIENT.encode(),
        VENDOR: _USE_FILE,
        TFTP_SERVER: server.encode(),
        BOOT_FILE: file.encode(),
    }
    if pxelinux:
        # RFC 5071. The ROM hands them on; all that PXELINUX fetches then comes by HTTP.
        options[PXELINUX_CONFIG] = PXELINUX_OWN_CONFIG.encode()
        options[PXELINUX_PREFIX] = f"http://{server}:{network.http_port}/boot/{PXELINUX_TREE}".encode()
    machine = message.options.get(CLIENT_UUID)
    if machine is not None:
        options[CLIENT_UUID] = machine  # RFC 4578 section 2.3 and the PXE specification want it back
    return Answer(file, next_server=True, options=options)


def first_stage_of(
    facts: Facts, target: Target | None, boot_files: Container[str], loader: Loader | None = None
) -> str | Refusal:
    """Return what firmware that fetches one file is to fetch; strangers get iPXE."""
    if facts.architecture is None:
        return Refusal("a client that does not tell its architecture (option 93)")
    name = architecture_name(facts.architecture)
    loader = loader or (target.loader if target is not None else None) or Loader.IPXE
    if loader is Loader.UBOOT:
        loader = Loader.UKI  # its U-Boot asks for an EFI program
    file = first_stage(facts.architecture, loader)
    if file is None:
        if first_stage(facts.architecture, Loader.IPXE) is None:
            return Refusal(f"no boot file for {name} firmware")
        return Refusal(f'{name} firmware cannot start its loader, "{loader}"; give its class another')
    registered = target.files if target is not None else {}
    absent = [
        needed
        for needed in required_files(facts.architecture, loader)
        if needed not in boot_files and needed not in registered
    ]
    hold = hold_file(facts.architecture)
    if target is None and hold is not None and (absent or file == UKI_FILE):
        return hold  # a machine nobody knows: there is no kernel for it
    if absent:
        return Refusal(f"{name} firmware needs {', '.join(absent)}, which is not registered")
    if target is not None and target.platform in UBOOT_PLATFORMS and loader is Loader.GRUB:
        return UBOOT_GRUB_FILE
    return file


def _is_rom_of_pi(target: Target, facts: Facts) -> bool:
    """Whether what looks like a BIOS is a Raspberry Pi with an unknown OUI."""
    return target.platform in GENERATIONS and facts.architecture in (None, _BIOS)


def _is_efi_of_uboot(target: Target, facts: Facts) -> bool:
    """Whether U-Boot asks like UEFI firmware, and has nothing to get: its disk is next."""
    uboot = target.platform in UBOOT_PLATFORMS or target.loader is Loader.UBOOT
    return uboot and facts.firmware is Firmware.PXE and not _has_efi_program(target)


def _has_efi_program(target: Target) -> bool:
    """Whether a board with U-Boot is to start an EFI program now."""
    if target.loader is Loader.UBOOT:
        return target.intent is BootIntent.STEP and all(
            name in target.files for name in registered_files(target.arch, Loader.UKI)
        )
    return target.intent is not BootIntent.LOCAL and target.loader in (Loader.GRUB, Loader.UKI)


def _raspberrypi_answer(message: Message, target: Target | None, server: str) -> Answer | Refusal:
    if target is None:
        return Refusal("a Raspberry Pi nobody knows; add it to lab.toml, or it boots from its own disk")
    if target.platform not in GENERATIONS:
        return Refusal(f"it is a Raspberry Pi, and its class says that it is {target.platform}")
    absent = GENERATIONS[target.platform].lacks_firmware(target.files)
    if absent and target.intent is not BootIntent.LOCAL:
        return Refusal(absent)
    options = {
        VENDOR_CLASS: PXE_CLIENT.encode(),
        VENDOR: raspberrypi_menu(message.mac),
        TFTP_SERVER: server.encode(),
    }
    machine = message.options.get(CLIENT_UUID)
    if machine is not None:
        options[CLIENT_UUID] = machine
    return Answer(next_server=True, options=options)


def architecture_name(number: int | None) -> str:
    """Return an option 93 number in words."""
    if number is None:
        return "unknown architecture"
    return _ARCHITECTURE_NAMES.get(number, f"architecture {number}")


def _uuid(message: Message) -> str | None:
    machine = message.machine_id
    if machine is None or machine in _JUNK_IDS:
        return None
    # SMBIOS byte order, three fields little endian: EDK2 and iPXE send it so, as seen on the wire.
    return str(UUID(bytes_le=machine))
