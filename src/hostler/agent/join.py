"""How an agent from a medium joins: it asks its rack who it is, until there is a step for it to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

from hostler.agent.facts import discover
from hostler.agent.hand_over import HandOverError, choose_disk_next
from hostler.agent.rack import BootConfig, Rack, RefusedError, StoppedError

if TYPE_CHECKING:
    import threading

    from hostler.agent.console import Console
    from hostler.agent.disks import Machine
    from hostler.agent.power import Power
    from hostler.model.json import Document

ASK_SECONDS, LONGEST_PAUSE = 10.0, 600.0
"""Pause before the rack is asked again, unless it says how long; and the longest one it may say."""
_LONGEST_FAILURE = 200
_MOST_MACS = 16


def join(
    url: str, machine: Machine, console: Console, power: Power, stop: threading.Event
) -> BootConfig | None:
    """Return the configuration of this boot, as soon as the rack wants the agent; None: told to stop.

    A board that is to boot its disk is handed over to it, and one nobody knows waits, for ever if need be.

    Args:
        url: The rack's, as the medium has it.
        machine: Where the hardware is.
        console: What people and the console broker see.
        power: How to leave for the disk.
        stop: Ends the waiting; a board never sets it.

    Raises:
        BootConfigError: The URL is none.
    """
    rack = Rack(BootConfig(url, "", "", "").checked("the medium"), console, stop)
    told, failed = "", ""
    while not stop.is_set():
        try:
            answer = rack.ask("/boot/join?" + urlencode(_facts(machine, failed)))
        except StoppedError:
            return None
        except RefusedError as error:
            answer = _refused(error)
        kind, message = str(answer.get("answer")), str(answer.get("message") or "")
        failed = ""
        if kind == "step":
            return BootConfig.of(cast("Document", answer.get("boot")), "the rack's answer")
        if message and message != told:
            told = message
            console.say(message)
        if kind == "local":
            failed = _leave(machine, console, power)
        stop.wait(_pause(answer))
    return None


def _facts(machine: Machine, failed: str) -> list[tuple[str, str]]:
    found = discover(machine)
    told = cast("Document", found["dmi"]) or cast("Document", found["device_tree"])
    macs = cast("list[str]", found["macs"])[:_MOST_MACS]
    query = [("mac", mac) for mac in macs]
    query += [(name, str(told[name])) for name in ("uuid", "serial") if told.get(name)]
    return [*query, ("failed", failed[:_LONGEST_FAILURE])] if failed else query


def _leave(machine: Machine, console: Console, power: Power) -> str:
    """Restart into the disk; returns why not, if the board is still here."""
    try:
        console.say(f"leaving for the disk: {choose_disk_next(machine)}")
        power.reboot()
    except HandOverError as error:
        reason = str(error)
    except OSError as error:
        reason = f"the kernel refused to restart: {error}"
    else:
        reason = "the board did not restart"
    console.mark("fail", error=reason)
    return reason


def _pause(answer: Document) -> float:
    try:
        return min(max(float(cast("float", answer.get("seconds", ASK_SECONDS))), 0.0), LONGEST_PAUSE)
    except (TypeError, ValueError):
        return ASK_SECONDS


def _refused(error: RefusedError) -> Document:
    if error.status == HTTPStatus.NOT_FOUND:
        return {"message": "this rack takes no agents from a medium; is its Hostler older than the medium?"}
    return {"message": str(error)}
