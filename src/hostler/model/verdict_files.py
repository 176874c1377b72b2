"""Rules of a verdict: from the first file to the kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hostler.model.boot_story import BootStory, Reached
from hostler.model.cause import Cause, Verdict, found

if TYPE_CHECKING:
    from hostler.model.trace import TraceEvent

_REFUSED = re.compile(r"Connection (?:reset|refused)")
"""As iPXE calls a connection that is rejected (its errors ECONNRESET and ECONNREFUSED)."""
_BROKE_OFF = "Look at the cable, the switch port's errors, and whether the board was reset meanwhile."
_LOOKS = 3
"""How many looks, 20 s apart, tell a slow transfer from a moment's pause."""
_SLOW = 100_000.0
"""Bytes a second: the slowest firmware fetches faster over the slowest Ethernet (10 Mbit/s)."""


def medium(story: BootStory) -> Verdict | None:
    """An agent from a USB stick or an SD card: it asks what to do, and no firmware fetches anything."""
    said = [one for one in story.all("http") if one.data.get("file") == "join" or "medium" in one.text]
    if not said or not story.late or story.reached >= Reached.SYSTEM:
        return None
    last = said[-1]
    if last.kind == "failed":
        return found(story, Cause.NOTHING_BOOTS, f"{last.text}.", "Look whether its disk can boot.", last)
    if not story.to_agent:
        return None
    what = "was refused" if last.kind == "refused" else "asked what to do, and was not heard again"
    return found(
        story, Cause.AGENT_TROUBLE, f"The agent from its medium {what}: {last.text}.",
        "Look at its console.", last,
    )  # fmt: skip


def refused(story: BootStory) -> Verdict | None:
    """Its boot loader was refused a connection, or lost it in the midst of a file, and says so."""
    said = story.last("console", "loader-error")
    if said is None or _REFUSED.search(said.text) is None or not story.to_agent or not story.late:
        return None
    if story.reached >= Reached.KERNEL or any(one.at > said.at for one in story.whole_files):
        return None
    asked = story.kernel_missing
    if asked is not None:  # it was connected: what is reset in the midst of a file is called the same
        if asked.at > said.at:
            return None  # it went on
        aborted = story.last("http", "aborted", "failed")
        return found(
            story, Cause.TRANSFER, f"A transfer to it broke off: {(aborted or said).text}.", _BROKE_OFF,
            asked, aborted, said,
        )  # fmt: skip
    return found(
        story, Cause.REFUSED, f"Its boot loader was refused a connection: {said.text}.",
        "A firewall on this host or between may reject it; or the address that it was told, perhaps by "
        "another DHCP server, is that of a host where nobody listens on this port.", said,
    )  # fmt: skip


def transfers(story: BootStory) -> Verdict | None:
    """It asked for a file and did not get it."""
    if not story.to_agent or story.reached >= Reached.SYSTEM:
        return None
    mtu = story.last("tftp", "mtu") or story.last("http", "mtu")
    # What is told after its power was cut tells of that alone.
    if mtu is not None and mtu.at <= story.until and not story.kernel_fetched:
        return found(story, Cause.PACKET_SIZE, f"{mtu.text}.", "", mtu)
    if not story.late or (story.kernel_fetched is not None and story.kernel_missing is None):
        return None
    wrong = story.last("http", "failed", "aborted", "missing", "refused")
    stalled = story.last("tftp", "timeout", "error", "notfound")
    last = max(filter(None, (wrong, stalled)), key=lambda one: one.at, default=None)
    after = [*story.whole_files, *filter(None, [story.kernel_missing])]
    if last is not None and any(one.at > last.at for one in after):
        last = None  # firmware looks for files that need not be, and tries again
    if last is not None and last.kind in ("missing", "refused", "notfound"):
        return found(story, Cause.FILE_MISSING, f"It did not get a file: {last.text}.", "", last)
    if last is not None:
        return found(
            story, Cause.TRANSFER, f"A transfer to it broke off: {last.text}.", _BROKE_OFF, last
        )  # fmt: skip
    if (
        not story.whole_files
        and story.reached is Reached.ANSWERED
        and not story.all("tftp") + story.all("http")
    ):
        missing = story.answers[-1]
        return found(
            story, Cause.NO_FILE_ASKED, "It was told what to boot and did not ask for it.",
            "A firewall between it and this host may drop TFTP (UDP 69) or HTTP; or it looks for its files "
            "at another server.", missing,
        )  # fmt: skip
    return None


def secure_boot(story: BootStory) -> Verdict | None:
    """Its firmware, or its boot loader, refused what is not signed for it."""
    signs = (story.last("console", "unsigned", "unsigned-kernel"), story.last("tftp", "not-started"))
    refused = max(filter(None, signs), key=lambda one: one.at, default=None)
    if refused is None or story.reached >= Reached.KERNEL:
        return None
    if any(one.at > refused.at for one in story.whole_files):
        return None  # the next in its boot order is signed
    return found(story, Cause.SECURE_BOOT, f"{refused.text}.", "", refused)


def slow(story: BootStory) -> Verdict | None:
    """A file comes, and so slowly that something must be wrong."""
    looks = story.looks[-_LOOKS:]
    if len(looks) < _LOOKS or not story.to_agent:
        return None
    arrived, seconds = _arrived(looks[-1]) - _arrived(looks[0]), looks[-1].at - looks[0].at
    if arrived <= 0 or arrived >= _SLOW * seconds:
        return None
    return found(
        story, Cause.SLOW, f"It fetches a file, and that is very slow: {looks[-1].text}.",
        "Look at the speed and the errors of its switch port, at its cable, and at what else this network "
        "carries; a limit of a switch or of this host may be set too low.", *looks,
    )  # fmt: skip


def _arrived(look: TraceEvent) -> float:
    arrived = look.data.get("arrived")
    return float(arrived) if isinstance(arrived, int | float) else 0.0


def tls(story: BootStory) -> Verdict | None:
    """It speaks TLS to a port that does not, and got nothing by it."""
    spoke = story.last("http", "tls")
    if spoke is None or not story.to_agent or story.reached >= Reached.KERNEL:
        return None
    if any(one.at > spoke.at for one in story.whole_files):
        return None
    return found(
        story, Cause.TLS, f"{spoke.text}.",
        "The boot services speak HTTP alone: let its firmware, its boot script or the other DHCP server name "
        "http:// and not https://.", spoke,
    )  # fmt: skip


def loader_failed(story: BootStory) -> Verdict | None:
    """The boot loader said why it does not go on, and did not."""
    wrong = story.last("console", "loader-error")
    if wrong is None or not story.late or story.reached >= Reached.KERNEL:
        return None
    if any(one.at > wrong.at for one in story.whole_files):
        return None  # it tried something else
    if story.kernel_missing is not None and story.kernel_missing.at > wrong.at:
        return None  # it went on
    return found(
        story, Cause.LOADER, f"Its boot loader gives up: {wrong.text}.",
        "Look at the lines before it on the console; a file may be missing, damaged, or for another machine.",
        wrong,
    )  # fmt: skip


def transfer_stalls(story: BootStory) -> Verdict | None:
    """It asked for its kernel or initramfs, and neither all of it came nor an end of the connection."""
    asked = story.kernel_missing
    if asked is None or not story.to_agent or not story.late or story.reached >= Reached.KERNEL:
        return None
    return found(
        story, Cause.TRANSFER,
        f"It began to fetch a file and after {story.until - asked.at:.0f} s has not all of it: {asked.text}.",
        "If it is not only slow, look at the cable, the switch port's errors, and whether the board was "
        "reset meanwhile.", asked,
    )  # fmt: skip


def loader(story: BootStory) -> Verdict | None:
    """The first file came whole, and nothing of what it should do followed."""
    if not story.late or not story.to_agent or story.reached is not Reached.FILE:
        return None
    if story.kernel_fetched is not None:
        return found(
            story, Cause.KERNEL_SILENT, "It fetched its kernel, and nothing was heard of that.",
            "The kernel may be for another machine, or not speak on this console: compare platform and "
            "console of its class with the board.", story.kernel_fetched,
        )  # fmt: skip
    last = max(story.whole_files, key=lambda one: one.at)
    return found(
        story, Cause.LOADER, f"It fetched {last.data.get('file', 'a file')} and did not go on with it.",
        "The boot loader may be for another firmware, or not find its network card: try another loader.",
        last,
    )  # fmt: skip
