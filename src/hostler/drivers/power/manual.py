"""A person who switches: asked in a file, believed when they say that it is done.

Equipment: ``folder``, where both can write; optional ``wait`` (seconds one attempt waits for an answer),
``min_off_seconds``. Binding: ``outlet``, a name for people and files.

A wish is written to ``OUTLET.please`` and to the server's log. Who has switched writes ``on`` or ``off`` to
``OUTLET.is``, and that is what is read. Until then every attempt fails and says who is waited for, so that
nothing goes on as if it had happened; before anybody has ever said, it is unknown.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentUnreachable
from hostler.drivers.power.calls import deadline, wants_on
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LONGEST_WAIT = 8.0  # a call of any driver ends within ten seconds
_DEADLINE = 9.0  # the folder may be on a file server that hangs
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ManualConfig:
    """One supply that somebody switches by hand.

    Attributes:
        folder: Where the files are.
        outlet: Its name.
        wait: Seconds one attempt waits.
        min_off_seconds: Time without power that surely resets the board; a person is slower anyway.
    """

    folder: Path
    outlet: str
    wait: float
    min_off_seconds: float


class Manual:
    """One supply; see ManualConfig."""

    def __init__(self, config: ManualConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)
        self._please = config.folder / f"{config.outlet}.please"
        self._is = config.folder / f"{config.outlet}.is"

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Manual:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "folder", "wait", "min_off_seconds")
        settings.only(binding, "outlet")
        outlet = settings.text(binding, "outlet")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", outlet):
            raise DriverConfigError("outlet", f"must be letters, digits, dots, dashes, not {outlet!r}")
        wait = settings.seconds(equipment, "wait", 2.0)
        if wait > _LONGEST_WAIT:
            raise DriverConfigError("wait", f"must be at most {_LONGEST_WAIT:g} seconds, not {wait:g}")
        folder = Path(settings.text(equipment, "folder"))
        return cls(ManualConfig(folder, outlet, wait, settings.seconds(equipment, "min_off_seconds", 2.0)))

    async def set(self, state: PowerState) -> None:
        """Ask, unless it is so or is asked for already, and wait a moment for the answer.

        Raises:
            DriverTimeout: Nobody has said so yet; the request stays.
        """
        wants_on(state)
        async with deadline(str(self), _DEADLINE):
            ends = asyncio.get_running_loop().time() + self.config.wait
            await self._on_disk(self._ask, state)
            while (await self._on_disk(self._said))[0] is not state:
                if asyncio.get_running_loop().time() >= ends:
                    raise DriverTimeout(
                        f"{self}: waits for somebody to switch it {state}; see {self._please}"
                    )
                await asyncio.sleep(_LOOK_SECONDS)
            await self._on_disk(self._please.unlink, True)

    async def get(self) -> PowerReading:
        """Return what somebody said last, unless something else has been asked for since."""
        async with deadline(str(self), _DEADLINE):
            state, detail = await self._on_disk(self._said)
        return PowerReading(state, None, detail)

    async def _on_disk(self, job: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.to_thread(job, *arguments)
        except OSError as error:
            raise EquipmentUnreachable(f"{self}: {error}; check folder and who may write there") from error

    def _ask(self, state: PowerState) -> None:
        answer = f"echo {state} > {shlex.quote(str(self._is))}"
        wish = f"Please switch {self.config.outlet} {state}. Then tell so:\n\n  {answer}\n"
        if self._said()[0] is state or (self._please.exists() and self._please.read_text() == wish):
            return
        self._is.unlink(missing_ok=True)  # an answer from before this request is none to it
        draft = self._please.with_suffix(".draft")
        draft.write_text(wish)
        draft.replace(self._please)
        _log.warning("%s: please switch it %s, then write so to %s", self, state, self._is)

    def _said(self) -> tuple[PowerState, str]:
        try:
            said = self._is.read_text(errors="replace").strip().lower()
        except FileNotFoundError:
            asked = self._please.exists()
            return PowerState.UNKNOWN, "asked, not answered yet" if asked else "nobody has said yet"
        states = {"on": PowerState.ON, "off": PowerState.OFF}
        return states.get(said, PowerState.UNKNOWN), f"somebody said {said[:40] or 'nothing'}"

    def __str__(self) -> str:
        return f"outlet {self.config.outlet}"
