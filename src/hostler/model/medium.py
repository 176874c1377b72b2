"""What a medium that brings the agent and the agent on it must agree on."""

from __future__ import annotations

VOLUME = "HOSTLER_AGENT"
"""Name of the medium's ISO 9660 volume."""

RACK_ARGUMENT = "hostler.rack"
"""Kernel parameter with the URL of the rack; only a medium gives it."""

DISK_WORD = {0x01: 0x47, 0x03: 0x31, 0x05: 0x13}
"""How a PC with a BIOS is told to start its disk once: registers of the clock chip's alarm (MC146818,
seconds, minutes, hours) and what they hold then, 13:31:47 as BCD."""
