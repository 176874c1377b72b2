"""A stand-in for the program uhubctl: a USB 3 hub, so two halves, with four ports at 1-1."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# The words and the exit codes of uhubctl 2.5; the ports that are on are the files in the folder.
_PROGRAM = """#!/bin/sh
state={state}
while [ $# -gt 0 ]; do
  case $1 in
    -l) location=$2; shift 2 ;;
    -p) port=$2; shift 2 ;;
    -a) action=$2; shift 2 ;;
    -N|-f) shift ;;
    *) echo "uhubctl: invalid option $1"; exit 1 ;;
  esac
done
if [ -e $state/hang ]; then exec sleep 60; fi
if [ -e $state/forbidden ]; then
  echo "There were permission problems while accessing USB."; exit 1
fi
if [ $location != 1-1 ]; then
  echo "No compatible devices detected at location $location!"; echo "Run with -h to get usage info."; exit 1
fi
show() {{
  echo "$1 status for hub 2-1 [2109:0817 VIA Labs, Inc. USB3.0 Hub, USB 3.20, 4 ports, ppps]"
  [ $port -gt 4 ] || if [ -e $state/$port ]; then echo "  Port $port: 02a0 power 5gbps Rx.Detect"
  else echo "  Port $port: 0080 off"; fi
  echo "$1 status for hub 1-1 [2109:2817 VIA Labs, Inc. USB2.0 Hub, USB 2.10, 4 ports, ppps]"
  [ $port -gt 4 ] || if [ -e $state/$port ]; then echo "  Port $port: 0503 power highspeed enable connect"
  else echo "  Port $port: 0000 off"; fi
}}
show Current
case $action in
  on) touch $state/$port; echo "Sent power on request"; show New ;;
  off) rm -f $state/$port; echo "Sent power off request"; show New ;;
esac
"""


@contextmanager
def usb_hub() -> Iterator[Path]:
    """Put the program first on PATH; yields the folder with a file for each port that is on."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        state = folder / "state"
        state.mkdir()
        program = folder / "uhubctl"
        program.write_text(_PROGRAM.format(state=state))
        program.chmod(0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{folder}:{before}"
        try:
            yield state
        finally:
            os.environ["PATH"] = before
