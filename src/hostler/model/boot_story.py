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
_ASKS = ("discover", "request", "inform", "heard")  # of DHCPv6 too
_KERNELS = frozenset({"kernel", "kernel8.img", "initrd", "initrd.gz", "initrd.img", "uki.efi", "boot.img"})
_LARGEST_LOADER = 5_000_000  # bytes: no boot loader has as many, and every kernel has more
_FIRMWARE = ("ipxe", "pxe", "u-boot", "uefi-http", "raspberry-pi")


@dataclass(frozen=True)
class BootStory:
    """The events of one boot.

    Attributes:
        events: In the order of time.
        to_agent: Whether the network was to bring up the agent or another system; else its own disk.
        until: Unix time at which it ended, or at which it is looked at.
        has_console: Whether anything it says on a console is seen.
    """

    events: Sequence[TraceEvent]
    to_agent: bool
    until: float
    has_console: bool = True

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
        """Whether so much time went by without anything new of it that what lacks may be called missing.

        Firmware that finds nothing tries again for ever: what it did before is no sign of coming further.
        """
        if self.given_up is not None:
            return True
        signs: dict[tuple[object, ...], float] = {}
        for one in self.events:
            if one.kind == "slow" and one.source in ("http", "tftp"):
                signs[one.source, one.data.get("file"), one.data.get("arrived")] = one.at  # it goes on
            elif one.source not in ("power", "run", "bootctl"):
                what = (one.source, one.kind, str(one.data.get("file")), str(one.data.get("firmware")))
                signs.setdefault(what, one.at)
        begun = self.powered.at if self.powered is not None else None
        last = max(filter(None, (begun, *signs.values())), default=None)
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
        offers = self.all("dhcp", "offer")
        if self.all("dhcp", "request", "ack", "heard") or not offers:
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
        return self.all("dhcp", "offer", "ack", "heard")

    @cached_property
    def unanswered(self) -> list[TraceEvent]:
        """Why it was not answered, if it asked again and again and never was."""
        ignored = self.all("dhcp", "ignored", "nak")
        if self.answers or not ignored:
            return []
        return ignored if ignored[-1].at - ignored[0].at >= _LONG_OFFERS or self.late else []

    @cached_property
    def system_asks(self) -> list[TraceEvent]:
        """What a system asked by DHCP: the agent's, or one on its disk."""
        return [one for one in self.all("dhcp", *_ASKS) if one.data.get("firmware") == "system"]

    def on_network_after(self, event: TraceEvent) -> bool:
        """Tell whether it was seen on the network later than this."""
        return any(one.at > event.at for one in self.firmware_asks + self.all("tftp") + self.all("http"))

    @cached_property
    def whole_files(self) -> list[TraceEvent]:
        """Files that it fetched to their end."""
        return self.all("tftp", "done") + self.all("http", "done")

    @cached_property
    def looks(self) -> list[TraceEvent]:
        """The looks at the long transfer that is under way, oldest first; empty: none is, as far as seen."""
        slow = [one for one in self.events if one.kind == "slow" and one.source in ("http", "tftp")]
        seen = [one for one in slow if one.at <= self.until]  # nothing arrives after its power was cut
        if not seen:
            return []
        last = seen[-1]
        over = [
            *self.whole_files,
            *self.all("http", "aborted", "failed"),
            *self.all("tftp", "timeout", "error"),
        ]
        if any(one.at >= last.at and one.data.get("file") == last.data.get("file") for one in over):
            return []
        begun = [one.at for one in self.events if one.source == last.source and one.kind in ("get", "read")]
        since = max((at for at in begun if at <= last.at), default=0.0)
        return [one for one in seen if one.at >= since]

    @cached_property
    def kernel_fetched(self) -> TraceEvent | None:
        """The kernel, or the initramfs that comes after it, arrived whole."""
        # What is followed by firmware was a boot loader, such as U-Boot in a Raspberry Pi's boot.img.
        last = max((one.at for one in self.firmware_asks), default=0.0)
        whole = [one for one in self.whole_files if _is_kernel(one) and one.at >= last]
        return whole[-1] if whole else self.first("run", "handed")

    @cached_property
    def kernel_missing(self) -> TraceEvent | None:
        """The kernel or initramfs that it asked for last by HTTP, if it has not come whole since."""
        # Nothing is told of a transfer that only stalls.
        asked = [one for one in self.all("http", "get") if one.data.get("file") in _KERNELS]
        if not asked or self.kernel_runs is not None:
            return None
        last = asked[-1]
        came = any(
            one.at >= last.at and one.data.get("file") == last.data["file"] for one in self.whole_files
        )
        return None if came else last

    @cached_property
    def kernel_runs(self) -> TraceEvent | None:
        """The first sign of a kernel; of one from the network also what it asks by DHCP."""
        spoke, fetched = self.first("console", "kernel"), self.kernel_fetched
        if spoke is not None or not self.to_agent or fetched is None:
            return spoke
        return next((one for one in self.system_asks if one.at >= fetched.at), None)

    @cached_property
    def restarts(self) -> list[TraceEvent]:
        """What its firmware said or asked first, each time after a kernel had run."""
        found: list[TraceEvent] = []
        running = False
        for one in self.events:
            if (one.source, one.kind) == ("console", "kernel"):
                running = True
            elif running and ((one.source, one.kind) == ("console", "firmware") or one in self.firmware_asks):
                running = False
                found.append(one)
        return found

    @cached_property
    def spoke(self) -> bool:
        """Whether anything that is known of boots was seen on its console."""
        return any(one.kind not in ("lost", "connected", "error") for one in self.all("console"))

    @cached_property
    def failed(self) -> TraceEvent | None:
        """The last word of its system or of its run, if that is that it failed."""
        last = self._last_word
        if last is None or last.kind not in ("fail", "failed", "timed_out"):
            return None
        told = self.all("agent", "fail") + self.all("system", "fail")
        return told[-1] if told else last

    @cached_property
    def given_up(self) -> TraceEvent | None:
        """That the run waits no longer for this boot, and tries its step again with another one."""
        attempts: dict[tuple[object, ...], object] = {}
        for one in self.all("run"):
            step = (one.data.get("run"), one.data.get("step"))
            before, attempt = attempts.get(step), one.data.get("attempt")
            if isinstance(before, int) and isinstance(attempt, int) and attempt > before:
                return one
            attempts[step] = attempt
        return None

    @cached_property
    def handed(self) -> TraceEvent | None:
        """It has fetched a system that is not the agent, and has not restarted since."""
        last = self.last("run", "handed", "returned")
        return last if last is not None and last.kind == "handed" else None

    @cached_property
    def awaited(self) -> bool:
        """Whether a run waits, or waited in vain, for the sign of a system on its disk."""
        return self.first("run", "booting") is not None and self.first("run", "succeeded") is None

    @cached_property
    def at_work(self) -> bool:
        """Whether its agent carries out a step: the rack gives up one that goes silent within a minute."""
        begun = [*self.all("run", "waiting", "executing", "verifying"), *self.all("agent", "verifying")]
        over = [*self.all("run", "powering", "booting", "succeeded", "failed", "timed_out", "cancelled")]
        over += [*self.all("agent", "done", "fail"), *self.all("power", "off")]
        last = max((one.at for one in begun), default=None)
        return last is not None and all(one.at < last for one in over)

    @cached_property
    def _last_word(self) -> TraceEvent | None:
        """The last that was said of the work in this boot: that it goes on, is done or failed."""
        words = [*self.all("agent", "done", "fail", "verifying"), *self.all("system", "done", "fail")]
        words += self.all("run", "executing", "failed", "timed_out")
        return max(words, key=lambda one: one.at, default=None)

    def _did(self) -> TraceEvent | None:
        """The sign that what the network was to bring up has done its work."""
        if self.last("run", "handed", "returned") is not None:
            # Of one that only restarts when it is done the run's end tells, or its next step.
            steps = [one for one in self.all("run") if isinstance(one.data.get("step"), int)]
            ended = self.last("run", "succeeded")
            if ended is not None or (steps and steps[-1].data["step"] != steps[0].data["step"]):
                return ended or steps[-1]
        last = self._last_word
        return last if last is not None and last.kind == "done" else None

    @cached_property
    def reached(self) -> Reached:
        """How far it came."""
        if self.to_agent:
            done = self._did() or self.first("console", "done-signal")
            system = self.first("agent", "hello")
        else:
            system = self.first("console", "login")
            done = self.first("console", "done-signal") or (None if self.awaited else system)
        steps = (
            (Reached.DONE, done),
            (Reached.SYSTEM, system),
            (Reached.KERNEL, self.kernel_runs),
            (Reached.FILE, self.whole_files),
            (Reached.ANSWERED, self.answers),
            (Reached.ASKED, self.firmware_asks or self.first("console", "firmware", "nothing-to-boot")),
            (Reached.POWER, self.powered),
        )
        return next((stage for stage, seen in steps if seen), Reached.NOTHING)


def _is_kernel(fetched: TraceEvent) -> bool:
    size = fetched.data.get("bytes")
    large = isinstance(size, int) and size > _LARGEST_LOADER
    return large or str(fetched.data.get("file", "")).rpartition("/")[2] in _KERNELS
