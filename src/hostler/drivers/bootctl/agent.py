"""UEFI firmware whose boot order the agent sets from within: the network before everything else.

No equipment, no keys. Nothing can be told a board that is off, so this works once an agent has been on the
board: it puts the firmware's network entries first each time it starts, for example after a system's
installer put itself there. Where no agent comes, the next of the board's boot controls is tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.model.boot import BootTarget

if TYPE_CHECKING:
    from collections.abc import Mapping


class AgentBootOrder:
    """The boot order an agent leaves behind."""

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> AgentBootOrder:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment)
        settings.only(binding)
        return cls()

    async def direct(self, target: BootTarget) -> str:
        """Tell what is relied on; the order stays the same for every boot."""
        if target is BootTarget.NETWORK:
            return f"{self}: the network is first since an agent was last on the board"
        return f"{self}: the network is first, and sends the board to its disk"

    def __str__(self) -> str:
        return "boot order set by the agent"
