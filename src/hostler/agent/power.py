"""Leaving: restart or power off, from a system that has no init to ask."""

from __future__ import annotations

import ctypes
import os
import time
from typing import Protocol

_RB_AUTOBOOT = 0x01234567  # <sys/reboot.h>
_RB_POWER_OFF = 0x4321FEDC
_SETTLE_SECONDS = 0.2  # for the last line to leave a serial port


class Power(Protocol):
    """Ends this boot."""

    def reboot(self) -> None:
        """Restart the machine; does not return on a real one."""
        ...

    def poweroff(self) -> None:
        """Turn the machine off; does not return on a real one."""
        ...


class LinuxPower:
    """reboot(2); needs root."""

    def reboot(self) -> None:
        """Restart the machine; raises OSError if the kernel refuses."""
        _leave(_RB_AUTOBOOT)

    def poweroff(self) -> None:
        """Turn the machine off; raises OSError if the kernel refuses."""
        _leave(_RB_POWER_OFF)


def _leave(how: int) -> None:
    os.sync()
    time.sleep(_SETTLE_SECONDS)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.reboot(ctypes.c_int(how)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
