"""The agent's configuration as an initramfs of one file, made for one boot of one board.

The token travels in it and not on the kernel command line, which every kernel prints on its console.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hostler.wire import newc

if TYPE_CHECKING:
    from hostler.model.json import Document
    from hostler.netboot.table import Target

CONFIG_PATH = "etc/hostler/boot.json"


def boot_config(target: Target, rack: str) -> Document | None:
    """Return what an agent is to know of its boot, as ``config_cpio`` packs it; None: there is no boot."""
    if not target.boot or not target.token:
        return None
    config: Document = {"rack": rack, "token": target.token, "board": target.board, "boot": target.boot}
    if target.network_first:
        config["network_first"] = True
    return config


def config_cpio(target: Target, rack: str) -> bytes | None:
    """Return the archive for a board's present boot, or None if it has no boot to speak for.

    Args:
        target: The board.
        rack: URL of the boot listener as the board reaches it, without a slash at the end.
    """
    config = boot_config(target, rack)
    if config is None:
        return None
    body = json.dumps(config, sort_keys=True).encode() + b"\n"
    return newc.archive(newc.with_parents([newc.file(CONFIG_PATH, body, 0o600)]))
