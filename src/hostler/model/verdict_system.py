"""Rules of a verdict: from the kernel to the work done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hostler.model.boot_story import BootStory, Reached
from hostler.model.cause import Cause, Verdict, found

if TYPE_CHECKING:
    from hostler.model.trace import TraceEvent

_NOT_VALID = re.compile(
    r"not yet valid|not valid yet|not (?:yet )?activated|not valid before|certificate (?:has|is) expired",
    re.I,
)
"""As OpenSSL, GnuTLS, apt and Go say it of a time that does not fit."""
_MANY_RESTARTS = 2  # one is an update, or an installer's end


def panic(story: BootStory) -> Verdict | None:
    """A kernel stopped and said why."""
    stopped = story.last("console", "panic")
    if stopped is None or story.reached >= Reached.SYSTEM:
        return None
    root = not story.to_agent and any(
        word in stopped.text for word in ("VFS", "root fs", "init found", "working init", "Requested init")
    )
    advice = (
        "The kernel does not find its root file system or its init: compare the image with the board's disk "
        "and drivers."
        if root
        else "Look at the lines before it on the console."
    )
    return found(
        story, Cause.NO_ROOT if root else Cause.PANIC, f"Its kernel stopped: {stopped.text}.", advice, stopped
    )


def clock(story: BootStory) -> Verdict | None:
    """A certificate, or a signed list of packages, that is not valid yet, or not any more."""
    failed = story.failed
    if failed is None or _NOT_VALID.search(failed.text) is None:
        return None
    return found(
        story, Cause.CLOCK, f"What it was to do failed, and its clock seems to be wrong: {failed.text}.",
        "Set its clock (firmware setup, a new battery), or have the system ask a time server first; if the "
        "clock is right, the certificate it speaks of has run out.", failed,
    )  # fmt: skip


def other_system(story: BootStory) -> Verdict | None:
    """A live system or an installer: nothing is heard of it until it is done, and that may be long."""
    if not story.to_agent or story.handed is None:
        return None
    if story.failed is not None and _system_unheard(story, story.handed):
        return found(
            story, Cause.KERNEL_SILENT, "It fetched its system whole, and nothing was heard of the kernel.",
            "The kernel may be damaged, for another machine, or not speak on this console: compare its "
            "console= with the console of its class.", story.handed, story.failed,
        )  # fmt: skip
    if story.failed is not None:
        return found(
            story, Cause.INSTALLER, f"What it was to do failed: {story.failed.text}.",
            "Look at its console.", story.handed, story.failed,
        )  # fmt: skip
    return Verdict(
        Cause.UNDER_WAY, story.reached,
        "It has fetched its system whole; that has not told yet that it is done.", "", (story.handed,),
    )  # fmt: skip


def _system_unheard(story: BootStory, handed: TraceEvent) -> bool:
    """Tell whether a console that works and the network both saw nothing of a system after its files."""
    told = story.all("system") or any(one.at > handed.at for one in story.all("http", "get"))
    return story.spoke and story.kernel_runs is None and not told


def own_disk_after_all(story: BootStory) -> Verdict | None:
    """It asked the network and then went on to its disk."""
    spoke = story.last("console", "login") or story.first("console", "kernel")
    if not story.to_agent or not story.late or spoke is None or story.kernel_fetched is not None:
        return None
    if story.reached > Reached.KERNEL or not story.firmware_asks:
        return None
    return found(
        story, Cause.BOOTED_DISK, "It asked the network, fetched no kernel there, and booted its own disk.",
        "Look at its trace for what it was answered, and at its firmware's boot order.",
        story.firmware_asks[-1], spoke,
    )  # fmt: skip


def local(story: BootStory) -> Verdict | None:
    """Its own disk: no kernel, or a system that does not come to the sign that is waited for."""
    if story.to_agent:
        return None
    empty = story.last("console", "nothing-to-boot")
    if empty is not None and story.reached < Reached.KERNEL:
        return found(
            story, Cause.NOTHING_BOOTS, f"Its firmware found nothing to boot: {empty.text}",
            "Its disk may have no boot loader for this firmware, or the firmware does not see the disk.",
            empty,
        )  # fmt: skip
    if not story.late:
        return None
    if story.awaited and story.has_console and not story.spoke:
        lost = story.last("console", "lost")
        text = "and its console is not connected" if lost else "and nothing at all was heard on its console"
        return found(
            story, Cause.CONSOLE, f"Its system was to be seen on the console, {text}.",
            "Look whether the console's cable is in, whether it is this board's, and at what speed it "
            "speaks: `hostler check BOARD`.", story.powered, lost,
        )  # fmt: skip
    if not story.awaited:
        return None if story.reached >= Reached.KERNEL else _nothing_boots(story)
    if story.reached is Reached.KERNEL:
        return found(
            story, Cause.NO_LOGIN, "Its kernel runs, and its done-signal was never seen.",
            "Look at its console: the system may hang, or speak on another console, or the image's pattern "
            "is not what it says.", story.last("console", "kernel"),
        )  # fmt: skip
    if story.reached is Reached.SYSTEM:
        return found(
            story, Cause.NO_LOGIN, "It asks for a login, and that is not the image's done-signal.",
            "Compare the image's pattern with what the console shows.", story.last("console", "login"),
        )  # fmt: skip
    return _nothing_boots(story)


def _nothing_boots(story: BootStory) -> Verdict | None:
    if story.has_console and (story.first("console", "firmware") is not None or story.firmware_asks):
        asked = story.firmware_asks[-1] if story.firmware_asks else None
        return found(
            story, Cause.NOTHING_BOOTS, "Its firmware ran, and no kernel was seen after it.",
            "Its disk may have no boot loader for this firmware, or the firmware does not try the disk.",
            asked, story.last("console", "firmware"),
        )  # fmt: skip
    return None


def no_root(story: BootStory) -> Verdict | None:
    """Its system came no further than its initramfs, or than the shell it gives to mend it."""
    if story.to_agent or story.reached >= Reached.SYSTEM:
        return None
    gone = story.last("console", "no-root")
    if gone is not None:
        return found(
            story, Cause.NO_ROOT, f"Its kernel runs and finds no root file system: {gone.text}.",
            "Compare root= on its command line with the disk's partitions; its initramfs may lack the "
            "driver.",
            gone, story.last("console", "disk-error"),
        )  # fmt: skip
    emergency = story.last("console", "emergency")
    if emergency is not None:
        return found(
            story, Cause.NO_LOGIN, f"Its system stopped for somebody to mend it: {emergency.text}.",
            "Look at its console for the unit that failed; often a file system of fstab is not there.",
            emergency,
        )  # fmt: skip
    return None


def restarts(story: BootStory) -> Verdict | None:
    """It goes from firmware to kernel again and again, and never comes up."""
    if story.handed is not None or story.reached >= Reached.SYSTEM or len(story.restarts) < _MANY_RESTARTS:
        return None
    return found(
        story, Cause.RESTARTS,
        f"It restarts again and again: its kernel was started {len(story.restarts) + 1} times.",
        "Look at the last lines of its console before each restart: a watchdog, a panic, or its power.",
        *story.restarts,
    )  # fmt: skip


def other_console(story: BootStory) -> Verdict | None:
    """Somebody else speaks on its console: what is seen there is not to be believed."""
    other = story.last("console", "other-board")
    if other is None:
        return None
    return found(
        story, Cause.OTHER_CONSOLE, f"Its console is another board's: {other.text}.",
        "Swap the two consoles in lab.toml, or their cables; `hostler check` tells which belong together.",
        other,
    )  # fmt: skip


def late(story: BootStory) -> Verdict | None:
    """Nothing else explains it, and its first questions were lost."""
    late = story.last("dhcp", "late")
    if late is None or not story.late or story.reached >= Reached.SYSTEM:
        return None
    return found(story, Cause.SPANNING_TREE, f"{late.text}.", "", late)
