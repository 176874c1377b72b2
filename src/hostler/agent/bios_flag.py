"""A word to the medium's GRUB that outlasts a restart, for a PC with a BIOS: "the disk, this time".

A BIOS has no boot order a system could change. The clock chip (Motorola MC146818, which every PC has) keeps
its registers over a restart, and GRUB can read them (``cmostest``). Those of the alarm are in no check sum of
the BIOS and wake nobody as long as the alarm is off, which it is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hostler.model.medium import DISK_WORD

if TYPE_CHECKING:
    from hostler.agent.disks import Machine

_INDEX, _DATA = 0x70, 0x71


def boot_disk_once(machine: Machine) -> None:
    """Have the medium's GRUB start the disk after the next restart.

    Raises:
        OSError: The ports are not to be had, or the clock did not keep it.
    """
    with (machine.dev / "port").open("r+b", buffering=0) as ports:
        for register, value in DISK_WORD.items():
            os.pwrite(ports.fileno(), bytes((register,)), _INDEX)
            os.pwrite(ports.fileno(), bytes((value,)), _DATA)
        kept = {}
        for register in DISK_WORD:
            os.pwrite(ports.fileno(), bytes((register,)), _INDEX)
            kept[register] = os.pread(ports.fileno(), 1, _DATA)[0]
    if kept != DISK_WORD:
        raise OSError(f"the clock chip did not keep what was written: {kept}")
