"""``python3 -m hostler.agent [BOOT.JSON]``: run the agent of this boot."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from hostler.agent.console import Console
from hostler.agent.disks import Machine
from hostler.agent.hand_over import PowerBesideMedium
from hostler.agent.join import join
from hostler.agent.main import Agent
from hostler.agent.medium import rack_of_medium
from hostler.agent.power import LinuxPower, Power
from hostler.agent.rack import BootConfig, BootConfigError, Rack
from hostler.agent.signed import Trust

BOOT_CONFIG = Path("/etc/hostler/boot.json")


def main(arguments: list[str]) -> int:
    """Run until the power goes; return 2 if there is no valid configuration."""
    console, machine, stop = Console(), Machine(), threading.Event()
    power: Power = LinuxPower()
    file = Path(arguments[0]) if arguments else BOOT_CONFIG
    try:
        url = None if file.exists() else rack_of_medium(machine)
        if url is not None:
            joined = join(url, machine, console, power, stop)
            if joined is None:
                return 0
            config, power = joined, PowerBesideMedium(power, machine, console)
        else:
            config = BootConfig.read(file)
    except BootConfigError as error:
        console.mark("lost", error=str(error))
        return 2
    rack = Rack(config, console, stop)
    Agent(config, rack, console, machine, power, stop, Trust.read()).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
