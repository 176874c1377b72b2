"""Rules of a verdict: from the kernel to the work done."""

from __future__ import annotations

from hostler.model.boot_story import BootStory, Reached
from hostler.model.cause import Cause, Verdict, found


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
    return found(story, Cause.PANIC, f"Its kernel stopped: {stopped.text}.", advice, stopped)


def other_system(story: BootStory) -> Verdict | None:
    """A live system or an installer: nothing is heard of it until it is done, and that may be long."""
    if not story.to_agent or story.handed is None:
        return None
    if story.failed is not None:
        return found(
            story, Cause.INSTALLER, f"What it was to do failed: {story.failed.text}.",
            "Look at its console.", story.handed, story.failed,
        )  # fmt: skip
    return Verdict(
        Cause.UNDER_WAY, story.reached,
        "It has fetched its system whole; that has not told yet that it is done.", "", (story.handed,),
    )  # fmt: skip


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


def agent(story: BootStory) -> Verdict | None:
    """The agent, from its kernel to its last word."""
    if not story.to_agent:
        return None
    failed = story.failed
    if failed is not None and failed.source != "run":
        cause = Cause.STEP if failed.source == "agent" else Cause.INSTALLER
        return found(story, cause, f"What it was to do failed: {failed.text}.", "", failed)
    trouble = story.last("agent", "trouble")
    if trouble is not None and story.reached < Reached.SYSTEM:
        return found(story, Cause.AGENT_TROUBLE, f"Its agent says: {trouble.text}.", "", trouble)
    if not story.late:
        return None
    if story.reached is Reached.SYSTEM:
        hello = story.last("agent", "hello")
        return found(
            story, Cause.AGENT_SILENT, "Its agent spoke, and then nothing was heard of it.",
            "It was switched off, lost its network, or its agent died: look at the end of its console.",
            hello, trouble,
        )  # fmt: skip
    if story.reached is Reached.KERNEL:
        asked = story.system_asks
        if not asked and not story.firmware_asks:
            return None  # another server gives addresses here, and what it is asked is not heard
        if not asked:
            return found(
                story, Cause.SYSTEM_NETWORK, "Its kernel runs and never asked for an address.",
                "The agent's kernel may lack a driver for its network card: look at its console.",
                story.last("console", "kernel"),
            )  # fmt: skip
        return found(
            story, Cause.AGENT_SILENT, "Its kernel runs and asked for an address; its agent was not heard.",
            "Look whether it can reach this host by HTTP: a firewall, or an address of another server.",
            asked[-1],
        )  # fmt: skip
    return None


def local(story: BootStory) -> Verdict | None:
    """Its own disk: no kernel, or a system that does not come to the sign that is waited for."""
    if story.to_agent or not story.late:
        return None
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


def late(story: BootStory) -> Verdict | None:
    """Nothing else explains it, and its first questions were lost."""
    late = story.last("dhcp", "late")
    if late is None or not story.late or story.reached >= Reached.SYSTEM:
        return None
    return found(story, Cause.SPANNING_TREE, f"{late.text}.", "", late)
