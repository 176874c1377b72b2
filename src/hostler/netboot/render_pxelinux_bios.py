"""The configuration of PXELINUX on a PC with BIOS: one for every boot intent.

Written for ``lpxelinux.0`` 6.04 (Debian's ``pxelinux``), which finds the files by their names below its path
prefix (DHCP option 210), by HTTP or TFTP. A prompt that is answered by nobody is how it waits; then it reads
its configuration anew, under a name that counts. Each time takes memory: after some hundred there is none
left, and it stops at the prompt for ever. So a board that is held for long is reset, and begins anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot import quoting
from hostler.netboot.holding import why_held
from hostler.netboot.payload import payload, what
from hostler.netboot.pxelinux_names import FOLDER

if TYPE_CHECKING:
    from hostler.netboot.table import Target

KERNEL = "boot/kernel"
CONFIG = "boot/config"
INITRD = "boot/initrd"
RESET = "boot/reset"
OWN_CONFIG = f"{FOLDER}default"
"""Where it begins: whoever asks for it means itself."""
ROUNDS = 30
"""How often a held board asks, every 20 seconds, before it is reset; 95 times went well with 512 MB."""

_AGAIN = f"{FOLDER}again-"
_FAILED = f"{FOLDER}failed"
_ASK_AGAIN = 200  # tenths of a second
_ASK_AGAIN_PRESSED = 600  # likewise, if somebody pressed a key


def asks_again(name: str) -> int | None:
    """Return how often who asks for a name has asked before; None: it is not a name for asking again.

    Args:
        name: What was asked for, with ``pxelinux.cfg/``.
    """
    if name == _FAILED:
        return ROUNDS
    count = name.removeprefix(_AGAIN)
    return int(count) if count != name and count.isascii() and count.isdigit() and len(count) < 3 else None


def render_pxelinux_bios(target: Target | None, base: str, rounds: int = 0) -> str:
    """Return the file for a board, or for a machine nobody knows (``None``).

    Args:
        target: What the board is to do.
        base: URL by which it reaches the boot listener, without a slash at the end.
        rounds: How often it has asked before; with ``ROUNDS`` it waits once more and is then reset.
    """
    if target is None:
        return _hold(None, why_held(None), rounds)
    if rounds >= ROUNDS:
        return _hold(target, "asking again after a reset", rounds)
    match target.intent:
        case BootIntent.LOCAL:
            return _local(target)
        case BootIntent.STEP:
            try:
                return _step(target, base)
            except quoting.QuotingError as error:
                return _hold(target, f"cannot boot {what(target)}: {error}", rounds)
        case BootIntent.HOLD | BootIntent.ENVIRONMENT | BootIntent.DENY:
            return _hold(target, why_held(target), rounds)


def _local(target: Target) -> str:
    return _file(
        "DEFAULT local",
        "PROMPT 0",
        "NOESCAPE 1",
        f"SAY Hostler: {quoting.words(target.board)}: booting from the local disk",
        "LABEL local",
        # Leaves with an error, which has a BIOS go on with its next boot device.
        "LOCALBOOT -1",
    )


def _step(target: Target, base: str) -> str:
    system = payload(target, base)
    cmdline = quoting.pxelinux_bios_cmdline(system.cmdline)
    # The small one is padded to a multiple of four, so what follows needs no alignment of its own.
    archives = [
        *([CONFIG] if system.config is not None else []),
        *([INITRD] if system.initrd is not None else []),
    ]
    return _file(
        "DEFAULT step",
        "PROMPT 0",
        "NOESCAPE 1",
        "ONERROR again",
        f"SAY Hostler: {quoting.words(target.board)}: booting {quoting.words(system.title)}",
        "LABEL step",
        f"LINUX {KERNEL}",
        *([f"INITRD {','.join(archives)}"] if archives else []),
        *([f"APPEND {cmdline}"] if cmdline else []),
        # BOOTIF=01-MAC: the interface that reached us.
        "IPAPPEND 2",
        "LABEL again",
        f"CONFIG {_FAILED}",
    )


def _hold(target: Target | None, message: str, rounds: int) -> str:
    who = quoting.words(target.board) if target else "unknown machine"
    return _file(
        "DEFAULT again",
        # Not with NOESCAPE, which would leave the prompt out, and with it the wait.
        "PROMPT 1",
        f"TIMEOUT {_ASK_AGAIN}",
        f"TOTALTIMEOUT {_ASK_AGAIN_PRESSED}",
        "IMPLICIT 0",
        "ALLOWOPTIONS 0",
        f"SAY Hostler: {who}: {quoting.words(message)}",
        "LABEL again",
        f"CONFIG {_AGAIN}{rounds + 1}" if rounds < ROUNDS else f"LINUX {RESET}",
    )


def _file(*lines: str) -> str:
    return "\n".join(lines) + "\n"
