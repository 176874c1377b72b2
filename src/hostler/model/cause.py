"""What a board's boot can suffer from, and what is said of it."""

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
    NOT_SERVED = "not-served"
    DID_NOT_ASK = "did-not-ask"
    IDENTITY = "identity"
    NO_ANSWER = "no-answer"
    OTHER_SERVER = "other-server"
    OFFER_IGNORED = "offer-ignored"
    NO_FILE_ASKED = "no-file-asked"
    FILE_MISSING = "file-missing"
    REFUSED = "connection-refused"
    PACKET_SIZE = "packet-size"
    TRANSFER = "transfer"
    SLOW = "slow-transfer"
    TLS = "tls"
    SECURE_BOOT = "secure-boot"
    LOADER = "boot-loader"
    KERNEL_SILENT = "kernel-silent"
    PANIC = "kernel-panic"
    NO_CARD = "no-network-card"
    SYSTEM_NETWORK = "system-has-no-network"
    NO_ROUTE = "no-route"
    AGENT_SILENT = "agent-silent"
    AGENT_CRASHED = "agent-crashed"
    AGENT_TROUBLE = "agent-trouble"
    CLOCK = "wrong-clock"
    STEP = "step-failed"
    STUCK = "step-stuck"
    NO_DISK = "no-disk"
    DISK = "disk-fault"
    TOO_LARGE = "image-too-large"
    IMAGE = "image-damaged"
    SIGNATURE = "signature-refused"
    INSTALLER = "installer"
    TAKEOVER = "takeover"
    NOTHING_BOOTS = "nothing-boots"
    NO_ROOT = "no-root"
    NO_LOGIN = "no-login"
    RESTARTS = "restart-loop"
    CONSOLE = "console-dead"
    OTHER_CONSOLE = "wrong-console"


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


def found(story: BootStory, cause: Cause, text: str, advice: str, *evidence: TraceEvent | None) -> Verdict:
    """Return a verdict that rests on these events; those that are None are left out."""
    return Verdict(cause, story.reached, text, advice, tuple(one for one in evidence if one is not None))
