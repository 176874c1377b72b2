"""How eMMC purges itself: every block is unmapped, then what is not mapped is removed physically.

Cards since eMMC 4.5 have sanitize for the second part; a plain discard is not enough for the first, for a
card may ignore it, so it is erased. Older cards do both at once with secure erase.

NIST SP 800-88 has no table for eMMC. That this is a purge follows from its definition and from JESD84-B51
6.6.13: after sanitize nothing is left of what was unmapped.

SD cards have no such thing: they are discarded and overwritten as any other disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.agent import mmc
from hostler.agent.mmc import ExtCsd, MmcError, MmcPort
from hostler.agent.purge import Purge, PurgeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.agent.purge import Waiting
    from hostler.model.disk_health import DiskHealth

_PIECE_SECTORS = 2 * 1024 * 1024  # 1 GiB at a time: progress moves
_ERASE_SECONDS = 60.0  # least for a piece: a good card takes less than one
_SANITIZE_SECONDS = 600.0  # the kernel's own limit is 240 s; the largest cards of 2023 take half of that
_EXPECTED_SECONDS = 60.0
_SECTOR_MODE = 4 * 1024 * 1024  # sectors; smaller cards count bytes and are as old as they are rare


class MmcDrive:
    """The user area of an eMMC.

    Attributes:
        declined: Ways it does not have or that failed, and why.
        untouched: Parts of it that a wipe does not reach.
    """

    def __init__(self, port: MmcPort) -> None:
        self._port = port
        self.declined: list[str] = []
        self.untouched: list[str] = []
        self._known: ExtCsd | None = None

    def settle(self, _wait: Waiting) -> None:
        """Nothing goes on after a loss of power."""

    def purges(self) -> list[Purge]:
        """Return the ways it has."""
        try:
            card = self._register()
        except MmcError as error:
            self.declined.append(f"eMMC sanitize and secure erase: {error}")
            return []
        if card.boot_bytes:
            self.untouched.append(
                f"two boot partitions of {card.boot_bytes} bytes, which often hold firmware"
            )
        if card.rpmb_bytes:
            self.untouched.append(
                f"replay protected partition of {card.rpmb_bytes} bytes, which nobody can erase"
            )
        if card.general_bytes:
            self.untouched.append(
                f"general purpose partitions of {card.general_bytes} bytes, which often hold factory data"
            )
        if card.sectors < _SECTOR_MODE:
            self.declined.append("eMMC sanitize and secure erase: the card counts bytes (2 GiB or less)")
            return []
        found = []
        names = "eMMC erase and sanitize", "eMMC secure erase"
        if card.sanitizes:
            # Only what holds data is erased in the end, so this wears no more than writing did.
            found.append(Purge(names[0], self._erase_and_sanitize, seconds=_EXPECTED_SECONDS, wears=False))
        else:
            self.declined.append(f"{names[0]}: the card does not know it")
        if card.secure_erase:
            found.append(Purge(names[1], self._erase_securely))
        else:
            self.declined.append(f"{names[1]}: the card does not know it")
        return found

    def health(self) -> DiskHealth | None:
        """Return life time and spare blocks."""
        try:
            return self._register().health
        except MmcError:
            return None

    def _register(self) -> ExtCsd:
        if self._known is None:
            self._known = mmc.read_ext_csd(self._port)
        return self._known

    def _erase_and_sanitize(self, wait: Waiting) -> None:
        card = self._register()

        def erase(first: int, count: int) -> None:
            groups = count / max(card.group_sectors, 1)
            seconds = max(_ERASE_SECONDS, groups * card.erase_seconds)
            mmc.erase(self._port, first, count, min(seconds, wait.piece_seconds))

        self._in_pieces(erase, wait)
        try:
            mmc.sanitize(self._port, _SANITIZE_SECONDS)
        except MmcError as error:
            raise PurgeError(str(error)) from error

    def _erase_securely(self, wait: Waiting) -> None:
        self._in_pieces(self._port.secure_discard, wait)

    def _in_pieces(self, do: Callable[[int, int], None], wait: Waiting) -> None:
        sectors = self._register().sectors
        for first in range(0, sectors, _PIECE_SECTORS):
            count = min(_PIECE_SECTORS, sectors - first)
            try:
                do(first, count)
            except MmcError as error:
                raise PurgeError(str(error)) from error
            wait.so_far((first + count) / sectors)
            wait.check()
