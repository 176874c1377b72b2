"""What a board's loader is to bring for intent ``step``: the agent, or another system.

Every renderer takes it from here, so that they differ in their language and in nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.model.netboot_order import filled
from hostler.netboot.config_cpio import config_cpio
from hostler.netboot.quoting import QuotingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostler.netboot.table import Target

AGENT = "the agent"


@dataclass(frozen=True, slots=True)
class Payload:
    """A kernel with all that goes with it.

    Attributes:
        title: What it is, for people: ``the agent``, or the image's name.
        kernel: Artefact id of the kernel.
        initrd: Artefact id of the initramfs, or None: it has none.
        cmdline: Kernel command line, complete, not yet quoted for any loader.
        config: The agent's configuration: an initramfs that goes before ``initrd``; None for other systems.
    """

    title: str
    kernel: str
    initrd: str | None
    cmdline: str
    config: bytes | None = None

    def initrd_parts(self, artefact: Callable[[str], Path | None]) -> tuple[bytes | Path, ...] | None:
        """Return what the whole initramfs consists of, in order; empty: there is none, None: a file is gone.

        The configuration is padded to four bytes; the kernel looks for the next archive only at such offsets,
        and nothing says that a compressed initramfs ends at one. So it goes first.

        Args:
            artefact: Finds a registered file by its id.
        """
        config = (self.config,) if self.config is not None else ()
        if self.initrd is None:
            return config
        path = artefact(self.initrd)
        return (*config, path) if path is not None else None


def what(target: Target) -> str:
    """Return what intent ``step`` brings to a board, for people."""
    return target.netboot.image if target.netboot is not None else AGENT


def payload(target: Target, base: str) -> Payload:
    """Return what a board whose intent is ``step`` is to be brought.

    Args:
        target: The board.
        base: URL by which it reaches the boot listener, without a slash at the end.

    Raises:
        QuotingError: Something is missing; the text says what.
    """
    order = target.netboot
    if order is not None:
        cmdline = filled(order.cmdline, base, target.token or "")
        return Payload(what(target), order.kernel, order.initrd or None, cmdline)
    if not target.kernel or not target.initrd:
        raise QuotingError("no kernel and initramfs are registered for it")
    config = config_cpio(target, base)
    if config is None:
        raise QuotingError("it has no boot yet for which the agent could speak")
    return Payload(what(target), target.kernel, target.initrd, target.cmdline, config)
