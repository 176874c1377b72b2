"""``python3 -m hostler.agent [BOOT.JSON]``: run the agent of this boot."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from hostler.agent.console import Console
from hostler.agent.disks import Machine
from hostler.agent.main import Agent
from hostler.agent.power import LinuxPower
from hostler.agent.rack import BootConfig, BootConfigError, Rack

BOOT_CONFIG = Path("/etc/hostler/boot.json")


def main(arguments: list[str]) -> int:
    """Run until the power goes; return 2 if there is no valid configuration."""
    console = Console()
    try:
        config = BootConfig.read(Path(arguments[0]) if arguments else BOOT_CONFIG)
    except BootConfigError as error:
        console.mark("lost", error=str(error))
        return 2
    stop = threading.Event()
    rack = Rack(config, console, stop)
    Agent(config, rack, console, Machine(), LinuxPower(), stop).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
