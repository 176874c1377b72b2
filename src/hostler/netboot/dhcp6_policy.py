"""What a client that asks by DHCPv6 is told to boot (RFC 5970): the same as by DHCPv4, said another way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from hostler.model.boot import BootIntent
from hostler.netboot.dhcp_policy import (
    HTTP_CLIENT,
    IPXE_PATH,
    PXE_CLIENT,
    UBOOT_ARCHITECTURES,
    Facts,
    Firmware,
    Refusal,
    first_stage_of,
)
from hostler.wire import dhcp6_options as option
from hostler.wire.dhcp6_options import Option

if TYPE_CHECKING:
    from collections.abc import Container

    from hostler.model.first_stages import Loader
    from hostler.netboot.table import BootTable, NetworkConfig, Target
    from hostler.wire.dhcp6 import Message6

TFTP_PORT = 69
_JUNK_IDS = (bytes(16), b"\xff" * 16)


@dataclass(frozen=True, slots=True)
class Answer6:
    """What to say about booting.

    Attributes:
        url: Option 59; empty for none.
        options: What goes with it.
    """

    url: str = ""
    options: tuple[Option, ...] = ()


def client_facts6(message: Message6, table: BootTable) -> Facts:
    """Return what the sender says about itself.

    Args:
        message: What it sent.
        table: The boards, to tell which of two readings of a UUID is one of theirs.
    """
    vendor_class, user_classes = message.vendor_class, message.user_classes
    architectures = message.architectures
    architecture = architectures[0] if architectures else None
    if "iPXE" in user_classes:
        firmware = Firmware.IPXE  # by IPv6 it does not tell what it can do; every build in use speaks HTTP
    elif architecture in UBOOT_ARCHITECTURES:
        firmware = Firmware.UBOOT
    elif vendor_class.startswith(HTTP_CLIENT):
        firmware = Firmware.HTTP
    elif vendor_class.startswith(PXE_CLIENT) or architecture is not None:
        firmware = Firmware.PXE
    else:
        firmware = Firmware.SYSTEM
    uuid = _uuid(message.duid.uuid, table)
    return Facts(firmware, architecture, uuid, vendor_class, ",".join(user_classes))


def _uuid(machine: bytes | None, table: BootTable) -> str | None:
    """The SMBIOS UUID in a DUID: RFC 6355 wants network order, firmware copies the bytes of the table."""
    if machine is None or machine in _JUNK_IDS:
        return None
    as_stored, as_written = str(UUID(bytes_le=machine)), str(UUID(bytes=machine))
    return as_written if table.by_uuid(as_written) is not None else as_stored


def boot_answer6(
    facts: Facts,
    target: Target | None,
    network: NetworkConfig,
    boot_files: Container[str],
    loader: Loader | None = None,
) -> Answer6 | Refusal:
    """Return what the client is to boot; see ``dhcp_policy.boot_answer``.

    Args:
        facts: ``client_facts6`` of what it sent.
        target: The board, or None for a stranger.
        network: Where it asked; it is served over IPv6.
        boot_files: Names that TFTP can serve.
        loader: What firmware is sent to instead of the board's own loader, if anything.
    """
    if target is not None and target.intent is BootIntent.DENY:
        return Refusal(f"{target.board} is to get no answer now")
    if facts.firmware in (Firmware.SYSTEM, Firmware.UBOOT):
        return Answer6()
    web = f"http://[{network.server6}]:{network.http_port}"
    if facts.firmware is Firmware.IPXE:
        return _answer(f"{web}{IPXE_PATH}")
    file = first_stage_of(facts, target, boot_files, loader)
    if isinstance(file, Refusal):
        return file
    if facts.firmware is Firmware.HTTP:
        # UEFI 2.10 section 24.7.3.1: an answer without this name in option 16 is not one for HTTP boot.
        return _answer(f"{web}/boot/{file}", option.vendor_class(option.INTEL, HTTP_CLIENT))
    port = "" if network.tftp_port == TFTP_PORT else f":{network.tftp_port}"
    # No option 16: EDK2 takes an answer with ``PXEClient`` for a boot server's, and asks that on port 4011.
    return _answer(f"tftp://[{network.server6}]{port}/{file}")


def _answer(url: str, *more: Option) -> Answer6:
    return Answer6(url, ((option.BOOT_URL, url.encode()), *more))
