"""EDK2's variables with a boot order: what is to be tried first, then the disk, and nothing between.

QEMU's ``bootindex`` would put every boot option of the network card first, UEFI HTTP and IPv6
included, each of which waits a minute for answers before the disk gets its turn. An administrator
would sort them in the setup screens; this writes what the setup screens would.

Layout: UEFI Platform Initialization 1.7 vol. 3 (firmware volume), EDK2 MdeModulePkg
VariableFormat.h (authenticated store), UEFI 2.10 section 3.1.3 (load options), chapter 10 (device paths).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING
from uuid import UUID

from hostler.virtual.config import First
from hostler.virtual.disk_wiring import NVME_EUI64
from hostler.virtual.disks import DiskKind

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORK_SLOT = 2
DISK_SLOT = 3
MEDIA_SLOT = 4
"""Device numbers on the root PCI bus that ``boot_order`` expects; the board's QEMU puts its devices there."""

_VARIABLE_STORE = UUID("AAF32C78-947B-439A-A180-2E144EC37792").bytes_le  # gEfiAuthenticatedVariableGuid
_GLOBAL = UUID("8BE4DF61-93CA-11D2-AA0D-00E098032B8C").bytes_le  # EFI_GLOBAL_VARIABLE
_NON_VOLATILE_BOOT_RUNTIME = 7
_LOAD_OPTION_ACTIVE = 1
_STARTS = struct.pack("<H", 0x55AA)
_HEADER = 60  # AUTHENTICATED_VARIABLE_HEADER
_DELETED = 0xFD  # VAR_DELETED: cleared bits of the state byte
_BOOT_OPTION = re.compile(r"Boot(?:Order|[0-9A-F]{4})")


class NotAStore(Exception):  # noqa: N818 - says what was found
    """The template is not a variable store of EDK2 with room for a boot order."""


def boot_order(template: bytes, mac: str, first: First, disk_kind: DiskKind = DiskKind.VIRTIO) -> bytes:
    """Return the template with boot options for what is first and for the disk, in place of those it has.

    Raises:
        NotAStore: The template is something else, or full.
    """
    disk = _load_option("Disk", _path(_pci(DISK_SLOT) + _DISK_NODES[disk_kind]))
    network = _load_option(*_NETWORK[first](mac)) if first in _NETWORK else b""
    options = {
        First.DISK: [disk, _load_option(*_NETWORK[First.NETWORK](mac))],
        First.MEDIA: [_load_option("Media", _path(_pci(MEDIA_SLOT))), disk],
    }.get(first, [network, disk])
    variables = b"".join(_variable(f"Boot{index:04X}", data) for index, data in enumerate(options))
    variables += _variable("BootOrder", struct.pack(f"<{len(options)}H", *range(len(options))))
    template = _without_boot_options(template)
    start = _end_of_variables(template)
    end = start + len(variables)
    if template[start:end] != b"\xff" * len(variables):
        raise NotAStore("no room behind the variables of this store")
    return template[:start] + variables + template[end:]


def without_variables(template: bytes) -> bytes:
    """Return the template as it is before the first variable is written.

    Raises:
        NotAStore: The template is something else.
    """
    start, end = _first_variable(template), _end_of_variables(template)
    return template[:start] + b"\xff" * (end - start) + template[end:]


def _without_boot_options(template: bytes) -> bytes:
    """Return the template with the boot options it holds marked as deleted: EDK2 hangs over two of a name."""
    result = bytearray(template)
    at = _first_variable(template)
    while template[at : at + 2] == _STARTS:
        name, data = struct.unpack_from("<II", template, at + 36)
        text = template[at + _HEADER : at + _HEADER + name].decode("utf-16-le", "replace").rstrip("\0")
        if _BOOT_OPTION.fullmatch(text):
            result[at + 2] &= _DELETED
        at += _HEADER + name + data
        at += -at % 4
    return bytes(result)


def _first_variable(template: bytes) -> int:
    store = template.find(_VARIABLE_STORE, 0, 4096)
    if store < 0:
        raise NotAStore("not a variable store of EDK2; OVMF_VARS_4M.fd of package ovmf is one")
    return store + 28  # VARIABLE_STORE_HEADER


def _end_of_variables(template: bytes) -> int:
    """Where the next variable is to be written."""
    at = _first_variable(template)
    while template[at : at + 2] == _STARTS:
        name, data = struct.unpack_from("<II", template, at + 36)
        at += _HEADER + name + data
        at += -at % 4
    return at


def _variable(name: str, data: bytes) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    header = struct.pack(
        "<2sBBIQ16sIII16s",
        _STARTS,
        0x3F,  # VAR_ADDED
        0,
        _NON_VOLATILE_BOOT_RUNTIME,
        0,
        bytes(16),
        0,
        len(encoded),
        len(data),
        _GLOBAL,
    )
    variable = header + encoded + data
    return variable + b"\xff" * (-len(variable) % 4)


def _load_option(description: str, path: bytes) -> bytes:
    return (
        struct.pack("<IH", _LOAD_OPTION_ACTIVE, len(path)) + (description + "\0").encode("utf-16-le") + path
    )


def _network(mac: str, address: bytes, *more: bytes) -> bytes:
    card = bytes.fromhex(mac.replace(":", "")).ljust(32, b"\0")
    return _path(_pci(NETWORK_SLOT) + _node(3, 11, card + b"\x01") + address + b"".join(more))


def _path(nodes: bytes) -> bytes:
    root = _node(2, 1, struct.pack("<II", 0x0A0341D0, 0))  # PciRoot(0)
    return root + nodes + _node(0x7F, 0xFF, b"")


def _pci(device: int) -> bytes:
    return _node(1, 1, bytes((0, device)))


def _node(kind: int, subkind: int, data: bytes) -> bytes:
    return struct.pack("<BBH", kind, subkind, len(data) + 4) + data


# What follows the controller, UEFI 2.10 sections 10.3.4.4 to 10.3.4.6, 10.3.4.21 and 10.3.4.27; virtio has
# nothing. Port 0 of xHCI: QEMU has its SuperSpeed ports first, and a stick is SuperSpeed.
_DISK_NODES = {
    DiskKind.VIRTIO: b"",
    DiskKind.NVME: _node(3, 23, struct.pack("<I", 1) + NVME_EUI64.to_bytes(8, "big")),
    DiskKind.AHCI: _node(3, 18, struct.pack("<HHH", 0, 0xFFFF, 0)),
    DiskKind.SD: _node(3, 26, bytes(1)),
    DiskKind.USB: _node(3, 5, bytes(2)),
}
# All zero: any address, by DHCP. UEFI 2.10 sections 10.3.4.12, 10.3.4.13 and 10.3.4.23.
_IPV4 = _node(3, 12, bytes(23))
# EDK2 looks for its own path byte by byte, and writes the length of a prefix into that for PXE.
_PXE_IPV6 = _node(3, 13, bytes(39) + bytes((64,)) + bytes(16))
_IPV6 = _node(3, 13, bytes(56))
_URI = _node(3, 24, b"")
_NETWORK: dict[First, Callable[[str], tuple[str, bytes]]] = {
    First.NETWORK: lambda mac: ("Network (PXE over IPv4)", _network(mac, _IPV4)),
    First.HTTP: lambda mac: ("Network (HTTP over IPv4)", _network(mac, _IPV4, _URI)),
    First.NETWORK6: lambda mac: ("Network (PXE over IPv6)", _network(mac, _PXE_IPV6)),
    First.HTTP6: lambda mac: ("Network (HTTP over IPv6)", _network(mac, _IPV6, _URI)),
}
