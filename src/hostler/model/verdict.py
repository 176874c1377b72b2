"""Why a board did not come up: the trace of its boot, held against what should have been seen.

``judge`` asks the rules one after the other; the first that has evidence speaks. A rule without evidence
is silent, and where all are, the answer is how far the boot came and that the rest is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hostler.model.boot_story import BootStory, Reached
from hostler.model.trace import TraceEvent


class Cause(StrEnum):
    """What was wrong, as one word that programs can count."""

    NONE = "none"
    UNDER_WAY = "under-way"
    UNKNOWN = "unknown"
    POWER = "power"
    POWER_WAITS = "power-waits"
    NO_LINK = "no-link"
    SPANNING_TREE = "spanning-tree"
    WRONG_NETWORK = "wrong-network"
    WRONG_PORT = "wrong-port"
    BOOTED_DISK = "booted-disk"
    NO_SIGN = "no-sign-of-life"
    DID_NOT_ASK = "did-not-ask"
    IDENTITY = "identity"
    NO_ANSWER = "no-answer"
    OTHER_SERVER = "other-server"
    OFFER_IGNORED = "offer-ignored"
    NO_FILE_ASKED = "no-file-asked"
    FILE_MISSING = "file-missing"
    PACKET_SIZE = "packet-size"
    TRANSFER = "transfer"
    SECURE_BOOT = "secure-boot"
    LOADER = "boot-loader"
    KERNEL_SILENT = "kernel-silent"
    PANIC = "kernel-panic"
    SYSTEM_NETWORK = "system-has-no-network"
    AGENT_SILENT = "agent-silent"
    AGENT_TROUBLE = "agent-trouble"
    STEP = "step-failed"
    INSTALLER = "installer"
    TAKEOVER = "takeover"
    NOTHING_BOOTS = "nothing-boots"
    NO_LOGIN = "no-login"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a boot.

    Attributes:
        cause: What was wrong.
        reached: How far it came.
        text: What happened, in a sentence or two.
        advice: What to do; empty where nothing is to be done, or nothing is known.
        evidence: The events it rests on.
    """

    cause: Cause
    reached: Reached
    text: str
    advice: str = ""
    evidence: tuple[TraceEvent, ...] = ()


def judge(story: BootStory) -> Verdict:
    """Return why a boot is as it is."""
    if story.reached is Reached.DONE:
        return Verdict(Cause.NONE, story.reached, "It came up and did what it was booted for.")
    for rule in _RULES:
        verdict = rule(story)
        if verdict is not None:
            return verdict
    if not story.late:
        return Verdict(
            Cause.UNDER_WAY,
            story.reached,
            f"Nothing was missing as long as it was looked at: {_SO_FAR[story.reached]}.",
        )
    if story.failed is not None:
        return _found(
            story, Cause.UNKNOWN,
            f"It came this far: {_SO_FAR[story.reached]}. What stopped it is not known; {story.failed.text}.",
            "Look at its trace and its console.", story.failed,
        )  # fmt: skip
    unseen = "" if story.has_console or story.to_agent else " It has no console on which more could be seen."
    return Verdict(
        Cause.UNKNOWN,
        story.reached,
        f"It came this far: {_SO_FAR[story.reached]}. If anything stopped it, that is not known.{unseen}",
        "Look at its trace and its console." if story.has_console else "Look at its trace.",
    )


_SO_FAR = {
    Reached.NOTHING: "it has no power yet",
    Reached.POWER: "it has power",
    Reached.ASKED: "its firmware runs",
    Reached.ANSWERED: "it has an answer by DHCP",
    Reached.FILE: "it has fetched a file",
    Reached.KERNEL: "its kernel runs",
    Reached.SYSTEM: "its system is up",
    Reached.DONE: "it is done",
}


def _found(story: BootStory, cause: Cause, text: str, advice: str, *evidence: TraceEvent | None) -> Verdict:
    return Verdict(cause, story.reached, text, advice, tuple(one for one in evidence if one is not None))


def _power(story: BootStory) -> Verdict | None:
    if story.powered is not None:
        return None
    wrong = story.last("power", "error", "given-up")
    if wrong is not None:
        return _found(
            story, Cause.POWER, f"It got no power: {wrong.text}.",
            "Look at the equipment; `hostler check BOARD` asks it.", wrong,
        )  # fmt: skip
    waits = story.last("power", "waits")
    if waits is not None:
        return _found(
            story, Cause.POWER_WAITS, f"It has no power yet: {waits.text}.",
            "Wait, or switch off another board on the same equipment.", waits,
        )  # fmt: skip
    return None


def _power_lost(story: BootStory) -> Verdict | None:
    """The supply reads other than it was switched, and nothing came of the boot."""
    mismatch = story.last("power", "mismatch")
    if mismatch is None or story.reached > Reached.POWER:
        return None
    return _found(
        story, Cause.POWER, f"Its supply was switched on and does not stay so: {mismatch.text}.",
        "Look for a fault or an overload on its port.", mismatch,
    )  # fmt: skip


def _network_place(story: BootStory) -> Verdict | None:
    """What the rack told of the board's place in the network, with what to do in its own words."""
    if not story.to_agent:
        return None  # its own disk needs no network
    causes = {
        "down": Cause.NO_LINK, "closed": Cause.SPANNING_TREE, "other-port": Cause.WRONG_PORT,
        "wrong-network": Cause.WRONG_NETWORK, "conflict": Cause.IDENTITY,
    }  # fmt: skip
    for source in ("link", "dhcp"):
        for kind, cause in causes.items():
            told = story.last(source, kind)
            if told is None or story.reached > Reached.ANSWERED:
                continue  # it has been brought to a file all the same
            if source == "link" and kind != "other-port" and story.on_network_after(told):
                continue
            return _found(story, cause, f"{told.text}.", "", told)
    return None


def _takeover(story: BootStory) -> Verdict | None:
    wrong = story.last("bootctl", "error")
    if wrong is None or not story.to_agent or story.reached >= Reached.SYSTEM:
        return None
    if story.on_network_after(wrong):
        return None  # it came by itself
    return _found(
        story, Cause.TAKEOVER, f"It could not be brought to the network: {wrong.text}.",
        "`hostler check BOARD` asks its boot controls.", wrong,
    )  # fmt: skip


def _answered_by_nobody(story: BootStory) -> Verdict | None:
    """It asked, and was given no answer, or took somebody else's."""
    if not story.to_agent or story.reached >= Reached.KERNEL:
        return None
    rogue = story.last("dhcp", "rogue")
    if story.unanswered:
        ignored = story.unanswered[-1]
        if ignored.data.get("server") or rogue is not None:
            return _found(
                story, Cause.OTHER_SERVER, f"Another DHCP server answered it: {(rogue or ignored).text}.",
                'Switch that server off, or set dhcp = "proxy" for this network.', rogue, ignored,
            )  # fmt: skip
        return _found(story, Cause.NO_ANSWER, f"It was not answered: {ignored.text}.", "", ignored)
    return None


def _never_asked(story: BootStory) -> Verdict | None:
    if not story.to_agent or story.firmware_asks or story.reached > Reached.KERNEL or not story.late:
        return None
    if story.all("tftp") or story.all("http"):
        return None  # where another server gives addresses, or from a medium
    login, kernel = story.first("console", "login"), story.first("console", "kernel")
    if login is not None or kernel is not None:
        return _found(
            story, Cause.BOOTED_DISK, "It booted its own disk and never asked the network.",
            "Put the network first in its firmware's boot order, or give it a boot control (bootctl).",
            kernel, login,
        )  # fmt: skip
    if story.system_asks:
        return _found(
            story, Cause.BOOTED_DISK,
            "Its firmware never asked the network; a system on one of its disks or media asked it.",
            "Put the network first in its firmware's boot order, or give it a boot control (bootctl).",
            story.system_asks[-1],
        )  # fmt: skip
    firmware = story.first("console", "firmware")
    if firmware is not None:
        return _found(
            story, Cause.DID_NOT_ASK, "Its firmware ran and did not ask the network.",
            "Enable network boot in its firmware; look whether its cable is in a port of this network.",
            firmware,
        )  # fmt: skip
    if story.powered is None:
        return None
    dead = story.last("console", "lost")
    text = "It was switched on, and nothing was heard of it: not on the network"
    if not story.has_console:
        text += "; it has no console."
    else:
        text += ", and its console is not connected." if dead is not None else ", and nothing on its console."
    return _found(
        story, Cause.NO_SIGN, text,
        "Look whether it really has power, whether its cable is in, and whether network boot is enabled.",
        story.powered, dead,
    )  # fmt: skip


def _offer_ignored(story: BootStory) -> Verdict | None:
    offers = story.offers_in_vain
    if not offers or not story.to_agent or story.reached != Reached.ANSWERED:
        return None
    chosen = story.last("dhcp", "rogue")
    if chosen is not None:
        return _found(
            story, Cause.OTHER_SERVER, f"It was made an offer here and took another's: {chosen.text}.",
            'Switch that server off, or set dhcp = "proxy" for this network.', chosen,
        )  # fmt: skip
    return _found(
        story, Cause.OFFER_IGNORED,
        f"It was made {len(offers)} offers and took none of them." if len(offers) > 1
        else "It was made an offer and did not take it.",
        "Its firmware does not like what it was told to boot: compare loader and platform of its class "
        "with what it is, and look whether the answers reach it.", offers[-1],
    )  # fmt: skip


def _medium(story: BootStory) -> Verdict | None:
    """An agent from a USB stick or an SD card: it asks what to do, and no firmware fetches anything."""
    said = [one for one in story.all("http") if one.data.get("file") == "join" or "medium" in one.text]
    if not said or not story.late or story.reached >= Reached.SYSTEM:
        return None
    last = said[-1]
    if last.kind == "failed":
        return _found(story, Cause.NOTHING_BOOTS, f"{last.text}.", "Look whether its disk can boot.", last)
    if not story.to_agent:
        return None
    what = "was refused" if last.kind == "refused" else "asked what to do, and was not heard again"
    return _found(
        story, Cause.AGENT_TROUBLE, f"The agent from its medium {what}: {last.text}.",
        "Look at its console.", last,
    )  # fmt: skip


def _transfers(story: BootStory) -> Verdict | None:
    """It asked for a file and did not get it."""
    if not story.to_agent or story.reached >= Reached.SYSTEM:
        return None
    mtu = story.last("tftp", "mtu") or story.last("http", "mtu")
    if mtu is not None and not story.kernel_fetched:
        return _found(story, Cause.PACKET_SIZE, f"{mtu.text}.", "", mtu)
    if story.kernel_fetched is not None or not story.late:
        return None
    wrong = story.last("http", "failed", "aborted", "missing", "refused")
    stalled = story.last("tftp", "timeout", "error", "notfound")
    last = max(filter(None, (wrong, stalled)), key=lambda one: one.at, default=None)
    whole = max(story.whole_files, key=lambda one: one.at, default=None)
    if last is not None and whole is not None and whole.at > last.at:
        last = None  # firmware looks for files that need not be, and tries again
    if last is not None and last.kind in ("missing", "refused", "notfound"):
        return _found(story, Cause.FILE_MISSING, f"It did not get a file: {last.text}.", "", last)
    if last is not None:
        return _found(
            story, Cause.TRANSFER, f"A transfer to it broke off: {last.text}.",
            "Look at the cable, the switch port's errors, and whether the board was reset meanwhile.", last,
        )  # fmt: skip
    if (
        not story.whole_files
        and story.reached is Reached.ANSWERED
        and not story.all("tftp") + story.all("http")
    ):
        missing = story.answers[-1]
        return _found(
            story, Cause.NO_FILE_ASKED, "It was told what to boot and did not ask for it.",
            "A firewall between it and this host may drop TFTP (UDP 69) or HTTP; or it looks for its files "
            "at another server.", missing,
        )  # fmt: skip
    return None


def _secure_boot(story: BootStory) -> Verdict | None:
    refused = story.last("console", "unsigned", "unsigned-kernel") or story.last("tftp", "not-started")
    if refused is None or story.reached >= Reached.KERNEL:
        return None
    if any(one.at > refused.at for one in story.whole_files):
        return None  # the next in its boot order is signed
    return _found(story, Cause.SECURE_BOOT, f"{refused.text}.", "", refused)


def _loader(story: BootStory) -> Verdict | None:
    """The first file came whole, and nothing of what it should do followed."""
    if not story.late or not story.to_agent or story.reached is not Reached.FILE:
        return None
    if story.kernel_fetched is not None:
        return _found(
            story, Cause.KERNEL_SILENT, "It fetched its kernel, and nothing was heard of that.",
            "The kernel may be for another machine, or not speak on this console: compare platform and "
            "console of its class with the board.", story.kernel_fetched,
        )  # fmt: skip
    last = max(story.whole_files, key=lambda one: one.at)
    return _found(
        story, Cause.LOADER, f"It fetched {last.data.get('file', 'a file')} and did not go on with it.",
        "The boot loader may be for another firmware, or not find its network card: try another loader.",
        last,
    )  # fmt: skip


def _panic(story: BootStory) -> Verdict | None:
    panic = story.last("console", "panic")
    if panic is None or story.reached >= Reached.SYSTEM:
        return None
    root = not story.to_agent and any(
        word in panic.text for word in ("VFS", "root fs", "init found", "working init", "Requested init")
    )
    advice = (
        "The kernel does not find its root file system or its init: compare the image with the board's disk "
        "and drivers."
        if root
        else "Look at the lines before it on the console."
    )
    return _found(story, Cause.PANIC, f"Its kernel stopped: {panic.text}.", advice, panic)


def _other_system(story: BootStory) -> Verdict | None:
    """A live system or an installer: nothing is heard of it until it is done, and that may be long."""
    if not story.to_agent or story.handed is None:
        return None
    if story.failed is not None:
        return _found(
            story, Cause.INSTALLER, f"What it was to do failed: {story.failed.text}.",
            "Look at its console.", story.handed, story.failed,
        )  # fmt: skip
    return Verdict(
        Cause.UNDER_WAY, story.reached,
        "It has fetched its system whole; that has not told yet that it is done.", "", (story.handed,),
    )  # fmt: skip


def _own_disk_after_all(story: BootStory) -> Verdict | None:
    """It asked the network and then went on to its disk."""
    spoke = story.last("console", "login") or story.first("console", "kernel")
    if not story.to_agent or not story.late or spoke is None or story.kernel_fetched is not None:
        return None
    if story.reached > Reached.KERNEL or not story.firmware_asks:
        return None
    return _found(
        story, Cause.BOOTED_DISK, "It asked the network, fetched no kernel there, and booted its own disk.",
        "Look at its trace for what it was answered, and at its firmware's boot order.",
        story.firmware_asks[-1], spoke,
    )  # fmt: skip


def _agent(story: BootStory) -> Verdict | None:
    if not story.to_agent:
        return None
    failed = story.failed
    if failed is not None and failed.source != "run":
        cause = Cause.STEP if failed.source == "agent" else Cause.INSTALLER
        return _found(story, cause, f"What it was to do failed: {failed.text}.", "", failed)
    trouble = story.last("agent", "trouble")
    if trouble is not None and story.reached < Reached.SYSTEM:
        return _found(story, Cause.AGENT_TROUBLE, f"Its agent says: {trouble.text}.", "", trouble)
    if not story.late:
        return None
    if story.reached is Reached.SYSTEM:
        hello = story.last("agent", "hello")
        return _found(
            story, Cause.AGENT_SILENT, "Its agent spoke, and then nothing was heard of it.",
            "It was switched off, lost its network, or its agent died: look at the end of its console.",
            hello, trouble,
        )  # fmt: skip
    if story.reached is Reached.KERNEL:
        asked = story.system_asks
        if not asked and not story.firmware_asks:
            return None  # another server gives addresses here, and what it is asked is not heard
        if not asked:
            return _found(
                story, Cause.SYSTEM_NETWORK, "Its kernel runs and never asked for an address.",
                "The agent's kernel may lack a driver for its network card: look at its console.",
                story.last("console", "kernel"),
            )  # fmt: skip
        return _found(
            story, Cause.AGENT_SILENT, "Its kernel runs and asked for an address; its agent was not heard.",
            "Look whether it can reach this host by HTTP: a firewall, or an address of another server.",
            asked[-1],
        )  # fmt: skip
    return None


def _local(story: BootStory) -> Verdict | None:
    if story.to_agent or not story.late:
        return None
    if not story.awaited:
        return None if story.reached >= Reached.KERNEL else _nothing_boots(story)
    if story.reached is Reached.KERNEL:
        return _found(
            story, Cause.NO_LOGIN, "Its kernel runs, and its done-signal was never seen.",
            "Look at its console: the system may hang, or speak on another console, or the image's pattern "
            "is not what it says.", story.last("console", "kernel"),
        )  # fmt: skip
    if story.reached is Reached.SYSTEM:
        return _found(
            story, Cause.NO_LOGIN, "It asks for a login, and that is not the image's done-signal.",
            "Compare the image's pattern with what the console shows.", story.last("console", "login"),
        )  # fmt: skip
    return _nothing_boots(story)


def _nothing_boots(story: BootStory) -> Verdict | None:
    if story.has_console and (story.first("console", "firmware") is not None or story.firmware_asks):
        asked = story.firmware_asks[-1] if story.firmware_asks else None
        return _found(
            story, Cause.NOTHING_BOOTS, "Its firmware ran, and no kernel was seen after it.",
            "Its disk may have no boot loader for this firmware, or the firmware does not try the disk.",
            asked, story.last("console", "firmware"),
        )  # fmt: skip
    return None


def _late(story: BootStory) -> Verdict | None:
    """Nothing else explains it, and its first questions were lost."""
    late = story.last("dhcp", "late")
    if late is None or not story.late or story.reached >= Reached.SYSTEM:
        return None
    return _found(story, Cause.SPANNING_TREE, f"{late.text}.", "", late)


_RULES = (
    _power,
    _power_lost,
    _secure_boot,
    _panic,
    _other_system,
    _takeover,
    _network_place,
    _answered_by_nobody,
    _never_asked,
    _offer_ignored,
    _medium,
    _transfers,
    _own_disk_after_all,
    _loader,
    _agent,
    _local,
    _late,
)
