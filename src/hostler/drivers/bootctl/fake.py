"""A firmware in memory that boots from where it is told; for tests and for trying.

Equipment and binding: nothing needed; optional ``refuse`` (true: it never does what it is told).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.model.boot import BootTarget


class FakeBootOverride:
    """A firmware's boot order. ``refuse`` may be changed at any time; ``history`` lists what was asked."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.refuse = refuse
        self.history: list[BootTarget] = []

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> FakeBootOverride:
        """Make a firmware that was told nothing yet.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment)
        settings.only(binding, "refuse")
        refuse = binding.get("refuse", False)
        if not isinstance(refuse, bool):
            raise DriverConfigError("refuse", f"must be true or false, not {refuse!r}")
        return cls(refuse=refuse)

    async def direct(self, target: BootTarget) -> str:
        """Remember it, or refuse."""
        await asyncio.sleep(0)
        self.history.append(target)
        if self.refuse:
            raise EquipmentRefused(f"fake firmware: does not boot from {target}")
        return f"fake firmware: {target} next"
