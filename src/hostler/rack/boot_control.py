"""A board's boot controls in their order: which is asked before it gets power, and which takes over after."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.consoles.broker import ConsoleDownError, WriterTakenError
from hostler.drivers.bootctl.protocol import BootctlDriver, BootOverride, BootTakeover, BootTool, CanLook
from hostler.drivers.errors import (
    DriverConfigError,
    DriverError,
    DriverTimeout,
    EquipmentRefused,
    EquipmentUnreachable,
)
from hostler.drivers.power.queue import EquipmentQueue
from hostler.model.boot import BootTarget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.consoles.broker import ConsoleBroker, Writer
    from hostler.consoles.ring import Viewer
    from hostler.rack.console import RackConsole

_LINE_SECONDS = 0.05

WRITER = "Hostler, which stops the boot loader,"
"""Who types while a board is taken over, for those who look on."""


@dataclass(frozen=True, slots=True)
class Control:
    """One boot control: its name as in ``lab.toml``, its driver, and the queue of its equipment."""

    name: str
    driver: BootctlDriver
    queue: EquipmentQueue


class BootControls:
    """See ``rack.keeper_port.BoardBootControl``.

    Args:
        controls: In the order in which they are tried.
        console: The board's console, which a takeover types on, or None.
    """

    def __init__(self, controls: Iterable[Control], console: RackConsole | None) -> None:
        self._controls = tuple(controls)
        self._console = console
        self._armed: Control | None = None
        self._deadline: asyncio.Timeout | None = None
        self._powered = False

    @property
    def armed(self) -> bool:
        """Whether the boot that begins is to be taken over once the board has power."""
        return self._armed is not None

    async def look(self) -> list[tuple[str, str, bool]]:
        """Ask each control without changing anything: its name, what it says, and whether it would work."""
        rows = []
        for control in self._controls:
            driver = control.driver
            if isinstance(driver, CanLook):
                try:
                    rows.append((control.name, await control.queue.call(driver.look), True))
                except DriverError as error:
                    rows.append((control.name, str(error), False))
            elif isinstance(driver, BootTakeover) and self._console is None:
                rows.append((control.name, "the board has no console", False))
            else:
                rows.append((control.name, "cannot be tried without a boot", True))
        return rows

    async def direct(self, target: BootTarget, attempt: int = 1) -> str:
        """Ask the controls for the boot that is about to begin.

        For the network the first that does not refuse is enough; that of the second attempt is looked for
        from the second control on, because the first agreed and yet no agent came. For a local boot every
        override is asked, so that nothing an earlier boot was told stays.

        Raises:
            DriverError: None works; for the disk: one of them does not.
        """
        self._armed, self._deadline, self._powered = None, None, False
        if target is BootTarget.DISK:
            return await self._direct_all()
        troubles = []
        for step in range(len(self._controls)):
            control = self._controls[(attempt - 1 + step) % len(self._controls)]
            if isinstance(control.driver, BootTakeover) and self._console is None:
                troubles.append(f"{control.name}: the board has no console")
                continue
            if isinstance(control.driver, BootTakeover | BootTool):
                self._armed = control
                said = f"{control.name} will take over after power-on"
            else:
                try:
                    said = await self._ask(control, target)
                except DriverError as error:
                    troubles.append(str(error))
                    continue
            return "; ".join([said, *(f"because not {trouble}" for trouble in troubles)])
        raise EquipmentRefused("; ".join(troubles))

    async def _direct_all(self) -> str:
        said, troubles = [], []
        for control in self._controls:
            if not isinstance(control.driver, BootOverride):
                continue
            try:
                said.append(await self._ask(control, BootTarget.DISK))
            except DriverError as error:
                troubles.append(str(error))
        if troubles:
            raise EquipmentRefused("; ".join(troubles))
        return "; ".join(said)

    async def _ask(self, control: Control, target: BootTarget) -> str:
        driver = control.driver
        assert isinstance(driver, BootOverride)
        return await control.queue.call(lambda: driver.direct(target))

    def powered(self) -> None:
        """Note that the board has power now: the deadline of ``take_over`` counts from here."""
        self._powered = True
        if self._deadline is not None and self._deadline.when() is None and self._armed is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + _after(self._armed).seconds)

    async def take_over(self) -> str:
        """Take the boot over; begun before power comes.

        Raises:
            DriverError: It failed.
        """
        control = self._armed
        assert control is not None
        driver = _after(control)
        line = None
        try:
            async with asyncio.timeout(None) as self._deadline:
                if self._powered:
                    self.powered()
                if isinstance(driver, BootTool):
                    return await driver.boot()
                assert self._console is not None
                with _Borrowed(self._console.broker) as line:
                    return await driver.take_over(line)
        except TimeoutError:
            raise DriverTimeout(
                f"{control.name}: not done within {driver.seconds:g} s of power-on{_heard(line)}"
            ) from None
        except DriverConfigError:
            raise
        except DriverError as error:
            raise type(error)(f"{error}{_heard(line)}") from error
        finally:
            self._deadline = None


def _after(control: Control) -> BootTakeover | BootTool:
    driver = control.driver
    assert isinstance(driver, BootTakeover | BootTool)
    return driver


def _heard(line: _Borrowed | None) -> str:
    return f"; the board said last: {line.last_words()}" if line is not None else ""


class _Borrowed:
    """A console's line, borrowed from whoever writes on it; see ``drivers.bootctl.protocol.BoardLine``."""

    def __init__(self, broker: ConsoleBroker) -> None:
        self._broker = broker
        self._heard = b""

    def __enter__(self) -> _Borrowed:
        self._writer: Writer = self._broker.keyboard.borrow(WRITER)
        self._viewer: Viewer = self._broker.view(b"")  # after the note that it was borrowed
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.release()
        self._viewer.close()

    async def read(self) -> bytes:
        data = await self._viewer.read()
        if not data:
            raise EquipmentUnreachable("the console is closed")
        self._heard = (self._heard + data)[-200:]
        return data

    async def write(self, data: bytes) -> None:
        while True:
            try:
                await self._writer.write(data)
            except ConsoleDownError:  # a USB line that gets its power from the board is there a while later
                await asyncio.sleep(_LINE_SECONDS)
            except WriterTakenError as error:
                raise EquipmentUnreachable(str(error)) from error
            else:
                return

    def last_words(self) -> str:
        """Return the end of what the board said, in one printable line."""
        text = self._heard.decode("utf-8", "replace")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[-120:] or "nothing"
