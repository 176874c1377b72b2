"""Why a board did not come up: the trace of its boot, held against what should have been seen.

``judge`` asks the rules one after the other; the first that has evidence speaks. A rule without evidence
is silent, and where all are, the answer is how far the boot came and that the rest is not known.
"""

from __future__ import annotations

from hostler.model import verdict_agent, verdict_files, verdict_network, verdict_system
from hostler.model.boot_story import BootStory, Reached
from hostler.model.cause import Cause, Verdict, found


def judge(story: BootStory) -> Verdict:
    """Return why a boot is as it is."""
    crossed = verdict_system.other_console(story)
    if crossed is not None:
        return crossed  # it may have come up: what is seen of it is another's all the same
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
        return found(
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

_RULES = (
    verdict_network.power,
    verdict_network.power_lost,
    verdict_files.secure_boot,
    verdict_system.panic,
    verdict_system.no_root,
    verdict_system.restarts,
    verdict_system.clock,
    verdict_system.other_system,
    verdict_network.takeover,
    verdict_network.network_place,
    verdict_network.not_served,
    verdict_network.answered_by_nobody,
    verdict_network.never_asked,
    verdict_network.offer_ignored,
    verdict_files.medium,
    verdict_files.tls,
    verdict_files.slow,
    verdict_files.refused,
    verdict_files.transfers,
    verdict_system.own_disk_after_all,
    verdict_files.loader_failed,
    verdict_files.transfer_stalls,
    verdict_files.loader,
    verdict_agent.agent,
    verdict_system.local,
    verdict_system.late,
)
