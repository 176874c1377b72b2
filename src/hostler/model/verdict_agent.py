"""Rules of a verdict: the agent, from its kernel to its last word."""

from __future__ import annotations

from hostler.model.boot_story import BootStory, Reached
from hostler.model.cause import Cause, Verdict, found


def agent(story: BootStory) -> Verdict | None:
    """The agent, from its kernel to its last word."""
    if not story.to_agent:
        return None
    failed = story.failed
    if failed is not None and failed.source != "run":
        if failed.source != "agent":
            return found(story, Cause.INSTALLER, f"What it was to do failed: {failed.text}.", "", failed)
        cause, advice = _STEPS.get(str(failed.data.get("cause")), (Cause.STEP, ""))
        said = story.last("console", "disk-error") if cause in (Cause.STEP, Cause.DISK) else None
        return found(story, cause, f"What it was to do failed: {failed.text}.", advice, failed, said)
    ended = _ended(story)
    if ended is not None:
        return ended
    # One that ended is started again, and is then heard or ends once more: see above.
    troubles = [one for one in story.all("agent", "trouble") if one.data.get("cause") != "ended"]
    trouble = troubles[-1] if troubles else None
    if failed is not None and failed.kind == "timed_out" and story.reached is Reached.SYSTEM:
        return found(
            story, Cause.STEP, f"What it was to do was not done in time: {failed.text}.",
            "Look at its console, and give the step more time if it only is slow.", failed, trouble,
        )  # fmt: skip
    if trouble is not None and story.reached < Reached.SYSTEM:
        cause, advice = _TROUBLES.get(str(trouble.data.get("cause")), (Cause.AGENT_TROUBLE, ""))
        return found(story, cause, f"Its agent says: {trouble.text}.", advice, trouble)
    stuck = story.last("agent", "stuck", "moves")
    if stuck is not None and stuck.kind == "stuck" and story.reached is Reached.SYSTEM:
        said = story.last("console", "disk-error")
        text = f"Its agent works, and {stuck.text}."
        return found(
            story, Cause.DISK if said else Cause.STUCK, text,
            "Look at its disk: one that fails answers slowly before it answers no more." if said
            else "Look at its console: its disk or this host answers it no more.", stuck, said,
        )  # fmt: skip
    if not story.late:
        return None
    if story.reached is Reached.SYSTEM:
        if story.at_work:
            return Verdict(Cause.UNDER_WAY, story.reached, "Its agent works at a step of its run.")
        hello = story.last("agent", "hello")
        return found(
            story, Cause.AGENT_SILENT, "Its agent spoke, and then nothing was heard of it.",
            "It was switched off, lost its network, or its agent died: look at the end of its console.",
            hello, trouble, story.given_up,
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


def _ended(story: BootStory) -> Verdict | None:
    """Its process ended, which it never does by itself, and it was not heard after that."""
    ends = [one for one in story.all("agent", "trouble") if one.data.get("cause") == "ended"]
    if not ends or any(one.at > ends[-1].at for one in story.all("agent")):
        return None
    if not story.late and len(ends) < _MOST_STARTS:
        return None  # it is started again
    return found(
        story, Cause.AGENT_CRASHED, f"Its agent crashed: {ends[-1].text}.",
        "Look at its console for a Python traceback, or for the kernel that killed it for want of memory: a "
        "board needs 512 MB. Report a traceback: it is a fault of the agent.", ends[0], ends[-1],
    )  # fmt: skip


_MOST_STARTS = 3  # as often as build/agent_init.sh starts it
_TROUBLES = {
    "no-card": (
        Cause.NO_CARD,
        "Take a network card that the agent's kernel has a driver for; `lspci -nn` of a system that runs on "
        "this board names its own.",
    ),
    "no-cable": (
        Cause.SYSTEM_NETWORK,
        "Look at its cable and the switch port: its card has no link since its kernel runs.",
    ),
    "no-answer": (
        Cause.SYSTEM_NETWORK,
        "Its firmware was answered: look whether the switch port closes again when the link goes down for a "
        "moment (spanning tree), and whether another DHCP server is asked.",
    ),
    "no-route": (
        Cause.NO_ROUTE,
        "It has an address from which no route leads to this host: set `router` of its network in lab.toml, "
        "and look whether another DHCP server gave it that address.",
    ),
    "unreachable": (
        Cause.AGENT_TROUBLE,
        "It has an address and no connection: look at this host's firewall, whether the boot network's "
        "`http_port` is open to boards, and whether `hostler serve` runs.",
    ),
}
"""By what the agent calls its trouble: what that means, and what to do."""
_STEPS = {
    "no-disk": (
        Cause.NO_DISK,
        "Look whether the disk is connected, and whether the agent's kernel has a driver for its controller.",
    ),
    "image-too-large": (Cause.TOO_LARGE, "Take a smaller image, or a larger disk."),
    "image-damaged": (Cause.IMAGE, "`hostler image verify` tells what is damaged; import the image again."),
    "signature-refused": (
        Cause.SIGNATURE,
        "`hostler image show` tells who signed the image: sign it with a key that the agent trusts, or build "
        "an agent that trusts its signer. If a signature does not hold, find out who changed the image.",
    ),
    "disk-fault": (Cause.DISK, "Look at its health in `hostler show`, and replace the disk."),
    "agent-trouble": (Cause.AGENT_TROUBLE, "This is a fault of the agent: report it, with the log."),
}
"""By what the agent calls the cause of a failed step: what that means, and what to do."""
