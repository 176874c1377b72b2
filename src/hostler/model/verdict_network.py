"""Rules of a verdict: from power to the answer by DHCP."""

from __future__ import annotations

from hostler.model.boot_story import BootStory, Reached
from hostler.model.cause import Cause, Verdict, found


def power(story: BootStory) -> Verdict | None:
    """It was never switched on."""
    if story.powered is not None:
        return None
    wrong = story.last("power", "error", "given-up")
    if wrong is not None:
        return found(
            story, Cause.POWER, f"It got no power: {wrong.text}.",
            "Look at the equipment; `hostler check BOARD` asks it.", wrong,
        )  # fmt: skip
    waits = story.last("power", "waits")
    if waits is not None:
        return found(
            story, Cause.POWER_WAITS, f"It has no power yet: {waits.text}.",
            "Wait, or switch off another board on the same equipment.", waits,
        )  # fmt: skip
    return None


def power_lost(story: BootStory) -> Verdict | None:
    """The supply reads other than it was switched, and nothing came of the boot."""
    mismatch = story.last("power", "mismatch")
    if mismatch is None or story.reached > Reached.POWER:
        return None
    return found(
        story, Cause.POWER, f"Its supply was switched on and does not stay so: {mismatch.text}.",
        "Look for a fault or an overload on its port.", mismatch,
    )  # fmt: skip


def network_place(story: BootStory) -> Verdict | None:
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
            return found(story, cause, f"{told.text}.", "", told)
    return None


def takeover(story: BootStory) -> Verdict | None:
    """What should have brought it to the network failed."""
    wrong = story.last("bootctl", "error")
    if wrong is None or not story.to_agent or story.reached >= Reached.SYSTEM:
        return None
    if story.on_network_after(wrong):
        return None  # it came by itself
    return found(
        story, Cause.TAKEOVER, f"It could not be brought to the network: {wrong.text}.",
        "`hostler check BOARD` asks its boot controls.", wrong,
    )  # fmt: skip


def not_served(story: BootStory) -> Verdict | None:
    """Nobody here could hear it: the boot services do not run."""
    told = story.last("dhcp", "not-served")
    if told is None or not story.to_agent or story.on_network_after(told) or story.reached > Reached.ANSWERED:
        return None
    return found(story, Cause.NOT_SERVED, f"{told.text}.", "", told)


def answered_by_nobody(story: BootStory) -> Verdict | None:
    """It asked, and was given no answer, or took somebody else's."""
    if not story.to_agent or story.reached >= Reached.KERNEL:
        return None
    rogue = story.last("dhcp", "rogue")
    if story.unanswered:
        ignored = story.unanswered[-1]
        if ignored.data.get("server") or rogue is not None:
            return found(
                story, Cause.OTHER_SERVER, f"Another DHCP server answered it: {(rogue or ignored).text}.",
                'Switch that server off, or set dhcp = "proxy" for this network.', rogue, ignored,
            )  # fmt: skip
        return found(story, Cause.NO_ANSWER, f"It was not answered: {ignored.text}.", "", ignored)
    return None


def never_asked(story: BootStory) -> Verdict | None:
    """Its firmware asked nothing of the network: its disk was first, or nothing runs."""
    if not story.to_agent or story.firmware_asks or story.reached > Reached.KERNEL or not story.late:
        return None
    if story.all("tftp") or story.all("http"):
        return None  # where another server gives addresses, or from a medium
    login, kernel = story.first("console", "login"), story.first("console", "kernel")
    if login is not None or kernel is not None:
        return found(
            story, Cause.BOOTED_DISK, "It booted its own disk and never asked the network.",
            "Put the network first in its firmware's boot order, or give it a boot control (bootctl).",
            kernel, login,
        )  # fmt: skip
    if story.system_asks:
        return found(
            story, Cause.BOOTED_DISK,
            "Its firmware never asked the network; a system on one of its disks or media asked it.",
            "Put the network first in its firmware's boot order, or give it a boot control (bootctl).",
            story.system_asks[-1],
        )  # fmt: skip
    firmware = story.first("console", "firmware", "nothing-to-boot")
    if firmware is not None:
        return found(
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
        text += (
            ", and its console is not connected."
            if dead is not None
            else (
                ", and what its console says is not known."
                if story.spoke
                else ", and nothing on its console."
            )
        )
    return found(
        story, Cause.NO_SIGN, text,
        "Look whether it really has power, whether its cable is in, and whether network boot is enabled.",
        story.powered, dead,
    )  # fmt: skip


def offer_ignored(story: BootStory) -> Verdict | None:
    """It was made offers and took none."""
    offers = story.offers_in_vain
    if not offers or not story.to_agent or story.reached != Reached.ANSWERED:
        return None
    other = [one for one in story.all("dhcp", "ignored") if one.data.get("server")]
    chosen = story.last("dhcp", "rogue") or (other[-1] if other else None)
    if chosen is not None:
        return found(
            story, Cause.OTHER_SERVER, f"It was made an offer here and took another's: {chosen.text}.",
            'Switch that server off, or set dhcp = "proxy" for this network.', chosen,
        )  # fmt: skip
    return found(
        story, Cause.OFFER_IGNORED,
        f"It was made {len(offers)} offers and took none of them." if len(offers) > 1
        else "It was made an offer and did not take it.",
        "Its firmware does not like what it was told to boot: compare loader and platform of its class "
        "with what it is, and look whether the answers reach it.", offers[-1],
    )  # fmt: skip
