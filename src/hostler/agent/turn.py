"""Waiting for a turn to fetch an image: a network's ``installs`` says how many boards may at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from hostler.agent.carousel import Caller
    from hostler.agent.work import Work
    from hostler.model.json import Document

TURN_SECONDS = 3600.0
"""How long a board waits for its turn. Then it begins without: a full network is better than a lost night."""
_LEAST_SECONDS, _MOST_SECONDS = 0.05, 10.0


def offer_or_turn(
    caller: Caller,
    artefact: str,
    work: Work,
    total: int,
    most: float = TURN_SECONDS,
    *,
    shared: bool = True,
) -> Document | None:
    """Return where the carousel of an image is, or None when the image may be fetched by HTTP; wait for it.

    Args:
        caller: The rack.
        artefact: Id of the image's index.
        work: Is told that the step waits, and that it goes on.
        total: Bytes to fetch.
        most: Longest wait in seconds.
        shared: Whether a carousel will do; False: it has failed this board, which wants a turn alone.

    Raises:
        StepError: The step is to end, or the rack does not give out this image.
    """
    begun = time.monotonic()
    told = False
    while True:
        offer = caller.carousel(artefact, {}) if shared else None
        waited = time.monotonic() - begun
        place = 0
        if offer is None:
            answer = caller.ask(f"/agent/turn/{artefact}?waited={waited:.1f}")
            place, again = int(cast("int", answer["place"])), float(cast("float", answer.get("again", 1.0)))
        if place and waited > most:
            work.say(f"install: its turn has not come in {most:g} s; it begins without")
            place = 0
        if not place:
            if told:
                work.begin("executing", total)
                work.say(f"install: waited {waited:.0f} s for its turn")
            return offer
        if not told:
            told = True
            work.begin("waiting", 0)
            work.say(f"install: waits for its turn to fetch the image, at place {place}")
        work.check()
        time.sleep(min(max(again, _LEAST_SECONDS), _MOST_SECONDS))
