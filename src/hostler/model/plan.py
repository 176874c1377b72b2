"""Plans: what is to be done with a board, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class StepKind(StrEnum):
    """What one step does.

    Attributes:
        DISCOVER: The agent reports what the board is made of.
        WIPE: The agent clears every writable disk and proves it.
        INSTALL: The agent writes an image to the disk and reads it back; or an installer of its own, brought
            over the network, does its work until its done-signal.
        CAPTURE: The agent reads a disk, and what it holds becomes an image.
        BOOT: The board starts from its own disk, until the image's done-signal.
        LIVE: A system brought over the network runs on the board until its done-signal.
    """

    DISCOVER = "discover"
    WIPE = "wipe"
    INSTALL = "install"
    CAPTURE = "capture"
    BOOT = "boot"
    LIVE = "live"


_AGENT_STEPS = frozenset({StepKind.DISCOVER, StepKind.WIPE, StepKind.INSTALL, StepKind.CAPTURE})
_IMAGE_STEPS = frozenset({StepKind.INSTALL, StepKind.LIVE, StepKind.CAPTURE})

_LIMIT = 32  # a longer plan is a mistake, not a plan


class PlanError(ValueError):
    """The plan cannot be carried out; the text names the step and what would do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step as a person writes it: ``install:debian`` is kind INSTALL with image ``debian``."""

    kind: StepKind
    image: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.image}" if self.image else str(self.kind)


@dataclass(frozen=True, slots=True)
class StepOrder:
    """One step with everything the rack needs to carry it out, resolved when the plan was made.

    Attributes:
        kind: What to do.
        params: For INSTALL ``{"image", "index", "size"}`` and those of ``InstallTarget``;
            for BOOT ``{"image", "pattern", "seconds"}``;
            for LIVE, and for INSTALL by an image's own installer, ``{"image", "netboot"}``, where
            ``netboot`` is a ``NetbootOrder`` as JSON.
        seconds: Longest time the step may take once it is executing.
    """

    kind: StepKind
    params: dict[str, Any] = field(default_factory=dict)
    seconds: float = 7200.0


def needs_agent(order: StepOrder) -> bool:
    """Tell whether the agent on the board does this step; the others are the rack's."""
    return order.kind in _AGENT_STEPS and "netboot" not in order.params


def parse_plan(text: str) -> tuple[Step, ...]:
    """Read ``wipe,install:debian,boot``; raises PlanError naming the word that is wrong."""
    words = [word.strip() for word in text.split(",")]
    if words == [""]:
        raise PlanError("the plan is empty; write steps such as wipe,install:IMAGE,boot")
    if len(words) > _LIMIT:
        raise PlanError(f"the plan has {len(words)} steps; {_LIMIT} is the most")
    return tuple(_parse_step(word) for word in words)


def _parse_step(word: str) -> Step:
    kind_text, colon, image = word.partition(":")
    try:
        kind = StepKind(kind_text)
    except ValueError:
        known = ", ".join(StepKind)
        raise PlanError(f'there is no step "{word}"; the steps are {known}') from None
    if kind in _IMAGE_STEPS:
        if not image:
            raise PlanError(f'step "{kind}" needs an image; write {kind}:IMAGE')
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+@-]*", image):
            raise PlanError(f'"{image}" is not an image name')
    elif colon:
        raise PlanError(f'step "{kind}" takes no argument, but "{word}" gives one')
    return Step(kind, image or None)
