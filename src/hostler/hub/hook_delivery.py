"""Telling hooks what happens: each in order, at its own pace, and again until it has arrived.

A hook's place in the history is kept, so that after a crash it goes on where it was: an event may then be
told twice, never not at all. The id of a message is the same each time.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import aiohttp

from hostler.hub import hook_targets, hooks
from hostler.hub.hook_targets import Told, event_document
from hostler.hub.records import HUB, Event
from hostler.model.hook import GIVE_UP_SECONDS, pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.hub.hub import Hub
    from hostler.hub.records import Hook, Principal
    from hostler.hub.state import Draft

log = logging.getLogger(__name__)

KEEP_SECONDS = 1.0
"""How often a hook's place is written down at most: what a crash may have told twice."""

_LOOK_SECONDS = 60.0


@dataclass(slots=True)
class Progress:
    """How far a hook is.

    Attributes:
        cursor: Number of the last event that was told, given up or not wanted.
        told: Events that arrived since the server was started.
        told_at: Unix time the last one arrived, or None.
        given_up: Events that never arrived since the server was started.
        attempts: Attempts with the present event that failed.
        trying_since: Unix time of the event that is being tried, or None: nothing waits.
        error: Why the last attempt failed; empty once one arrived.
    """

    cursor: int
    told: int = 0
    told_at: float | None = None
    given_up: int = 0
    attempts: int = 0
    trying_since: float | None = None
    error: str = ""


class HookDelivery:
    """Tells every hook."""

    def __init__(self, hub: Hub, clock: Callable[[], float], reveal: Callable[[str], str]) -> None:
        self._hub = hub
        self._clock = clock
        self._reveal = reveal
        self._session: aiohttp.ClientSession | None = None
        self._progress: dict[str, Progress] = {}

    async def run(self) -> None:
        """Tell until cancelled."""
        serving: dict[str, tuple[Hook, asyncio.Task[None]]] = {}
        # Proxies of the environment are for people's programs; a hook's address means that host.
        async with aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
            self._session = session
            async with asyncio.TaskGroup() as tasks:
                while True:
                    version = self._hub.bells.version("hooks")
                    there = dict(self._hub.state.hooks)
                    for key, (hook, task) in list(serving.items()):
                        if key not in there or _target(there[key]) != _target(hook):
                            task.cancel()
                            del serving[key]
                            if key not in there:
                                self._progress.pop(key, None)
                    for key, hook in there.items():
                        if key not in serving:
                            serving[key] = hook, tasks.create_task(self._serve(hook), name=f"hook {key}")
                    await self._hub.bells.wait("hooks", version, _LOOK_SECONDS)

    def progress(self, hook: Hook) -> Progress:
        """Return how far a hook is."""
        return self._progress.get(hook.id) or Progress(hook.cursor)

    async def add(self, by: Principal, url: str, kinds: tuple[str, ...], secret: str = "") -> Hook:
        """Have events posted to an address from now on; see ``hooks.add``."""
        return await self._hub.change(lambda draft: hooks.add(draft, by, url, kinds, secret))

    async def remove(self, by: Principal, hook_id: str) -> None:
        """Tell a hook nothing more."""
        await self._hub.change(lambda draft: hooks.remove(draft, by, hook_id))

    async def test(self, by: Principal, hook_id: str) -> Told:
        """Tell a hook now, before all that waits, an event that means nothing and is kept nowhere."""
        hook = hooks.find(self._hub.state, hook_id)
        event = Event(0, self._clock(), "hook.test", f"{by.name} tests this hook", principal=by.name)
        return await self._tell(hook, event)

    async def _serve(self, hook: Hook) -> None:
        progress = self._progress.setdefault(hook.id, Progress(hook.cursor))
        progress.attempts, progress.error = 0, ""
        kept, kept_at = progress.cursor, self._clock()
        async for event in self._hub.history.follow(progress.cursor, idle=KEEP_SECONDS):
            if event is not None:
                if hooks.wanted(hook, event):
                    await self._deliver(hook, event, progress)
                progress.cursor = event.seq
            # What was only passed over may as well be passed over again; it is written down now and then.
            patience = KEEP_SECONDS if event is None or progress.told_at is not None else _LOOK_SECONDS
            if progress.cursor != kept and self._clock() >= kept_at + patience:
                await self._keep(hook.id, progress.cursor)
                kept, kept_at = progress.cursor, self._clock()

    async def _deliver(self, hook: Hook, event: Event, progress: Progress) -> None:
        progress.trying_since = event.at
        progress.attempts = 0
        while True:
            outcome = await self._tell(hook, event)
            if outcome.ok:
                progress.told += 1
                progress.told_at, progress.error = self._clock(), ""
                break
            progress.attempts += 1
            if not progress.error:
                log.warning("hook %s is not told: %s; trying again for a day", hook.id, outcome.text)
            first_loss = progress.given_up == 0
            progress.error = outcome.text
            if self._clock() >= event.at + GIVE_UP_SECONDS:
                progress.given_up += 1
                await self._give_up(hook, event, outcome.text, first_loss=first_loss)
                break
            await asyncio.sleep(pause(progress.attempts))
        progress.trying_since = None

    async def _tell(self, hook: Hook, event: Event) -> Told:
        document = event_document(self._hub.state.inventory.lab, event)
        if hook.command:
            return await hook_targets.run(hook, document)
        if self._session is None or self._session.closed:
            return Told(False, "the server is stopping")
        return await hook_targets.post(self._session, hook, document, self._reveal)

    async def _give_up(self, hook: Hook, event: Event, why: str, *, first_loss: bool) -> None:
        log.warning("hook %s was never told event %d: %s", hook.id, event.seq, why)
        if not first_loss:
            return  # who reads events has heard that this hook is dead; the list of hooks counts on

        def decide(draft: Draft) -> None:
            draft.event(
                "hook.gave-up", f'hook "{hook.id}" was not told of {event.kind} for a day: {why}',
                principal=HUB.name, data={"hook": hook.id, "event": event.seq},
            )  # fmt: skip

        await self._hub.surely(decide)

    async def _keep(self, hook_id: str, cursor: int) -> None:
        def decide(draft: Draft) -> None:
            hook = draft.hooks.get(hook_id)
            if hook is not None and hook.cursor < cursor:
                draft.hooks.put(hook_id, replace(hook, cursor=cursor))

        await self._hub.surely(decide)


def _target(hook: Hook) -> Hook:
    return replace(hook, cursor=0)
