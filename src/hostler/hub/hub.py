"""The hub: what people ask for, decided, kept, and handed to the racks."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from hostler.hub import (
    access,
    adoption,
    boards,
    claim_queue,
    claims,
    host_keys,
    maintenance,
    metadata,
    power_off,
    principals,
    runs,
    ssh_keys,
    tokens,
)
from hostler.hub.claim_desk import ClaimDesk
from hostler.hub.errors import NotFoundError, UnavailableError
from hostler.hub.health_watch import HealthWatch
from hostler.hub.history import Bells, History
from hostler.hub.hook_delivery import HookDelivery
from hostler.hub.image_care import ImageCare
from hostler.hub.image_desk import ImageDesk
from hostler.hub.journal import Journal
from hostler.hub.lab_checks import LabChecks
from hostler.hub.labfile import read_labfile
from hostler.hub.last_lines import LastLines
from hostler.hub.links import Outbox, Watcher
from hostler.hub.loading import load_state
from hostler.hub.logins import Logins
from hostler.hub.metal import Metal
from hostler.hub.notices import Notices
from hostler.hub.panel_readings import PanelReadings
from hostler.hub.reading import Reading
from hostler.hub.records import HUB, BoardRecord, Principal, Purpose, Role, RunRecord
from hostler.hub.retention import Retention
from hostler.hub.sight import Sight
from hostler.hub.state import Draft
from hostler.hub.timekeeper import Timekeeper
from hostler.hub.uploads import Uploads
from hostler.hub.upstream import UpstreamImages
from hostler.hub.wire_tests import WireTests
from hostler.link.documents import to_document
from hostler.model.board import Lifecycle
from hostler.model.claim import Claim, Want
from hostler.model.plan import StepKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hostler.hub.captures import CaptureWish
    from hostler.hub.database import Database
    from hostler.hub.first_boot import FirstBootWish
    from hostler.hub.images import ImageFiles
    from hostler.hub.install_target import TargetWish
    from hostler.hub.inventory_changes import InventoryChange
    from hostler.hub.labfile import BindingCheck
    from hostler.hub.ssh_authority import SshAuthority
    from hostler.hub.upstream import UpstreamFiles
    from hostler.link.port import HubLink
    from hostler.model.json import Document

T = TypeVar("T")

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
"""How long is waited until what could not be stored is tried anew: a full disk is seldom emptied sooner."""


class Hub:
    """Everything the API can ask. ``run`` must be running for anything to change.

    Every method that changes something returns when the change is durable, and raises a ``Refusal`` when it
    may not be; then nothing has changed.

    Args:
        database: Where it is all kept; closed by whoever opened it.
        link: The hub's end of the seam.
        files: Where the bytes of images are.
        spool: A directory of the hub's own for what is taken in; emptied at start. Uploads lie beside it.
        base: Where relative paths in ``lab.toml`` start from; the current directory by default.
        check: Asked about every wire of an inventory; see ``read_labfile``.
        clock: Tells Unix time.
        ssh_authority: Signs host keys; None: nobody does.
        reveal: Returns the secret a reference stands for, or raises ValueError; None: no secrets are known.

    Attributes:
        state: What is; for reading only.
        bells: Rings ``board/NAME`` for every change of a board, ``boards`` for one of any, ``claims``,
            ``events``, ``principal/NAME`` when what a principal may do has changed.
        history: The events of the lab.
        journal: Puts decisions on the disk.
        reading: Looks up and searches.
        sight: Tells what somebody may see of what came of claims.
        images: Imports and removes images, registers agents.
        upstream: Has the images of another server here, if there is one.
        uploads: Files that people send, until they are imported.
        claim_desk: Changes claims while they last, and tells where those that wait stand.
        metal: Asks the racks: consoles, checks.
        last_lines: What each console said last, while somebody wants to know.
        lab_checks: Looks at all wires of the lab, or tries them, and keeps what was found.
        panels: What equipment says of its ends, while somebody looks.
        wire_tests: Tests wires when somebody asks.
        health: Checks boards, when they are due and when somebody asks.
        hooks: Tells others what happens.
        logins: Lets people in, and tells when somebody is shut out.
    """

    def __init__(
        self, database: Database, link: HubLink, files: ImageFiles, spool: Path, *,
        base: Path | None = None, check: BindingCheck | None = None, clock: Callable[[], float] = time.time,
        ssh_authority: SshAuthority | None = None, reveal: Callable[[str], str] | None = None,
        upstream: UpstreamFiles | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._base = base
        self._check = check
        self._clock = clock
        self.ssh_authority = ssh_authority
        self.state = load_state(database)
        self.bells = Bells()
        self.history = History(database, self.bells)
        self.history.start(self.state.seq)
        self._outbox = Outbox(link)
        self.journal = Journal(database.writer, self._reload)
        self._watcher = Watcher(link, lambda: self.state, self.change, self.bells, self._outbox)
        self._time = Timekeeper(lambda: self.state, self.change, lambda: self._clock())
        self.started = asyncio.Event()
        self.reading = Reading(self, database)
        self.sight = Sight(lambda: self.state, database)
        self.images = ImageDesk(self, files, spool)
        self.uploads = Uploads(spool.with_name("uploads"))
        self.image_care = ImageCare(self, files)
        self.upstream = UpstreamImages(self, upstream, reveal or _no_secrets)
        self.metal = Metal(self, link)
        self.last_lines = LastLines(self.metal)
        self.panels = PanelReadings(self)
        self.lab_checks = LabChecks(self)
        self.wire_tests = WireTests(self)
        self.claim_desk = ClaimDesk(self, clock)
        self.health = HealthWatch(self, clock)
        self.hooks = HookDelivery(self, clock, reveal or _no_secrets)
        self.notices = Notices(self)
        self.logins = Logins(self, clock, reveal or _no_secrets)
        self.retention = Retention(lambda: self.state, database, lambda: self._clock())

    async def run(self) -> None:
        """Decide, keep and reconcile until cancelled; sets ``started`` once it does."""
        self._desire_everything()
        self._time.start()
        try:
            # The journal outlasts the others: what they put back as they end is still stored, and waited for.
            async with asyncio.TaskGroup() as storing, asyncio.TaskGroup() as tasks:
                storing.create_task(self.journal.run(), name="journal")
                tasks.create_task(self._outbox.run(), name="outbox")
                tasks.create_task(self._watcher.observe(), name="observe")
                tasks.create_task(self._watcher.follow(), name="events")
                tasks.create_task(self._time.run(), name="time")
                tasks.create_task(self.retention.run(), name="retention")
                tasks.create_task(self.wire_tests.put_back(), name="wire tests")
                tasks.create_task(self.last_lines.run(), name="last lines")
                tasks.create_task(self.panels.run(), name="panels")
                tasks.create_task(self.lab_checks.run(), name="lab checks")
                tasks.create_task(self.health.run(), name="health")
                tasks.create_task(self.logins.run(), name="logins")
                tasks.create_task(self.hooks.run(), name="hooks")
                tasks.create_task(self.notices.run(), name="notices")
                tasks.create_task(self.upstream.run(), name="upstream")
                tasks.create_task(self.uploads.run(), name="uploads")
                self.started.set()
        finally:
            self.images.close()
            await self.journal.flush()

    async def change(self, decide: Callable[[Draft], T]) -> T:
        """Let ``decide`` work on a draft, grant what became free, and return once it is durable."""
        draft = Draft(self.state, self._clock())
        result = decide(draft)
        if draft.claims.changed or draft.boards.changed:
            claim_queue.settle(draft)
        if draft.empty:
            return result
        documents = self._documents(draft)
        before = set(draft.boards.changed)
        future = self.journal.add(draft, partial(self._committed, draft, documents, before))
        draft.apply()
        self._time.note(draft)
        try:
            # A caller that goes away does not undo what was decided: it takes only this future with it.
            await future
        except asyncio.CancelledError:
            raise
        except Exception as error:
            reason = getattr(error, "orig", None) or error
            raise UnavailableError(f"it could not be stored: {reason}; nothing was changed") from error
        return result

    async def surely(self, decide: Callable[[Draft], object]) -> None:
        """Change, and again until it is stored: for what has happened and nobody is there to ask anew."""
        while True:
            try:
                await self.change(decide)
            except UnavailableError as error:
                log.warning("%s; trying again", error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    # Who asks

    async def authenticate(self, authorization: str | None) -> Principal:
        """Return who sent this ``Authorization`` header; raises UnauthenticatedError."""
        return await self.logins.authenticate(authorization)

    def principal_of_key(self, fingerprint: str) -> Principal | None:
        """Return whom an ssh key logs in (``SHA256:…``); None: nobody, or somebody who is shut out."""
        return ssh_keys.principal_of(self.state, fingerprint)

    async def mint_token(self, principal: Principal, **terms: Any) -> str:
        """Make a token for a principal and return it; ``terms`` as for ``tokens.mint``."""
        _, text = await self.change(lambda draft: tokens.mint(draft, principal, **terms))
        return text

    async def first_token(self) -> str | None:
        """On the very first start make the principal ``admin`` and return its token; else None."""
        if self.state.principals:
            return None
        _, token = await self.change(lambda draft: principals.create(draft, HUB, "admin", Role.ADMIN))
        return token

    async def create_principal(self, by: Principal, name: str, role: str) -> tuple[Principal, str]:
        """Make a principal; returns it and its token, which is shown only now."""
        return await self.change(lambda draft: principals.create(draft, by, name, role))

    async def remove_principal(self, by: Principal, name: str) -> None:
        """Take a principal, its tokens and its uploads away."""
        await self.change(lambda draft: principals.remove(draft, by, name))
        self.uploads.forget(name)  # or whoever gets the name next would have them

    # The inventory

    async def apply_inventory(
        self, by: Principal, text: str, *, file: str = "lab.toml", dry_run: bool = False,
        base: str | None = None,
    ) -> list[InventoryChange]:  # fmt: skip
        """Make this text the inventory; returns what changed, or what would with ``dry_run``.

        Raises:
            LabfileError: the text has mistakes; all are told, with this file's name.
            ConflictError: a board somebody holds would be removed or moved, or ``base`` is not the digest of
                the inventory in force.
        """
        access.admin_only(by, "change the inventory")
        inventory = read_labfile(text, file, self._base, self._check)
        if dry_run:
            return adoption.apply(Draft(self.state, self._clock()), by, inventory, file=file, base=base)
        return await self.change(lambda draft: adoption.apply(draft, by, inventory, file=file, base=base))

    # Claims, runs, power

    async def claim(self, by: Principal, *wants: Want | str, **wishes: Any) -> Claim:
        """Claim boards, all or none; text is the name of a class; see ``claims.request``."""
        asked = [Want(want) if isinstance(want, str) else want for want in wants]
        if image := wishes.get("image"):
            await self.images.refuse_absent(by, {image})
        return await self.change(lambda draft: claims.request(draft, by, asked, **wishes))

    async def release(self, by: Principal, key: str) -> Claim:
        """Begin to give a claim's board back; one that is closed already is returned as it is."""
        try:
            return await self.change(lambda draft: claims.release(draft, by, key))
        except NotFoundError:
            return await self.reading.own_closed_claim(by, key)

    async def start_run(
        self, by: Principal, board: str, plan: str, settings: Mapping[str, str] | None = None,
        target: TargetWish | None = None, *, dry_run: bool = False,
    ) -> RunRecord:  # fmt: skip
        """Begin a plan on a board; ``settings`` are metadata for its templates, by dotted key.

        With ``dry_run`` it is only seen whether that could be, and the run that would be is returned.
        """
        values = metadata.assigned(settings or {})
        await self.images.refuse_absent(by, runs.images_of(plan))
        return await self._begin(
            lambda draft: runs.make(draft, by, board, plan, Purpose.USER, values, target=target), dry_run
        )

    async def _begin(self, make: Callable[[Draft], RunRecord], dry_run: bool) -> RunRecord:
        return make(Draft(self.state, self._clock())) if dry_run else await self.change(make)

    async def capture(self, by: Principal, board: str, name: str, wish: CaptureWish) -> RunRecord:
        """Make an image of what is on a board's disk."""
        plan = f"{StepKind.CAPTURE}:{name}"
        return await self.change(lambda draft: runs.make(draft, by, board, plan, Purpose.USER, capture=wish))

    async def deploy(
        self, by: Principal, board: str, image: str, settings: Mapping[str, str] | None = None,
        wish: FirstBootWish | None = None, target: TargetWish | None = None, *, dry_run: bool = False,
    ) -> RunRecord:  # fmt: skip
        """Put an image on a board and boot it, or have it run there; the rest as for ``start_run``."""
        values = metadata.assigned(settings or {})
        await self.images.refuse_absent(by, {image})
        return await self._begin(
            lambda draft: runs.make(
                draft, by, board, runs.deploy_plan(draft, image, by, target), Purpose.DEPLOY, values, wish,
                target,
            ),
            dry_run,
        )  # fmt: skip

    async def cancel_run(self, by: Principal, run_id: str) -> RunRecord:
        """Call a run off; one that has ended is returned as it is."""
        if run_id not in self.state.runs:
            run = await self.reading.run(run_id)
            await self.sight.refuse_stranger(by, run.claim, f"run {run_id}")
            return run
        return await self.change(lambda draft: runs.cancel(draft, by, run_id))

    async def power(self, by: Principal, board: str, action: str) -> BoardRecord:
        """Set what a board's power is to be: on, off or cycle."""
        return await self.change(lambda draft: boards.power(draft, by, board, action))

    async def all_off(self, by: Principal, equipment: str | None = None) -> power_off.PowerCut:
        """Switch off every board, or every one on an equipment; see ``power_off.all_off``."""
        return await self.change(lambda draft: power_off.all_off(draft, by, equipment))

    async def recover(self, by: Principal, board: str) -> BoardRecord:
        """Send a board that was put aside through another wipe."""
        return await self.change(lambda draft: boards.recover(draft, by, board))

    async def begin_maintenance(
        self, by: Principal, board: str, reason: str = "", *, kick: bool = False
    ) -> BoardRecord:
        """Take a board aside, now or once it is given back; see ``maintenance.begin``."""
        return await self.change(lambda draft: maintenance.begin(draft, by, board, reason, kick=kick))

    async def end_maintenance(self, by: Principal, board: str) -> BoardRecord:
        """Let a board come back by way of a wipe."""
        return await self.change(lambda draft: maintenance.end(draft, by, board))

    async def sign_host_key(self, by: Principal, board: str, public_key: str) -> str:
        """Certify the host key of a board one holds; see ``host_keys.certify``."""
        authority = self.ssh_authority
        if authority is None:
            raise NotFoundError("this server has no ssh authority", kind="no-ssh")
        return await self.change(lambda draft: host_keys.certify(draft, by, authority, board, public_key))

    # Time

    def now(self) -> float:
        """Return the Unix time by which decisions are made."""
        return self._clock()

    async def tick(self) -> None:
        """Do what is due now: expire claims, give up on boards that do not go off, save idle ones' power."""
        await self._time.tick()

    # What follows a decision

    def _documents(self, draft: Draft) -> dict[str, Document | None]:
        """Return what this decision wants of the racks, as it stands now: later drafts come later."""
        rewire = draft.inventory_changed
        names = draft.boards.changed.keys() | (draft.inventory.boards.keys() if rewire else set())
        documents: dict[str, Document | None] = {}
        if rewire or draft.agents.changed:  # first: a board's wires go through equipment, which this tells of
            agents = {agent.arch: agent for agent in draft.agents.values()}
            documents["rack"] = to_document(draft.inventory.rack_plan(agents))
        for name in names:
            desired = draft.desired(name)
            old = self.state.boards.get(name)
            if desired is not None:
                documents[f"board/{name}"] = to_document(desired)
            elif old is not None and old.lifecycle is not Lifecycle.DISCOVERED:
                documents[f"board/{name}"] = None
        return documents

    def _committed(self, draft: Draft, documents: dict[str, Document | None], names: set[str]) -> None:
        draft.prune()
        for key, document in documents.items():
            self._outbox.put(key, document)
        for name in names:
            self.bells.ring(f"board/{name}")
        if names:
            self.bells.ring("boards")
        for name in draft.dismissals():
            self.bells.ring(f"principal/{name}")
        if draft.claims.changed:
            self.sight.remember(draft.claims.changed.values())
            self.bells.ring("claims")
        if draft.hooks.changed:
            self.bells.ring("hooks")
        if draft.events:
            self.history.add(draft.events)

    def _desire_everything(self) -> None:
        draft = Draft(self.state, self._clock())
        self._outbox.put("rack", to_document(self.state.inventory.rack_plan(self.state.agents)))
        for name in self.state.inventory.boards:
            desired = draft.desired(name)
            if desired is not None:
                self._outbox.put(f"board/{name}", to_document(desired))

    def _reload(self) -> None:
        observed = self.state.observed
        self.state = load_state(self._database)
        self.state.observed = observed
        self.history.start(self.state.seq)
        self._time.start()


def _no_secrets(reference: str) -> str:
    raise ValueError(f"this server cannot look up {reference}")
