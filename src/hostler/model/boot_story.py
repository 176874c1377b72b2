"""What a boot's trace tells, as questions that a verdict asks: how far it came, what was seen and was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from hostler.model.trace import TraceEvent

FIRST_PATIENCE = 240.0
"""Seconds from power-on within which a board must be heard: servers train memory for up to four minutes."""
PATIENCE = 90.0
"""Seconds without a sign of a boot that has begun, after which what lacks is missing and not just to come."""


class Reached(IntEnum):
    """How far a boot came; each is behind the one before.

    Attributes:
        NOTHING: Not even power.
        POWER: Its supply was switched on.
        ASKED: Its firmware asked the network, or spoke on the console.
        ANSWERED: It was given an address, or told what to boot.
        FILE: It has a whole file.
        KERNEL: A kernel runs.
        SYSTEM: The agent spoke, or the system asks for a login.
        DONE: What it was booted for is done.
    """

    NOTHING = 0
    POWER = 1
    ASKED = 2
    ANSWERED = 3
    FILE = 4
    KERNEL = 5
    SYSTEM = 6
    DONE = 7


_MANY_OFFERS, _LONG_OFFERS = 4, 20.0  # firmware asks four times within a minute before it gives up
_ASKS = ("discover", "request", "inform", "solicit", "heard")
_FIRMWARE = ("ipxe", "pxe", "u-boot", "uefi-http", "raspberry-pi")


@dataclass(frozen=True)
class BootStory:
    """The events of one boot.

    Attributes:
        events: In the order of time.
        to_agent: Whether the network was to bring up the agent or another system; else its own disk.
        until: Unix time at which it ended, or at which it is looked at.
    """

    events: Sequence[TraceEvent]
    to_agent: bool
    until: float

    def all(self, source: str, *kinds: str) -> list[TraceEvent]:
        """Return the events of a source, of these kinds (none: of any)."""
        return [one for one in self.events if one.source == source and (not kinds or one.kind in kinds)]

    def first(self, source: str, *kinds: str) -> TraceEvent | None:
        """Return the first such event."""
        return next(iter(self.all(source, *kinds)), None)

    def last(self, source: str, *kinds: str) -> TraceEvent | None:
        """Return the last such event."""
        found = self.all(source, *kinds)
        return found[-1] if found else None

    @cached_property
    def late(self) -> bool:
        """Whether so much time went by without a sign of it that what lacks may be called missing."""
        signs = [one.at for one in self.events if one.source not in ("power", "run", "bootctl")]
        begun = self.powered.at if self.powered is not None else None
        last = max(filter(None, (begun, *signs)), default=None)
        if last is None:
            return False
        return self.until - last >= (PATIENCE if self.reached > Reached.POWER else FIRST_PATIENCE)

    @cached_property
    def powered(self) -> TraceEvent | None:
        """When its supply was switched on, last."""
        return self.last("power", "on")

    @cached_property
    def offers_in_vain(self) -> list[TraceEvent]:
        """The offers it was made, if it asked again and again and took none."""
        offers = self.all("dhcp", "offer", "advertise")
        if self.all("dhcp", "request", "ack", "reply", "heard") or not offers:
            return []
        pressed = len(offers) >= _MANY_OFFERS and offers[-1].at - offers[0].at >= _LONG_OFFERS
        return offers if pressed or self.late else []

    @cached_property
    def firmware_asks(self) -> list[TraceEvent]:
        """What its firmware and its boot loaders asked by DHCP; not what a system asked."""
        return [one for one in self.all("dhcp", *_ASKS) if one.data.get("firmware") in _FIRMWARE]

    @cached_property
    def answers(self) -> list[TraceEvent]:
        """What it was answered by DHCP, and what it was heard to take from another server."""
        return self.all("dhcp", "offer", "ack", "advertise", "reply", "heard")

    @cached_property
    def whole_files(self) -> list[TraceEvent]:
        """Files that it fetched to their end."""
        return self.all("tftp", "done") + self.all("http", "done")

    @cached_property
    def kernel_fetched(self) -> TraceEvent | None:
        """The kernel, or the initramfs that comes after it, arrived whole."""
        names = ("kernel", "initrd", "initrd.gz", "uki.efi", "boot/kernel", "boot/initrd")
        whole = [one for one in self.whole_files if str(one.data.get("file", "")).endswith(names)]
        return whole[-1] if whole else self.first("run", "handed")

    @cached_property
    def reached(self) -> Reached:
        """How far it came."""
        if self.to_agent:
            done = self.first("agent", "done") or self.first("system", "done")
            system = self.first("agent", "hello")
        else:
            done = self.first("console", "done-signal")
            system = self.first("console", "login")
        steps = (
            (Reached.DONE, done),
            (Reached.SYSTEM, system),
            (Reached.KERNEL, self.first("console", "kernel")),
            (Reached.FILE, self.whole_files),
            (Reached.ANSWERED, self.answers),
            (Reached.ASKED, self.firmware_asks or self.first("console", "firmware")),
            (Reached.POWER, self.powered),
        )
        return next((stage for stage, seen in steps if seen), Reached.NOTHING)
