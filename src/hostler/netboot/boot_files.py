"""Which files exist by TFTP, seen by the board that asks.

Nothing here is a directory on disk. A name is looked up for the board behind the client's address, so one
board cannot see another's files, and a machine nobody knows sees only what leads it to the answer "wait".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.first_stages import IPXE_FILES, UKI_FILE
from hostler.netboot.boot_urls import BootUrls
from hostler.netboot.grub_tree import PREFIX as GRUB_TREE
from hostler.netboot.grub_tree import grub_file
from hostler.netboot.hold_efi import HOLD_PROGRAMS, hold_program
from hostler.netboot.pxelinux_tree import PREFIX as PXELINUX_TREE
from hostler.netboot.pxelinux_tree import pxelinux_file
from hostler.netboot.raspberrypi_tree import RaspberryPiTree
from hostler.netboot.render_raspberrypi import GENERATIONS
from hostler.netboot.uboot_tree import uboot_file
from hostler.netboot.uki import uki_for
from hostler.netboot.virtual_file import VirtualFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from hostler.netboot.table import Address, BootTable, NetworkConfig, Target


class BootFiles:
    """Opens the files that boards ask for by TFTP.

    Args:
        table: What every board is to do.
        networks: The networks served; they tell a board by which address it reaches this host.
        mac_of: MAC that holds the lease of an address, or None.
        firmware: First-stage boot loaders by the name they are asked for (``undionly.kpxe``,
            ``snponly.efi``).
    """

    def __init__(
        self,
        table: BootTable,
        networks: Iterable[NetworkConfig],
        mac_of: Callable[[Address], str | None],
        firmware: Mapping[str, Path],
    ) -> None:
        self._table = table
        self._urls = BootUrls(networks)
        self._mac_of = mac_of
        self._firmware = firmware

    def open(self, client: Address, name: str) -> VirtualFile | None:
        """Return the file of this name for this client, or None if there is none for it.

        Args:
            client: The asking address.
            name: Cleaned name: no leading slash, no ``..``.

        Raises:
            VirtualFileError: It should exist, but its parts cannot be read.
        """
        if (loader := self._firmware.get(name)) is not None:
            return VirtualFile(loader)
        mac = self._mac_of(client)
        target = self._table.by_mac(mac) if mac else None
        if target is not None and target.platform in GENERATIONS:
            tree = RaspberryPiTree(target, self._table.artefact, self._rack(client))
            if (parts := tree.parts(name)) is not None:
                return VirtualFile(*parts)
        if name.startswith(PXELINUX_TREE):
            return self._pxelinux_bios(name.removeprefix(PXELINUX_TREE), client, mac, target)
        if name.startswith(GRUB_TREE):
            return self._grub(name, client, mac, target)
        if name in HOLD_PROGRAMS:
            return VirtualFile(hold_program(HOLD_PROGRAMS[name], target))
        if name == UKI_FILE and target is not None:
            return self._uki(client, target)
        if name in IPXE_FILES and target is not None and (identity := target.files.get(name)):
            path = self._table.artefact(identity)
            return VirtualFile(path) if path is not None else None
        return self._uboot(name, client, mac, target)

    def _uboot(
        self, name: str, client: Address, mac: str | None, target: Target | None
    ) -> VirtualFile | None:
        base = self._rack(client)
        parts = uboot_file(name, client, mac, target, base, self._table.artefact) if base else None
        # No part at all is a system without an initramfs, which nobody was told to fetch.
        return VirtualFile(*parts) if parts else None

    def _uki(self, client: Address, target: Target) -> VirtualFile | None:
        base = self._rack(client)
        parts = uki_for(target, base, self._table.artefact) if base else None
        return VirtualFile(*parts) if parts is not None else None

    def _pxelinux_bios(
        self, name: str, client: Address, mac: str | None, target: Target | None
    ) -> VirtualFile | None:
        base = self._rack(client)
        return self._found(pxelinux_file(name, client, mac, target, base)) if base else None

    def _grub(self, name: str, client: Address, mac: str | None, target: Target | None) -> VirtualFile | None:
        network = self._urls.network_of(client)
        base = self._rack(client)
        if network is None or base is None:
            return None
        program = target.files.get if target is not None else self._table.boot_file
        parts = grub_file(
            name, client, mac, target, base, network.lease_seconds, program, self._table.artefact
        )
        return VirtualFile(*parts) if parts is not None else None

    def _found(self, found: bytes | str | None) -> VirtualFile | None:
        """Return a file's bytes, or the registered file of an id, as a file."""
        if found is None or isinstance(found, bytes):
            return VirtualFile(found) if found is not None else None
        path = self._table.artefact(found)
        return VirtualFile(path) if path is not None else None

    def _rack(self, client: Address) -> str | None:
        return self._urls.system(client)
