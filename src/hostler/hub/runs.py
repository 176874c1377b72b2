"""Runs: a plan made into an order, one at a time on a board, and what came of it."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostler.hub import access, templates
from hostler.hub.captures import CaptureWish, capture_order, take_captured
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hostler.hub.first_boot import first_boot
from hostler.hub.image_sight import find_image
from hostler.hub.install_target import install_target, refuse_no_room
from hostler.hub.records import HUB, BoardRecord, Principal, Purpose, RunRecord
from hostler.hub.signed_images import refuse_unsigned, told_of
from hostler.model.board import Lifecycle
from hostler.model.install_target import DISK
from hostler.model.plan import PlanError, Step, StepKind, StepOrder, needs_agent, parse_plan
from hostler.model.power import PowerState
from hostler.model.run import RunOrder, RunState, RunStatus
from hostler.model.wipe import Effort

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.hub.first_boot import FirstBootWish
    from hostler.hub.image_records import ImageRecord
    from hostler.hub.install_target import TargetWish
    from hostler.hub.state import Draft, State
    from hostler.model.claim import Claim
    from hostler.model.platform import Platform

# Looking takes seconds; the rest is for a slow network.
DISCOVER_SECONDS = 600.0
# A full overwrite of a large disk that cannot discard: 4 TB at 100 MB/s is eleven hours.
WIPE_SECONDS = 12 * 3600.0
# The largest drives take a day to erase themselves and one more to be written.
PURGE_SECONDS = 72 * 3600.0
# The slowest disks write 10 MB/s: a 32 GB image takes an hour.
INSTALL_SECONDS = 4 * 3600.0
BOOT_PATTERN = "login:"
BOOT_SECONDS = 600.0


def make(
    draft: Draft, principal: Principal, name: str, plan: str, purpose: Purpose,
    settings: Mapping[str, Any] | None = None, wish: FirstBootWish | None = None,
    target: TargetWish | None = None, capture: CaptureWish | None = None,
) -> RunRecord:  # fmt: skip
    """Begin a plan on a board somebody holds; raises a Refusal when it cannot be carried out.

    Args:
        draft: The lab.
        principal: Who asks.
        name: The board's name.
        plan: Its steps.
        purpose: Why.
        settings: Metadata for the templates of this run alone.
        wish: What the disk images it installs are to be told before their first boot, or None.
        target: Where they go, or None: as ``lab.toml`` says.
        capture: How it captures, or None: as usual.
    """
    record = held(draft, principal, name)
    aside = record.lifecycle is Lifecycle.MAINTENANCE and principal.admin  # who repairs a board tries it out
    if aside and (record.health.checkup is not None or record.wire_test is not None):
        raise ConflictError(f'board "{name}" is {record.reason}; wait until it was', kind="board-busy")
    if record.lifecycle is not Lifecycle.CLAIMED and not aside:
        raise ConflictError(
            f'board "{name}" is {record.lifecycle}; a plan runs on a claimed board: claim its class '
            f'"{record.board.board_class}" first',
            kind="board-not-claimed",
        )
    refuse_while_active(draft, record)
    orders = resolve(draft, record, plan, principal, settings, wish, target, capture)
    # What has been started is to go on: the system on the disk, or one that came over the network.
    runs_on = orders[-1].kind in (StepKind.BOOT, StepKind.LIVE)
    power = PowerState.ON if runs_on else PowerState.OFF
    return begin(draft, record, plan, orders, purpose, principal, power)


def begin(
    draft: Draft, record: BoardRecord, plan: str, steps: tuple[StepOrder, ...], purpose: Purpose,
    principal: Principal, power: PowerState,
) -> RunRecord:  # fmt: skip
    """Put an order on a board; ``power`` is what its power is to be once it has ended."""
    order = RunOrder(f"r-{secrets.token_hex(6)}", steps)
    run = RunRecord(
        order.id, record.name, plan, purpose, principal.name, record.claim, draft.now, order,
        RunStatus(order.id, RunState.QUEUED),
    )  # fmt: skip
    draft.runs.put(run.id, run)
    draft.boards.put(record.name, replace(record, run=run.id, power=power))
    text = f'{principal.name} began "{plan}" on board "{record.name}"'
    draft.event("run.created", text, principal=principal.name, **about(run))
    return run


def cancel(draft: Draft, principal: Principal, run_id: str) -> RunRecord:
    """Call a run off; it ends once the rack has let go. Calling off a run that has ended changes nothing."""
    run = draft.runs.get(run_id)
    if run is None:
        raise NotFoundError(f'there is no active run "{run_id}"', kind="unknown-run")
    held(draft, principal, run.board)
    if run.purpose is Purpose.RELEASE and not principal.admin:
        raise ForbiddenError("a board is given back clean or not at all; only an admin may stop its wipe")
    if run.status.state.ended or run.order.cancelled:
        return run
    run = replace(run, order=replace(run.order, cancelled=True))
    draft.runs.put(run.id, run)
    draft.boards.put(run.board, draft.boards[run.board])  # so that the rack is told
    text = f'{principal.name} called off "{run.plan}" on board "{run.board}"'
    draft.event("run.cancelling", text, principal=principal.name, **about(run))
    return run


def supersede(draft: Draft, record: BoardRecord, why: str) -> None:
    """End a board's active run because another takes its place; the rack drops it on reading the new one."""
    run = active(draft, record)
    if run is None:
        return
    status = replace(run.status, state=RunState.CANCELLED, ended=draft.now, error=why)
    draft.runs.put(run.id, replace(run, status=status, order=replace(run.order, cancelled=True)))
    data = _ending(replace(run, status=status))
    draft.event("run.cancelled", f'"{run.plan}" on board "{run.board}": {why}', data=data, **about(run))


def observe(draft: Draft, record: BoardRecord, status: RunStatus) -> RunRecord | None:
    """Take over what the rack says of a run; returns the run if this ended it.

    Nothing is written for progress alone: bytes come every second, and are known again after a restart.
    """
    run = draft.runs.get(status.id)
    if run is None or run.id != record.run or run.status.state.ended:
        return None
    before = run.status
    if _milestone(before) == _milestone(status):
        return None
    if status.state.ended and status.ended is None:
        status = replace(status, ended=draft.now)
    take_captured(draft, record, run, status)
    run = replace(run, status=status)
    draft.runs.put(run.id, run)
    image = disk_after(run, record.image)
    if image != record.image or status.state.ended:
        draft.boards.put(record.name, replace(record, image=image))  # the rack is told when it has ended
    where = f'"{run.plan}" on board "{run.board}"'
    if status.state.ended:
        why = f": {status.error}" if status.error else ""
        draft.event(
            f"run.{status.state}", f"{where} {_ENDS[status.state]}{why}", data=_ending(run), **about(run)
        )
        return run
    if before.state is RunState.QUEUED:
        draft.event("run.started", f"{where} started", **about(run))
    if (before.step, before.attempt) != (status.step, status.attempt) and status.step < len(run.order.steps):
        again = f", attempt {status.attempt}: {status.error}" if status.attempt > 1 else ""
        step = step_names(run)[status.step]
        draft.event("run.step", f"{where}: step {status.step + 1}, {step}{again}", **about(run))
    return None


def _ending(run: RunRecord) -> dict[str, Any]:
    """Return what is worth counting of a run that has ended; seconds from its making."""
    seconds = round((run.status.ended or run.created) - run.created, 3)
    return {"purpose": run.purpose, "seconds": max(0.0, seconds), "error": run.status.error}


_ENDS = {
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "was cancelled",
    RunState.TIMED_OUT: "took too long",
}


def _milestone(status: RunStatus) -> tuple[Any, ...]:
    return status.state, status.step, status.attempt, len(status.results)


def disk_after(run: RunRecord, before: str | None) -> str | None:
    """Return the name of the image that is whole on the board's disk, as far as the run has come."""
    image = before
    status = run.status
    for number, order in enumerate(run.order.steps):
        done = number < status.step or status.state is RunState.SUCCEEDED
        begun = done or (number == status.step and status.state is not RunState.QUEUED)
        if begun and order.kind in (StepKind.WIPE, StepKind.INSTALL) and _on_disk(order):
            image = order.params.get("image") if done else None
    return image


def resolve(
    draft: Draft, record: BoardRecord, plan: str, holder: Principal = HUB,
    settings: Mapping[str, Any] | None = None, wish: FirstBootWish | None = None,
    target: TargetWish | None = None, capture: CaptureWish | None = None,
) -> tuple[StepOrder, ...]:  # fmt: skip
    """Make a plan into orders with everything the rack needs; raises a Refusal naming what is missing.

    Args:
        draft: The lab.
        record: The board.
        plan: Its steps.
        holder: Whose keys templates find when no claim holds the board.
        settings: Metadata for the templates of this run alone.
        wish: What the disk images it installs are to be told before their first boot, or None.
        target: Where they go, or None: as ``lab.toml`` says.
        capture: How it captures, or None: as usual.
    """
    try:
        steps = parse_plan(plan)
    except PlanError as error:
        raise InvalidError(str(error), kind="bad-plan") from error
    platform = draft.inventory.platform(record.board.board_class)
    captured = [step.image for step in steps if step.kind is StepKind.CAPTURE]
    if len(set(captured)) < len(captured):
        raise InvalidError("the plan captures two images of the same name", kind="bad-plan")
    on_disk = record.image
    orders = []
    for step in steps:
        if step.kind in (StepKind.INSTALL, StepKind.LIVE):
            orders.append(_image_order(draft, record, platform, step, holder, settings or {}, wish, target))
        elif step.kind is StepKind.CAPTURE:
            done = _done_of(draft, on_disk)
            name = step.image or ""
            orders.append(capture_order(draft, record, platform, name, holder, capture, done, orders))
        else:
            orders.append(_order(draft, record, step, on_disk))
        if step.kind is StepKind.INSTALL:
            on_disk = step.image if _on_disk(orders[-1]) else on_disk
        elif step.kind is StepKind.WIPE:
            on_disk = None
    if any(map(needs_agent, orders)) and (absent := no_agent(draft, record)):
        raise ConflictError(absent, kind="no-agent")
    return tuple(orders)


def no_agent(hub: Draft | State, record: BoardRecord) -> str:
    """Say why a board cannot boot the agent, and how to change that; empty when it can."""
    platform = hub.inventory.platform(record.board.board_class)
    agent = hub.agents.get(platform.arch)
    if agent is None:
        return (
            f"there is no agent for {platform.arch} yet; "
            f"an admin makes it with: hostler agent build --arch {platform.arch}"
        )
    board_class = record.board.board_class
    return platform.lacks(
        agent.boot_files,
        hub.inventory.loader(board_class, record.facts),
        hub.inventory.classes[board_class].device_tree,
    )


def _image_order(
    draft: Draft, record: BoardRecord, platform: Platform, step: Step, holder: Principal,
    settings: Mapping[str, Any], wish: FirstBootWish | None, target: TargetWish | None,
) -> StepOrder:  # fmt: skip
    assert step.image is not None
    image = find_image(draft, step.image, holder)
    if (right := _step_for(image)) is not step.kind:
        what = {StepKind.INSTALL: "puts a system on the disk", StepKind.LIVE: "runs without being installed"}
        raise InvalidError(
            f'image "{image.name}" {what[right]}; write {right}:{image.name}', kind="wrong-step"
        )
    refuse_misfit(image, platform)
    board_class = draft.inventory.classes[record.board.board_class]
    refuse_unsigned(image, board_class, platform.arch, draft.agents.get(platform.arch))
    if image.netboot is not None:
        if target is not None:
            raise InvalidError(
                f'image "{image.name}" is no image of a disk, but comes over the network: it chooses its '
                "disk itself, or is told in its templates, with metadata (set)",
                kind="not-a-disk-image",
            )
        if wish is not None:
            raise InvalidError(
                f'image "{image.name}" is no image of a disk, but comes over the network: tell it in its '
                "templates, with metadata (set)",
                kind="not-a-disk-image",
            )
        order = templates.order(draft, record, image, holder, settings)
        return StepOrder(step.kind, {"image": image.name, "netboot": order.to_json()}, order.seconds)
    place = install_target(draft, record, target)
    refuse_no_room(record, image, place)
    params = {"image": image.name, "index": image.index, "size": image.size, **place.to_params()}
    params |= told_of(image, board_class)
    if wish is not None:
        if not place.whole_disk:
            raise InvalidError(f"what goes to {place.to} has no first boot to be told of", kind="bad-target")
        params["first_boot"] = first_boot(draft, record, holder, wish).to_json()
    return StepOrder(step.kind, params, INSTALL_SECONDS)


def _step_for(image: ImageRecord) -> StepKind:
    installs = image.netboot is None or image.netboot.installs
    return StepKind.INSTALL if installs else StepKind.LIVE


def deploy_plan(draft: Draft, name: str, by: Principal, target: TargetWish | None = None) -> str:
    """Return the plan that gets a board to run an image, whatever kind it is; raises NotFoundError.

    What goes elsewhere than to a disk, firmware mostly, is installed and no more.
    """
    image = find_image(draft, name, by)
    if _step_for(image) is StepKind.LIVE:
        return f"live:{name}"
    return f"install:{name},boot" if target is None or target.to == DISK else f"install:{name}"


def _on_disk(order: StepOrder) -> bool:
    """Tell whether what a step installs is on the board's disk afterwards."""
    return str(order.params.get("to", DISK)) == DISK


def images_of(plan: str) -> frozenset[str]:
    """Return the images a plan needs; none of one that is not a plan."""
    with suppress(PlanError):
        steps = parse_plan(plan)
        return frozenset(step.image for step in steps if step.image and step.kind is not StepKind.CAPTURE)
    return frozenset()


def _order(draft: Draft, record: BoardRecord, step: Step, on_disk: str | None) -> StepOrder:
    if step.kind is StepKind.BOOT:
        pattern, seconds = _done_of(draft, on_disk)
        return StepOrder(step.kind, {"image": on_disk, "pattern": pattern, "seconds": seconds}, seconds)
    if step.kind is StepKind.WIPE:
        return wipe_order(draft, record)
    return StepOrder(step.kind, {}, DISCOVER_SECONDS)


def _done_of(draft: Draft, on_disk: str | None) -> tuple[str, float]:
    """Return what a console shows when the image on a disk has booted, and within how many seconds."""
    known = draft.images.get(on_disk) if on_disk else None
    return (known.pattern, known.seconds) if known else (BOOT_PATTERN, BOOT_SECONDS)


def wipe_order(draft: Draft, record: BoardRecord) -> StepOrder:
    """Return the step that makes a board clean."""
    board_class = draft.inventory.classes[record.board.board_class]
    params: dict[str, Any] = {"removable": True} if board_class.removable else {}
    if board_class.wipe is Effort.CLEAR:
        return StepOrder(StepKind.WIPE, params, WIPE_SECONDS)
    longest = WIPE_SECONDS if board_class.wipe is Effort.QUICK else PURGE_SECONDS
    return StepOrder(StepKind.WIPE, params | {"effort": str(board_class.wipe)}, longest)


def refuse_misfit(image: ImageRecord, platform: Platform) -> None:
    """Raise InvalidError when an image cannot run on a platform."""
    if image.arch != platform.arch:
        raise InvalidError(
            f'image "{image.name}" is for {image.arch}, but platform {platform.name} is {platform.arch}; '
            f"choose an image for {platform.arch}",
            kind="wrong-architecture",
        )
    if image.platforms and platform.name not in image.platforms:
        raise InvalidError(
            f'image "{image.name}" boots on {", ".join(image.platforms)}, not on {platform.name}',
            kind="wrong-platform",
        )


def active(draft: Draft, record: BoardRecord) -> RunRecord | None:
    """Return the board's run if it has not ended."""
    run = draft.runs.get(record.run) if record.run else None
    return run if run is not None and not run.status.state.ended else None


def refuse_while_active(draft: Draft, record: BoardRecord) -> None:
    """Raise ConflictError when the board has a run that has not ended."""
    run = active(draft, record)
    if run is not None:
        raise ConflictError(
            f'board "{record.name}" is busy with run {run.id} ("{run.plan}"); wait for it or cancel it',
            kind="board-busy",
        )


def held(draft: Draft, principal: Principal, name: str) -> BoardRecord:
    """Return a board that this principal may act on; raises NotFoundError or ForbiddenError."""
    record = draft.boards.get(name)
    if record is None:
        raise NotFoundError(f'there is no board "{name}"', kind="unknown-board")
    if not principal.admin:
        claim = draft.claims.get(record.claim) if record.claim else None
        if claim is None or not access.may_use(principal, claim):
            raise ForbiddenError(f'board "{name}" is {_why_not(principal, claim)}')
    return record


def _why_not(principal: Principal, claim: Claim | None) -> str:
    if claim is None:
        return "not claimed; you may act only on boards you have claimed"
    if claim.principal != principal.name and not access.may_see(principal, claim):
        return f"held by {claim.principal}; you may act only on boards you have claimed"
    return f"held by {claim.principal}; you may only look on"


def step_names(run: RunRecord) -> list[str]:
    """Return the steps as they were written."""
    return [word.strip() for word in run.plan.split(",")]


def about(run: RunRecord) -> dict[str, Any]:
    """Return what an event about a run refers to."""
    return {"board": run.board, "run": run.id, "claim": run.claim}
