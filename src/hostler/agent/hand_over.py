"""From the medium to the disk: the board restarts, and its firmware starts the disk instead of the medium."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent import bios_flag, efi_boot
from hostler.agent.disks import find_disks

if TYPE_CHECKING:
    from hostler.agent.console import Console
    from hostler.agent.disks import Machine
    from hostler.agent.power import Power


class HandOverError(Exception):
    """The disk cannot be started from here; the message says why."""


def choose_disk_next(machine: Machine) -> str:
    """Have the firmware start the disk at the next restart, once; returns what was done, for people.

    Raises:
        HandOverError: It cannot be told.
    """
    try:
        if (machine.sys / "firmware/efi").exists():
            disks = [Path(disk.path) for disk in find_disks(machine)]
            return "UEFI starts " + efi_boot.boot_disk_once(machine, disks, os.uname().machine)
        bios_flag.boot_disk_once(machine)
    except efi_boot.EfiBootError as error:
        raise HandOverError(str(error)) from error
    except OSError as error:
        raise HandOverError(f"the BIOS cannot be told to start the disk: {error}") from error
    return "the medium's loader starts the disk"


class PowerBesideMedium:
    """Leaves like ``Power``, but a restart goes to the disk, because the medium would bring the agent again.

    Args:
        power: How to leave.
        machine: Where the firmware's settings are.
        console: Where to say why the disk cannot be started.
    """

    def __init__(self, power: Power, machine: Machine, console: Console) -> None:
        self._power = power
        self._machine = machine
        self._console = console

    def reboot(self) -> None:
        """Restart the machine into its disk, or at least restart it: the rack is asked again then."""
        try:
            self._console.say(choose_disk_next(self._machine))
        except HandOverError as error:
            self._console.say(str(error))
        self._power.reboot()

    def poweroff(self) -> None:
        """Turn the machine off."""
        self._power.poweroff()
