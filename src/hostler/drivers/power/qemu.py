"""A virtual machine of QEMU without libvirt: power on starts its process, power off ends it.

Equipment: none. Binding: ``command`` (program and arguments; its disk, its network, its serial line),
``monitor`` (path of a unix socket that is made for its monitor, where no other program may write); optional
``timeout``, ``min_off_seconds``. The machine is a process of its own: it lives on when Hostler is restarted,
as a board does. Whether it has power is asked of its monitor (QMP, QEMU's ``docs/interop/qmp-spec``), never
guessed from a pid.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused
from hostler.drivers.power.calls import deadline, wants_on
from hostler.drivers.tool import run_tool
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE_BYTES = 1 << 20  # an answer is some hundred bytes, an event likewise
_LOOK_SECONDS = 0.05
_LONGEST_SOCKET_PATH = 100  # sun_path has room for 107 bytes


@dataclass(frozen=True, slots=True)
class QemuConfig:
    """One machine.

    Attributes:
        command: What starts it, without its monitor.
        monitor: Where its monitor listens.
        timeout: Deadline of a call in seconds.
        min_off_seconds: Nothing holds a charge here.
    """

    command: tuple[str, ...]
    monitor: Path
    timeout: float
    min_off_seconds: float


class Qemu:
    """The power of one machine; see QemuConfig."""

    def __init__(self, config: QemuConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Qemu:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment)
        settings.only(binding, "command", "monitor", "timeout", "min_off_seconds")
        command = binding.get("command")
        if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
            raise DriverConfigError("command", "must be a list: the program and its arguments")
        for word in ("-qmp", "-daemonize", "-no-shutdown"):
            if word in command:
                raise DriverConfigError("command", f"must not hold {word}: the driver says how it is started")
        monitor = Path(settings.text(binding, "monitor"))
        if len(str(monitor).encode()) > _LONGEST_SOCKET_PATH or "," in str(monitor):
            raise DriverConfigError("monitor", "must be a path of at most 100 bytes without a comma")
        return cls(
            QemuConfig(
                command=tuple(command),
                monitor=monitor,
                timeout=settings.seconds(binding, "timeout", 8.0),
                min_off_seconds=settings.seconds(binding, "min_off_seconds", 0.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Start the machine, or pull its plug."""
        async with deadline(str(self), self.config.timeout):
            if wants_on(state):
                await self._start()
            else:
                await self._stop()

    async def get(self) -> PowerReading:
        """Ask the monitor; a machine whose monitor does not listen is off."""
        async with deadline(str(self), self.config.timeout):
            said = await self._ask("query-status")
        if said is None:
            return PowerReading(PowerState.OFF, None, "not started")
        return PowerReading(PowerState.ON, None, str(said.get("status", "started")))

    async def _start(self) -> None:
        if await self._ask("query-status") is not None:
            return
        # It returns once the monitor listens; until then it says on its terminal why it does not start.
        monitor = f"unix:{self.config.monitor},server=on,wait=off"
        argv = [*self.config.command, "-qmp", monitor, "-daemonize", "-display", "none"]
        done = await run_tool(str(self), argv, self.config.timeout, key="command")
        if done.code:
            said = " ".join(done.complaint.split())[:300] or "no word"
            raise EquipmentRefused(f"{self}: does not start: {said}")

    async def _stop(self) -> None:
        while await self._ask("quit") is not None:  # noqa: ASYNC110 - another process tells by its going
            await asyncio.sleep(_LOOK_SECONDS)  # until nobody listens: its files are free then

    async def _ask(self, command: str) -> dict[str, Any] | None:
        """Say one command to the monitor; None: nobody listens there."""
        while True:
            try:
                return await self._talk(command)
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            except (OSError, asyncio.IncompleteReadError):
                # It serves one at a time and queues one more, or it went away while it was asked.
                await asyncio.sleep(_LOOK_SECONDS)

    async def _talk(self, command: str) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(self.config.monitor, limit=_LINE_BYTES)
        try:
            for line in ("qmp_capabilities", command):
                writer.write(json.dumps({"execute": line, "id": line}).encode() + b"\n")
                answer = await self._answer(reader, line)
        finally:
            writer.close()
        return answer

    async def _answer(self, reader: asyncio.StreamReader, line: str) -> dict[str, Any]:
        """Read until the answer to a command; its greeting and its events come between."""
        while True:
            text = await reader.readuntil(b"\n")
            try:
                said = json.loads(text)
            except ValueError:
                said = None
            if not isinstance(said, dict):
                raise EquipmentRefused(f"{self}: is no monitor of QEMU's; check monitor")
            if "error" in said and said.get("id") == line:
                raise EquipmentRefused(f"{self}: refuses {line}: {said['error'].get('desc', 'no word')}")
            if said.get("id") == line:
                answer = said.get("return")
                return answer if isinstance(answer, dict) else {}

    def __str__(self) -> str:
        return f"qemu at {self.config.monitor}"
