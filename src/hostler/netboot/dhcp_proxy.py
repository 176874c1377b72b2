"""Proxy DHCP: what to boot, said beside somebody else's DHCP server that gives the addresses (PXE 2.1).

A client that wants to boot gets an offer without an address from port 67 next to the real one. BIOS firmware
takes the boot file out of it. Much UEFI firmware does not heed the option that says so; without option 43 it
asks again on port 4011 and takes the file from the acknowledgement ("BINL"). UEFI HTTP boot takes the URL out
of the offer and never asks there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.netboot.dhcp_policy import Answer, Facts, Firmware
from hostler.wire import dhcp_options as option
from hostler.wire.dhcp import NOWHERE

if TYPE_CHECKING:
    from hostler.wire.dhcp import Message

BINL_PORT = 4011
"""Where a PXE client asks for its boot file once it has an address."""

_PXE_CLIENT = b"PXEClient"
# Firmware that finds its file by BINL: every UEFI one. The others (BIOS, and what calls itself that) take
# the offer.
_UEFI = frozenset({2, 6, 7, 9, 10, 11, 25, 27, 29, 37, 39})


def wants_proxy(facts: Facts) -> bool:
    """Tell whether a client takes an offer without an address; an operating system does not want one."""
    return facts.firmware is not Firmware.SYSTEM


def proxy_refusal(facts: Facts) -> str:
    """Tell why a client that wants to boot cannot be served beside another server; empty if it can."""
    if facts.firmware is Firmware.UBOOT:
        # Built without SERVERIP_FROM_PROXYDHCP, as distributions do, it would take 0.0.0.0 for its address.
        return (
            "U-Boot takes an offer without an address for its own; let the other DHCP server name this host"
            ' as next-server, or use dhcp = "own"'
        )
    return ""


def proxy_answer(answer: Answer, facts: Facts, *, acknowledge: bool) -> Answer:
    """Return what a proxy says, from what a server that gives addresses would say.

    Args:
        answer: That.
        facts: Who asks.
        acknowledge: It is for port 4011, where the file is asked for; else it is an offer.
    """
    options = dict(answer.options)
    # Without this name nobody takes an offer that has no address.
    options.setdefault(option.VENDOR_CLASS, _PXE_CLIENT)
    file = answer.file
    if facts.firmware is Firmware.PXE and facts.architecture in _UEFI:
        options.pop(option.VENDOR, None)
        if not acknowledge:
            options.pop(option.BOOT_FILE, None)
            file = ""
    return Answer(file, answer.next_server, options)


def told_address(message: Message) -> bytes | None:
    """Return the address a client has or has chosen, as its REQUEST or INFORM tells; None: none."""
    address = message.requested_address if message.ciaddr == NOWHERE else message.ciaddr
    return address if address != NOWHERE else None
