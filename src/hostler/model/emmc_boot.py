"""From what an eMMC boots: the words for it, and the bytes of its EXT_CSD register that say so.

JEDEC JESD84-B51, 7.4.69 (PARTITION_CONFIG) and 7.4.71 (BOOT_BUS_CONDITIONS). The words are those of
``mmc bootpart`` and ``mmc bootbus``. Shared with the agent, so it has the standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

PARTITION_CONFIG = 179
BOOT_BUS_CONDITIONS = 177

_ENABLED = {"none": 0, "boot0": 1, "boot1": 2, "user": 7}
_ACK = {"ack": 1, "no-ack": 0}
_WIDTH = {"x1": 0, "x4": 1, "x8": 2}
_MODE = {"single-backward": 0, "single-hs": 1, "dual": 2}
_RESET = {"reset": 0, "retain": 1}
_WORDS = {"enabled": _ENABLED, "ack": _ACK, "width": _WIDTH, "mode": _MODE, "retain": _RESET}


class EmmcBootError(ValueError):
    """It cannot be set like this; the text names the word and what would do."""


@dataclass(frozen=True, slots=True)
class EmmcBoot:
    """What is to be set; None leaves it as it is.

    Attributes:
        enabled: From what to boot: 0 nothing, 1 and 2 the boot partitions, 7 the user area.
        ack: Whether the eMMC acknowledges before the boot data.
        width: Width of the bus while booting: 0 one (or four with dual data rate), 1 four, 2 eight lines.
        mode: 0 single data rate, 1 the same at high speed, 2 dual data rate.
        retain: Whether width and mode are kept after the boot, else the bus is as after a reset.
    """

    enabled: int | None = None
    ack: int | None = None
    width: int | None = None
    mode: int | None = None
    retain: int | None = None

    def partition_config(self, present: int) -> int:
        """Return PARTITION_CONFIG; the access to a partition, its low bits, goes back to the user area."""
        enabled = present >> 3 & 7 if self.enabled is None else self.enabled
        ack = present >> 6 & 1 if self.ack is None else self.ack
        return present & 0x80 | ack << 6 | enabled << 3

    def bus_conditions(self, present: int) -> int:
        """Return BOOT_BUS_CONDITIONS."""
        width = present & 3 if self.width is None else self.width
        retain = present >> 2 & 1 if self.retain is None else self.retain
        mode = present >> 3 & 3 if self.mode is None else self.mode
        return present & 0xE0 | mode << 3 | retain << 2 | width


def parse_emmc_boot(text: str) -> EmmcBoot:
    """Read words such as ``boot0,ack,x8,dual,retain``; raises EmmcBootError."""
    values: dict[str, int] = {}
    for word in (word.strip() for word in text.split(",")):
        name = next((name for name, words in _WORDS.items() if word in words), None)
        if name is None:
            known = ", ".join(word for words in _WORDS.values() for word in words)
            raise EmmcBootError(f'"{word}" says nothing of how an eMMC boots; the words are {known}')
        if name in values:
            raise EmmcBootError(f'"{text}" says two things at once: "{word}" is the second of its kind')
        values[name] = _WORDS[name][word]
    return EmmcBoot(**values)


def emmc_boot_words(partition_config: int, bus_conditions: int) -> str:
    """Return what two bytes say, in the words ``parse_emmc_boot`` reads."""
    values = {
        "enabled": partition_config >> 3 & 7,
        "ack": partition_config >> 6 & 1,
        "width": bus_conditions & 3,
        "mode": bus_conditions >> 3 & 3,
        "retain": bus_conditions >> 2 & 1,
    }
    return ",".join(
        next((word for word, number in words.items() if number == values[name]), f"{name}-{values[name]}")
        for name, words in _WORDS.items()
    )
