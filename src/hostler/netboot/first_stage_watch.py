"""Firmware that fetched iPXE whole and did not start it: Secure Boot refuses what is not signed.

iPXE's first word is a DHCP question of its own, or a request for its script. When the firmware is heard
again before that, or nothing is, it did not start. UEFI firmware that asks again is sent to Debian's signed
GRUB: else a machine with Secure Boot could neither be adopted nor tell that it has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.model.first_stages import BIOS_FILE, IPXE_FILES, Loader, required_files
from hostler.netboot.dhcp_policy import Firmware

if TYPE_CHECKING:
    from hostler.netboot.dhcp_policy import Facts
    from hostler.netboot.table import BootTable, Target

START_SECONDS = 60.0
"""iPXE asks within seconds; where a switch port blocks at first (spanning tree), within a minute."""
REMEMBERED_SECONDS = 3600.0
"""Who merely lost power between the file and its start gets iPXE again after this."""
MOST = 4096
"""Machines remembered; the one that fetched longest ago is forgotten first."""


@dataclass(frozen=True, slots=True)
class Unstarted:
    """A first stage that was fetched whole, and of which nothing was heard.

    Attributes:
        mac: Who fetched it.
        file: Its name.
        at: Unix time at which it had all of it.
    """

    mac: str
    file: str
    at: float


class FirstStageWatch:
    """Who fetched iPXE and has not been heard of as iPXE since; may be called from any thread."""

    def __init__(self) -> None:
        # Plain dictionaries, of which CPython changes and copies each in one go.
        self._fetched: dict[str, Unstarted] = {}
        self._told: dict[str, Unstarted] = {}

    def fetched(self, mac: str, file: str, now: float) -> None:
        """Note that a machine has all of a file."""
        if file in IPXE_FILES:
            self._fetched.pop(mac, None)
            self._fetched[mac] = Unstarted(mac, file, now)
            if len(self._fetched) > MOST:
                self.started(next(iter(list(self._fetched))))

    def started(self, mac: str) -> None:
        """Note that a machine's iPXE has spoken."""
        self._fetched.pop(mac, None)
        self._told.pop(mac, None)

    def lacks_http(self, mac: str, facts: Facts, now: float) -> str:
        """Tell why an iPXE is not to be sent to iPXE once more; empty: it is, or it is none.

        A ROM whose iPXE has no HTTP is sent to a whole one. If that has none either, it would be sent to
        itself without end.
        """
        last = self._fetched.get(mac)
        if last is None or facts.firmware is not Firmware.PXE or "iPXE" not in facts.user_class:
            return ""
        if now - last.at > START_SECONDS:
            return ""  # it was started anew
        self._told[mac] = last  # it did start
        return (
            f"its iPXE has no HTTP, and {last.file}, which it fetched from here, has none either; "
            "install one that has (Debian's package ipxe)"
        )

    def overdue(self, now: float) -> list[Unstarted]:
        """Return those of whose iPXE nothing was heard for ``START_SECONDS``; each is told once."""
        late = [
            one
            for one in list(self._fetched.values())
            if now - one.at >= START_SECONDS and self._told.get(one.mac) != one
        ]
        self._told.update((one.mac, one) for one in late)
        return late

    def instead(
        self, mac: str, facts: Facts, target: Target | None, table: BootTable, now: float
    ) -> tuple[str, ...]:
        """Return the files of GRUB that firmware is to be sent to instead of iPXE; empty: it is not to be.

        Args:
            mac: Who asks.
            facts: What it says about itself.
            target: The board, or None for a machine nobody knows.
            table: Where the boot files of strangers come from: those of any board.
            now: Unix time.
        """
        last = self._fetched.get(mac)
        if last is None or now - last.at > REMEMBERED_SECONDS:
            return ()
        if facts.firmware not in (Firmware.PXE, Firmware.HTTP) or facts.architecture is None:
            return ()
        if target is not None and target.loader not in (None, Loader.IPXE):
            return ()
        needed = required_files(facts.architecture, Loader.GRUB)
        there = (target.files.get(name) if target is not None else table.boot_file(name) for name in needed)
        return needed if all(there) else ()


def words(unstarted: Unstarted, who: str) -> str:
    """Tell people what was seen, what it may mean and what to do."""
    why = "iPXE does not run on it"
    if unstarted.file != BIOS_FILE:
        why = 'Secure Boot refuses to start what is not signed; then set loader = "grub" for its class'
    return f"{who} fetched {unstarted.file} whole, and iPXE was not heard since: it lost power, or {why}"
