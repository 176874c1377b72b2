"""What the hub keeps of each noun, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hostler.model.board import Board, Lifecycle
from hostler.model.power import PowerState
from hostler.model.run import RunOrder, RunStatus
from hostler.model.seam import BootRecord


class HealthVerdict(StrEnum):
    """What the last check of a board said."""

    UNKNOWN = "unknown"
    GOOD = "good"
    BAD = "bad"
    LOOPING = "looping"


class CheckKind(StrEnum):
    """What a check is for: one verdict, verdicts without end, or a new board's first boots."""

    ONCE = "once"
    LOOPING = "looping"
    TRAINING = "training"


class CheckStage(StrEnum):
    """Where a check is: its wires are tested, its plan is carried out, or the board is to go off."""

    WIRES = "wires"
    PLAN = "plan"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Checkup:
    """A check that is under way.

    Attributes:
        kind: What it is for.
        stage: What is being done.
        since: Unix time that stage began.
        begun: Unix time the check began.
        by: Who asked for it.
        claim: The hub's own claim that keeps the board for it; None: the board is in maintenance.
        run: The run of its plan, once there is one.
        boot: Number of the board's last boot when that run began.
        attempt: 1 for the first try.
        passed: Rounds of it that went well.
        failed: Rounds of it that did not.
        of: Rounds there are to be; 0: until somebody says stop.
        fault: Why the round that just ended failed, or empty.
        back: Why the board was in maintenance before; None: it was not, and is to be free afterwards.
    """

    kind: CheckKind
    stage: CheckStage
    since: float
    begun: float
    by: str
    claim: str | None = None
    run: str | None = None
    boot: int = 0
    attempt: int = 1
    passed: int = 0
    failed: int = 0
    of: int = 0
    fault: str = ""
    back: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How a board did when it was last checked.

    Attributes:
        verdict: What came of it; ``looping``: it is checked again and again until somebody says stop.
        at: Unix time of the verdict, or of the end of a check without one; None: never checked.
        detail: In words.
        passes: Checks passed in a row.
        fails: Checks failed in a row.
        training: Boots still to do before a new board is trusted.
        trained: Unix time its last training began, or None.
        asked: Who asked for a check that has not begun, or empty.
        suspect: Why its last run makes one doubt it, or empty.
        checkup: The check under way.
    """

    verdict: HealthVerdict = HealthVerdict.UNKNOWN
    at: float | None = None
    detail: str = ""
    passes: int = 0
    fails: int = 0
    training: int = 0
    trained: float | None = None
    asked: str = ""
    suspect: str = ""
    checkup: Checkup | None = None


@dataclass(frozen=True, slots=True)
class WireTest:
    """A test of a board's wires that is under way.

    Attributes:
        id: Unique for ever.
        by: Who asked for it.
        begun: Unix time it began.
        lifecycle: Where the board was before.
        reason: Why it was there.
    """

    id: str
    by: str
    begun: float
    lifecycle: Lifecycle
    reason: str


@dataclass(frozen=True, slots=True)
class BoardRecord:
    """A board and where it is in its life.

    Attributes:
        board: The board as ``lab.toml`` describes it; of a discovered one only name, network and MAC.
        lifecycle: Where it is in its life.
        reason: Why it is there, for people; empty when that goes without saying.
        claim: Id of the claim that holds it, or None.
        run: Id of its active or last run, or None.
        power: What its power is to be while no run is active.
        cycles: Power cycles ever asked for.
        asked: How often its power was asked for: asking again has the rack try again.
        idle_told: Unix time its holder was told that it will be switched off for want of use, or 0.
        image: Name of the image last installed on it and not wiped since, or None.
        facts: What it reported of its hardware.
        conflict: The contradiction last told of, so that it is told once.
        boot: Its present or last boot.
        health: How it did when it was last checked.
        maintenance: Why it is to go to maintenance as soon as it is given back, or empty.
        unclean: Of a machine outside the inventory: why nobody may have it before it was wiped, or empty.
        wire_test: The test of its wires under way.
    """

    board: Board
    lifecycle: Lifecycle
    reason: str = ""
    claim: str | None = None
    run: str | None = None
    power: PowerState = PowerState.OFF
    cycles: int = 0
    asked: int = 0
    idle_told: float = 0.0
    image: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    conflict: str = ""
    boot: BootRecord | None = None
    health: Health = Health()
    maintenance: str = ""
    unclean: str = ""
    wire_test: WireTest | None = None

    @property
    def name(self) -> str:
        """The board's name."""
        return self.board.name


class Purpose(StrEnum):
    """Why a run was made: by name, to put an image on a board, to give it back clean, or to check it."""

    USER = "user"
    DEPLOY = "deploy"
    RELEASE = "release"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run, what was ordered and how far it is.

    Attributes:
        id: Unique for ever.
        board: The board's name.
        plan: As it was written.
        purpose: Why it was made.
        principal: Who made it.
        claim: The claim it was made under, or None.
        created: Unix time it was made.
        order: What the rack was told.
        status: What the rack last said.
    """

    id: str
    board: str
    plan: str
    purpose: Purpose
    principal: str
    claim: str | None
    created: float
    order: RunOrder
    status: RunStatus


class Role(StrEnum):
    """What a principal may do in the lab, or in one project: everything, claim and work, or look."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


DEFAULT_PROJECT = "default"
"""The project of those who were put into no other."""


@dataclass(frozen=True, slots=True)
class Project:
    """On whose account boards are held.

    Attributes:
        name: Unique.
        weight: Its part of a lab that is too small for all: 2 gets twice as much as 1.
        priority: Highest priority its claims may have.
        quotas: Most boards it may hold at once, by class; ``*``: of all classes together.
        created: Unix time it was made.
    """

    name: str
    weight: float = 1.0
    priority: int = 0
    quotas: dict[str, int] = field(default_factory=dict)
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody or something that asks.

    Attributes:
        name: Unique.
        role: What they may do in the whole lab; a member's and viewer's right in a project is its own.
        created: Unix time they were made.
        projects: Their role in each project they belong to; empty: ``DEFAULT_PROJECT`` with ``role``.
        subject: Who vouches for them elsewhere: issuer and subject of OpenID Connect, or empty.
        disabled: Whether they are shut out for now; what they hold stays theirs until its time is over.
        only: The one project they may act for, because their token says so; never stored.
        token: Id of the token they came with, or empty; never stored.
    """

    name: str
    role: Role
    created: float = 0.0
    projects: dict[str, Role] = field(default_factory=dict)
    subject: str = ""
    disabled: bool = False
    only: str | None = None
    token: str = ""

    @property
    def admin(self) -> bool:
        """Whether this principal may do everything."""
        return self.role is Role.ADMIN


@dataclass(frozen=True, slots=True)
class Token:
    """A right to ask as a principal, or as less than that. The token itself is kept nowhere.

    Attributes:
        id: What people call it by; tells nothing of the token.
        hash: SHA-256 of the token.
        principal: Whose it is.
        name: What it is for, in its owner's words.
        role: The most it may do; None: whatever its principal may.
        project: The only project it may act for; None: every one of its principal's.
        once: Whether it is used up by its first use.
        created: Unix time it was made.
        expires: Unix time it ends; None: never.
        used: Unix time it was last used, to the hour; None: never.
        ended: Unix time it was revoked or used up; None: neither. It is kept for a while to say so.
        why: How it ended: ``revoked`` or ``used``; else empty.
    """

    id: str
    hash: str
    principal: str
    name: str = ""
    role: Role | None = None
    project: str | None = None
    once: bool = False
    created: float = 0.0
    expires: float | None = None
    used: float | None = None
    ended: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class SshKey:
    """A public key that logs a principal in.

    Attributes:
        fingerprint: ``SHA256:…`` as OpenSSH prints it; unique.
        key: The public key as in ``authorized_keys``, without options and comment.
        principal: Whose it is.
        name: What they call it.
        created: Unix time it was registered.
    """

    fingerprint: str
    key: str
    principal: str
    name: str
    created: float


@dataclass(frozen=True, slots=True)
class Hook:
    """Where events are told: a URL that is posted to, or a command that gets them on its standard input.

    Attributes:
        id: Unique.
        url: Where to post; empty for a command.
        command: Program and arguments; empty for a URL.
        kinds: Patterns of event kinds, such as ``claim.*``; empty: all but traces.
        secret: Reference to the key that signs what is posted, or empty.
        principal: Who made it.
        created: Unix time it was made.
        cursor: Number of the last event that was told or given up.
    """

    id: str
    url: str
    command: tuple[str, ...]
    kinds: tuple[str, ...]
    secret: str
    principal: str
    created: float
    cursor: int = 0


HUB = Principal("hostler", Role.ADMIN)
"""The hub itself, when nobody asked: a claim's time was over, a wipe failed."""


@dataclass(frozen=True, slots=True)
class Event:
    """A fact about any noun; never changed.

    Attributes:
        seq: Counts all events from 1.
        at: Unix time.
        kind: ``noun.what``, for example ``claim.granted`` or ``dhcp.offer``.
        text: One line for people.
        board: The board it is about, or None.
        boot: The boot it belongs to, or None.
        run: The run it is about, or None.
        claim: The claim it is about, or None.
        principal: Who did it, or None.
        data: Anything else worth keeping.
        trace: True for what a rack saw on the wire, false for what the hub decided.
    """

    seq: int
    at: float
    kind: str
    text: str
    board: str | None = None
    boot: str | None = None
    run: str | None = None
    claim: str | None = None
    principal: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    trace: bool = False


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent of one architecture, by artefact ids.

    Attributes:
        arch: Debian's name of the architecture.
        kernel: Its kernel.
        initrd: Its initramfs.
        boot_files: What some boards' firmware fetches besides, by the name it asks for: device trees of this
            kernel, the firmware's own later stages.
        trusted_keys: Public keys it was built to trust for the images that it writes, hex.
        require_signed: Whether it was built to write nothing that none of them signed.
    """

    arch: str
    kernel: str
    initrd: str
    boot_files: dict[str, str] = field(default_factory=dict)
    trusted_keys: tuple[str, ...] = ()
    require_signed: bool = False
