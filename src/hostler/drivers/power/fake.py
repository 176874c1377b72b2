"""A power supply in memory that can be told to misbehave in every way real ones do.

Equipment: nothing needed, optional ``min_off_seconds``. Binding: optional ``outlet``, a name for messages,
and ``file``, where the state is kept so that it outlives the program, as a real outlet's does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import EquipmentRefused, EquipmentUnreachable
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Misbehaviour:
    """What a fake supply does wrong; everything off by default.

    Attributes:
        hang: ``set`` and ``get`` never return.
        refuse: ``set`` is refused.
        unreachable: Nothing answers.
        lie: ``set`` agrees and does nothing.
        mute: ``get`` says UNKNOWN.
        lag: That many readings after a change still show the old state.
    """

    hang: bool = False
    refuse: bool = False
    unreachable: bool = False
    lie: bool = False
    mute: bool = False
    lag: int = 0


class FakePower:
    """One outlet in memory. ``misbehaviour`` may be changed at any time; ``history`` lists what was asked."""

    def __init__(self, outlet: str = "fake", min_off_seconds: float = 0.0, file: Path | None = None) -> None:
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=min_off_seconds)
        self.outlet = outlet
        self.misbehaviour = Misbehaviour()
        self._file = file
        kept = file is not None and file.exists() and file.read_text() == PowerState.ON
        self.state = PowerState.ON if kept else PowerState.OFF
        self.history: list[PowerState] = []
        self._shown = self.state
        self._lag = 0

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> FakePower:
        """Make an outlet that is off.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "min_off_seconds")
        settings.only(binding, "outlet", "file")
        outlet = settings.text(binding, "outlet") if "outlet" in binding else "fake"
        file = Path(settings.text(binding, "file")) if "file" in binding else None
        return cls(outlet, settings.seconds(equipment, "min_off_seconds", 0.0), file)

    async def set(self, state: PowerState) -> None:
        """Switch, or do whatever ``misbehaviour`` says."""
        if state is PowerState.UNKNOWN:
            raise ValueError("an outlet can be switched on or off, not to unknown")
        await self._reach()
        self.history.append(state)
        if self.misbehaviour.refuse:
            raise EquipmentRefused(f"outlet {self.outlet}: refuses to switch {state}")
        if not self.misbehaviour.lie:
            self._shown, self._lag = self.state, self.misbehaviour.lag
            self.state = state
            if self._file is not None:
                self._file.write_text(state)

    async def get(self) -> PowerReading:
        """Read back, or do whatever ``misbehaviour`` says."""
        await self._reach()
        if self.misbehaviour.mute:
            return PowerReading(PowerState.UNKNOWN, None, "no reading")
        if self._lag > 0:
            self._lag -= 1
            return PowerReading(self._shown, None, "still changing")
        return PowerReading(self.state, None, str(self.state))

    async def _reach(self) -> None:
        if self.misbehaviour.hang:
            await asyncio.get_running_loop().create_future()
        if self.misbehaviour.unreachable:
            raise EquipmentUnreachable(f"outlet {self.outlet}: nothing answers")
        await asyncio.sleep(0)
