"""What netboot is to know of a board, derived from what is wanted of it and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.board import Lifecycle
from hostler.model.boot import BootIntent, boot_intent
from hostler.model.keeper_view import View, agent_step, reboot_asked
from hostler.model.netboot_order import netboot_order
from hostler.model.plan import StepKind
from hostler.model.platform import PLATFORMS
from hostler.netboot.quoting import kernel_parameter
from hostler.netboot.table import Target

if TYPE_CHECKING:
    from hostler.model.json import Document
    from hostler.model.netboot_order import NetbootOrder
    from hostler.model.plan import StepOrder

_HELD = {
    Lifecycle.DISCOVERED: "it is not in the inventory yet",
    Lifecycle.AVAILABLE: "nobody has claimed it",
    Lifecycle.RELEASING: "it is being taken back",
    Lifecycle.QUARANTINED: "it is quarantined",
    Lifecycle.MAINTENANCE: "it is in maintenance",
    Lifecycle.CLAIMED: "its run is being prepared",
    Lifecycle.RETIRED: "it is retired",
}


def target(view: View, agents: dict[str, dict[str, str]]) -> Target:
    """Derive a board's target.

    Args:
        view: The keeper's view.
        agents: By architecture, the artefact ids of the agent's ``kernel`` and ``initrd``, and of further
            files by the name firmware asks for.
    """
    desired, memory = view.desired, view.memory
    board, platform = desired.board, PLATFORMS[desired.platform]
    intent = boot_intent(desired, memory.run)
    agent = agents.get(platform.arch, {})
    why = _HELD[desired.lifecycle]
    files = {name: agent[name] for name in agent if name not in ("kernel", "initrd")}
    absent = platform.lacks(files, desired.loader, desired.device_tree)
    system = _system(view)
    if not agent and system is None:
        absent = f"there is no agent for {platform.arch}; run: hostler agent build"
    if intent is BootIntent.STEP and absent:
        intent, why = BootIntent.HOLD, absent
    if desired.reason:
        why = f"{why}: {desired.reason}"
    return Target(
        board=board.name,
        platform=platform.name,
        arch=platform.arch,
        macs=board.macs,
        uuid=board.uuid,
        serial=board.serial,
        address=board.address,
        intent=intent,
        boot=memory.boot.id if memory.boot else None,
        token=memory.boot.token if memory.boot else None,
        kernel=agent.get("kernel"),
        initrd=agent.get("initrd"),
        files=files,
        loader=desired.loader,
        device_tree=desired.device_tree,
        cmdline=f"{kernel_parameter('console', platform.console)} quiet",
        netboot=system,
        network_first=any(wire.driver == "agent" for wire in board.bootctl),
        step=_step(view),
        circuit_id=board.circuit_id,
        remote_id=board.remote_id,
        message=f'Board "{board.name}" is held: {why}.',
    )


def _system(view: View) -> NetbootOrder | None:
    """Return what the present step brings instead of the agent, once its boot has begun.

    Before that the board may still run what it ran for somebody else, who is not to read its texts.
    """
    step, status = _present(view), view.memory.run
    if step is None or status is None or not status.boot_began:
        return None
    return netboot_order(step)


def _present(view: View) -> StepOrder | None:
    order, status = view.desired.run, view.memory.run
    if order is None or status is None or status.id != order.id or status.state.ended or order.cancelled:
        return None
    return order.steps[status.step] if status.step < len(order.steps) else None


def _step(view: View) -> Document | None:
    present = agent_step(view)
    if present is not None:
        status, step = present
        params: Document = dict(step.params)
        return {"run": status.id, "step": status.step, "kind": str(step.kind), "params": params}
    status_now = view.memory.run
    if reboot_asked(view) and status_now is not None:
        return {"run": status_now.id, "step": status_now.step, "kind": "reboot", "params": {}}
    return None


def artefacts(view: View) -> tuple[str, ...]:
    """Return the ids of the artefacts the board's present step needs on this rack."""
    step = _present(view)
    if step is None:
        return ()
    if (system := netboot_order(step)) is not None:
        return system.artefacts
    return (str(step.params["index"]),) if step.kind is StepKind.INSTALL else ()
