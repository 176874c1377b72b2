"""OVMF's variables with a boot order: PXE over IPv4, then the disk, and nothing between.

QEMU's ``bootindex`` would put every boot option of the network card first, UEFI HTTP and IPv6
included, each of which waits a minute for answers before the disk gets its turn. An administrator
would sort them in the setup screens; this writes what the setup screens would.

Layout: UEFI Platform Initialization 1.7 vol. 3 (firmware volume), EDK2 MdeModulePkg
VariableFormat.h (authenticated store), UEFI 2.10 section 3.1.3 (load options), chapter 10 (device paths).
"""

from __future__ import annotations

import struct
from uuid import UUID

NETWORK_SLOT = 2
DISK_SLOT = 3
"""Device numbers on the root PCI bus that ``boot_order`` expects; the board's QEMU puts its devices there."""

_VARIABLE_STORE = UUID("AAF32C78-947B-439A-A180-2E144EC37792").bytes_le  # gEfiAuthenticatedVariableGuid
_GLOBAL = UUID("8BE4DF61-93CA-11D2-AA0D-00E098032B8C").bytes_le  # EFI_GLOBAL_VARIABLE
_NON_VOLATILE_BOOT_RUNTIME = 7
_LOAD_OPTION_ACTIVE = 1


class NotAnEmptyStore(Exception):  # noqa: N818 - says what was found
    """The template is not an OVMF variable store without variables."""


def boot_order(template: bytes, mac: str) -> bytes:
    """Return the template with boot options for the board's network card and disk, in this order.

    Raises:
        NotAnEmptyStore: The template is something else.
    """
    options = [
        _load_option("Network (PXE over IPv4)", _network_path(mac)),
        _load_option("Disk", _path(_pci(DISK_SLOT))),
    ]
    variables = b"".join(_variable(f"Boot{index:04X}", data) for index, data in enumerate(options))
    variables += _variable("BootOrder", struct.pack(f"<{len(options)}H", *range(len(options))))
    start = template.find(_VARIABLE_STORE, 0, 4096) + 28  # VARIABLE_STORE_HEADER
    end = start + len(variables)
    if start < 28 or template[start:end] != b"\xff" * len(variables):
        raise NotAnEmptyStore("not an empty OVMF variable store; OVMF_VARS_4M.fd of package ovmf is one")
    return template[:start] + variables + template[end:]


def _variable(name: str, data: bytes) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    header = struct.pack(
        "<HBBIQ16sIII16s",
        0x55AA,
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


def _network_path(mac: str) -> bytes:
    address = bytes.fromhex(mac.replace(":", "")).ljust(32, b"\0")
    ipv4 = bytes(23)  # all zero: any address, by DHCP
    return _path(_pci(NETWORK_SLOT) + _node(3, 11, address + b"\x01") + _node(3, 12, ipv4))


def _path(nodes: bytes) -> bytes:
    root = _node(2, 1, struct.pack("<II", 0x0A0341D0, 0))  # PciRoot(0)
    return root + nodes + _node(0x7F, 0xFF, b"")


def _pci(device: int) -> bytes:
    return _node(1, 1, bytes((0, device)))


def _node(kind: int, subkind: int, data: bytes) -> bytes:
    return struct.pack("<BBH", kind, subkind, len(data) + 4) + data
