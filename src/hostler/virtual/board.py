"""One virtual board: a QEMU process that lives exactly while its switch port feeds it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING

from hostler.virtual import qemu
from hostler.virtual.config import Kind
from hostler.virtual.receive_kick import keep_receiving
from hostler.virtual.serial import SerialLine
from hostler.virtual.switch import Load
from hostler.virtual.uboot_env import NoDefaultEnvironment
from hostler.virtual.uefi_nvram import NotAStore

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.virtual.config import BoardConfig
    from hostler.virtual.network import LabNetwork

_log = logging.getLogger(__name__)


class VirtualBoard(Load):
    """A board on a switch port. ``run`` must be running for it to follow its supply."""

    def __init__(
        self, config: BoardConfig, directory: Path, network: LabNetwork, accelerator: str, cache: str
    ) -> None:
        self.config = config
        self.line = SerialLine(config.name)
        self._directory = directory
        self._network = network
        self._accelerator = accelerator
        self._cache = cache
        self._supplied = False
        self._failed = ""
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False
        self._changed = asyncio.Event()

    @property
    def description(self) -> str:
        """Return the port's description."""
        return self.config.name

    def supply(self, on: bool) -> None:
        """Take power from the port, or lose it."""
        self._supplied = on
        self._failed = ""
        if not on:
            self._pull_the_plug()
        self._changed.set()

    def drawing(self) -> bool:
        """Return whether the board's QEMU is really alive."""
        return self._process is not None and self._process.returncode is None

    def fault(self) -> str:
        """Return why the board does not run although it is fed, or nothing."""
        return self._failed

    async def run(self) -> None:
        """Start QEMU whenever the port feeds the board, for ever."""
        try:
            while True:
                self._changed.clear()
                if self._supplied and not self._failed:
                    await self._power_cycle()
                else:
                    await self._changed.wait()
        finally:
            self._pull_the_plug()
            if self._process is not None:
                await self._process.wait()

    async def _power_cycle(self) -> None:
        ours, theirs = socket.socketpair()
        monitor, its_monitor = socket.socketpair()
        ours.setblocking(False)
        monitor.setblocking(False)
        plugs = qemu.Plugs(
            f"port{self.config.port}", theirs.fileno(), self._accelerator, self._cache, its_monitor.fileno()
        )
        try:
            with theirs, its_monitor:
                qemu.prepare(self.config, self._directory)
                with (self._directory / "qemu.log").open("wb") as log:
                    self._process = await asyncio.create_subprocess_exec(
                        *self._network.enter(qemu.command(self.config, plugs)),
                        stdin=asyncio.subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        cwd=self._directory,
                        pass_fds=[theirs.fileno(), its_monitor.fileno()],
                        start_new_session=True,  # Ctrl-C is for us; boards lose power in our order
                    )
                    self._killed = False
        except (OSError, NoDefaultEnvironment, NotAStore) as error:
            ours.close()
            monitor.close()
            self._fail(str(error))
            return
        if not self._supplied:
            self._pull_the_plug()  # switched off again while it was being started
        _log.info("%s: power on, pid %d", self.config.name, self._process.pid)
        wires = [asyncio.ensure_future(self.line.plug_in(ours))]
        if self.config.kind is Kind.ARM64_UBOOT:
            wires.append(asyncio.ensure_future(keep_receiving(monitor, qemu.NETDEV)))
        else:
            monitor.close()
        try:
            code = await self._process.wait()
        finally:
            self._pull_the_plug()
            # Its last words are still in the socket; the line closes when they have been read.
            await asyncio.wait(wires, timeout=1.0)
            for wire in wires:
                wire.cancel()
            await asyncio.wait(wires)
        _log.info("%s: power off", self.config.name)
        if self._supplied and not self._changed.is_set():
            self._fail(f"QEMU ended by itself with {code}: {self._last_words()}")

    def _pull_the_plug(self) -> None:
        # Once only: signalling a process that has just died steals its exit status from the event loop.
        if self.drawing() and not self._killed and self._process is not None:
            self._killed = True
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _fail(self, why: str) -> None:
        self._failed = why
        _log.error("%s: does not run: %s", self.config.name, why)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self._directory / "qemu.log").read_text("utf-8", "replace").splitlines()
            if lines:
                return lines[-1]
        return "it said nothing"
