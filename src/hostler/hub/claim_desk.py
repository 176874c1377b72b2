"""Where claims are changed while they last, and watched while they wait."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hostler.hub import claim_terms
from hostler.hub.claim_queue import Forecasts
from hostler.hub.errors import Refusal
from hostler.hub.state import Draft

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.hub.hub import Hub
    from hostler.hub.records import Principal
    from hostler.model.claim import Claim, Sharing
    from hostler.model.forecast import Place

log = logging.getLogger(__name__)


class ClaimDesk:
    """Changes claims; every method returns once it is durable, and raises a Refusal if it may not be."""

    def __init__(self, hub: Hub, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._clock = clock
        self._forecasts = Forecasts()

    async def extend(self, by: Principal, key: str, seconds: float) -> Claim:
        """Let a claim end later; see ``claim_terms.extend``."""
        return await self._hub.change(lambda draft: claim_terms.extend(draft, by, key, seconds))

    async def share(self, by: Principal, key: str, user: str, sharing: Sharing) -> Claim:
        """Let somebody else use a claim's boards, or look on."""
        return await self._hub.change(lambda draft: claim_terms.share(draft, by, key, user, sharing))

    async def unshare(self, by: Principal, key: str, user: str) -> Claim:
        """Take back what was shared, and close what it had opened."""
        claim = await self._hub.change(lambda draft: claim_terms.unshare(draft, by, key, user))
        await self._close(claim.boards, user, f"{by.name} no longer shares this board with you")
        return claim

    async def hand_over(self, by: Principal, key: str, user: str) -> Claim:
        """Make somebody else a claim's owner; what the former one had open is closed."""
        former = (await self._hub.reading.claim(by, key)).principal
        claim = await self._hub.change(lambda draft: claim_terms.hand_over(draft, by, key, user))
        await self._close(claim.boards, former, f"{by.name} handed this board over to {user}")
        return claim

    async def kick(self, by: Principal, key: str, reason: str) -> Claim:
        """End a claim against its owner's will; every console on its boards is closed."""
        boards = (await self._hub.reading.claim(by, key)).boards
        claim = await self._hub.change(lambda draft: claim_terms.kick(draft, by, key, reason))
        await self._close(boards, None, f"{by.name} ended the claim{f': {reason}' if reason else ''}")
        return claim

    async def _close(self, boards: tuple[str, ...], principal: str | None, text: str) -> None:
        for board in boards:
            try:
                await self._hub.metal.kick(board, principal, text)
            except Refusal as error:  # a rack that is away has no console open either
                log.warning("consoles of %s are not closed now: %s", board, error.detail)

    async def alive(self, by: Principal, key: str) -> Claim:
        """Take a sign of life of the client that a claim is for."""
        return await self._hub.change(lambda draft: claim_terms.alive(draft, by, key))

    def place(self, claim: Claim) -> Place | None:
        """Return where a waiting claim stands, and when it may expect its boards; None: it does not wait."""
        state = self._hub.state
        return self._forecasts.place(Draft(state, self._clock()), state, claim)
