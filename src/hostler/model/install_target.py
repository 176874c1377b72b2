"""Where an image goes on a board, and what is done there besides: the part of an install step that says so.

Shared with the agent, so it has the standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostler.model.disk_hint import DiskHintError, parse_hint
from hostler.model.emmc_boot import EmmcBootError, parse_emmc_boot

if TYPE_CHECKING:
    from collections.abc import Mapping

DISK = "disk"
_PLACE = re.compile(r"disk|emmc-boot[01]|mtd:[^/\0\n]{1,64}")


class InstallTargetError(ValueError):
    """An image cannot go there; the text names the value and what would do."""


@dataclass(frozen=True, slots=True)
class InstallTarget:
    """Where an image goes.

    Attributes:
        disk: Hint for the disk (``model/disk_hint.py``), or None: there is only one.
        removable: Whether the board's removable media are disks like any other.
        grow: Whether the last partition and its file system grow to the size of the disk.
        to: ``disk``; ``emmc-boot0`` or ``emmc-boot1``: a boot partition of the disk, which is an eMMC;
            ``mtd:NAME``: a partition of raw flash.
        emmc_boot: From what the disk, an eMMC, boots afterwards (``model/emmc_boot.py``); None: as before.

    Raises:
        InstallTargetError: A value cannot be what it is given as, or two cannot go together.
    """

    disk: str | None = None
    removable: bool = False
    grow: bool = False
    to: str = DISK
    emmc_boot: str | None = None

    def __post_init__(self) -> None:
        try:
            if self.disk is not None:
                parse_hint(self.disk)
            if self.emmc_boot is not None:
                parse_emmc_boot(self.emmc_boot)
        except (DiskHintError, EmmcBootError) as error:
            raise InstallTargetError(str(error)) from error
        if not _PLACE.fullmatch(self.to):
            raise InstallTargetError(
                f'an image cannot go to "{self.to}"; it goes to disk, emmc-boot0, emmc-boot1 or mtd:NAME'
            )
        if self.flash is not None and (self.disk is not None or self.emmc_boot is not None):
            raise InstallTargetError(f"{self.to} is no part of a disk; leave out what says which disk")

    @property
    def whole_disk(self) -> bool:
        """Whether the image is one of a disk, that the board may boot afterwards."""
        return self.to == DISK

    @property
    def boot_partition(self) -> str | None:
        """Which boot partition of an eMMC it goes to, ``boot0`` or ``boot1``; None: none."""
        return self.to.partition("-")[2] if self.to.startswith("emmc-") else None

    @property
    def flash(self) -> str | None:
        """The name of the raw flash it goes to, or None."""
        return self.to.removeprefix("mtd:") if self.to.startswith("mtd:") else None

    def to_params(self) -> dict[str, Any]:
        """Return it as parameters of a step."""
        return {
            "disk": self.disk,
            "removable": self.removable,
            "grow": self.grow,
            "to": self.to,
            "emmc_boot": self.emmc_boot,
        }

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> InstallTarget:
        """Read what ``to_params`` wrote; raises InstallTargetError."""
        words = {key: params.get(key) for key in ("disk", "emmc_boot")}
        if not all(isinstance(word, str | None) for word in (*words.values(), params.get("to"))):
            raise InstallTargetError("disk, to and emmc_boot of an install step are texts")
        return cls(
            disk=words["disk"],
            removable=params.get("removable") is True,
            grow=params.get("grow") is True,
            to=params.get("to") or DISK,
            emmc_boot=words["emmc_boot"],
        )
