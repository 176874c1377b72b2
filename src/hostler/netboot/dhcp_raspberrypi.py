"""What is peculiar to a Raspberry Pi that asks by DHCP: how it is recognised, and what it wants to hear.

Its firmware calls itself an x86 BIOS (option 93 is 0, rpi-eeprom#182), may leave option 60 out of its
REQUEST (rpi-eeprom#82), and takes an offer only if option 60 is ``PXEClient`` and option 43 holds a boot
menu with the text "Raspberry Pi Boot". A file named in the answer is ignored (firmware#1850): it knows the
names itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.wire.dhcp_options import (
    PXE_BOOT_MENU,
    PXE_DISCOVERY_CONTROL,
    PXE_MENU_PROMPT,
    encapsulate,
)

if TYPE_CHECKING:
    from hostler.wire.dhcp import Message

MENU_TEXT = "Raspberry Pi Boot"
"""What an EEPROM looks for in the menu; its setting ``PXE_OPTION43`` can change it."""
ROM_MENU_TEXT = MENU_TEXT + "   "
"""What the ROM of a Pi 3 looks for: with three spaces."""

_FOURCCS = (b"RPi4", b"RPi5")
_OUIS = frozenset(
    {"28:cd:c1", "2c:cf:67", "3a:35:41", "88:a2:9e", "b8:27:eb", "d8:3a:dd", "dc:a6:32", "e4:5f:01"}
)
_ROM_OUI = "b8:27:eb"
"""All of them are Pis before the 4 (and the Pi 3 has no other)."""
_BIOS = 0


def serials(message: Message) -> tuple[str, ...] | None:
    """Return the serial numbers option 97 may stand for, 8 hexadecimal digits each; None: no Raspberry Pi.

    An EEPROM sends ``RPi4`` or ``RPi5``, board revision, the end of the MAC and the serial number, four bytes
    each. Both byte orders were seen; the first one told is that of the first word, the other one follows.
    EEPROMs before 2020-03 repeat the serial number four times. A Pi 3 tells nothing: its serial is only seen
    when it asks for files.
    """
    machine = message.machine_id
    if machine is not None:
        words = [machine[at : at + 4] for at in range(0, 16, 4)]
        if words[0] in _FOURCCS:
            return _both(words[3][::-1])
        if words[0][::-1] in _FOURCCS:
            return _both(words[3])
    if _BIOS not in message.architectures or message.mac[:8] not in _OUIS:
        return None
    if machine is not None and len(set(words)) == 1 and len(set(machine)) > 1:
        return _both(words[0])
    return ()


def menu(mac: str) -> bytes:
    """Return option 43 for a Raspberry Pi with this MAC: a menu of one entry, chosen at once."""
    text = (ROM_MENU_TEXT if mac.startswith(_ROM_OUI) else MENU_TEXT).encode()
    return encapsulate(
        [
            (PXE_DISCOVERY_CONTROL, b"\x03"),  # look for no boot server by broadcast or multicast
            (PXE_MENU_PROMPT, b"\x00PXE"),
            (PXE_BOOT_MENU, b"\x00\x00" + bytes((len(text),)) + text),
        ],
        end=True,
    )


def _both(word: bytes) -> tuple[str, ...]:
    return tuple(dict.fromkeys((word.hex(), word[::-1].hex())))
