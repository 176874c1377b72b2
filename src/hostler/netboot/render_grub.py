"""What GRUB reads on a board with UEFI: a loop that never ends, and in each round what to do now.

Written for GRUB 2.06 as Debian signs it for the network (``grubnetx64.efi.signed``): its modules are built
in, under Secure Boot it loads no other, and HTTP is not among them. So everything comes by TFTP. There is no
menu and no way into its shell here. ``exit`` is of no use: GRUB has no exit status, and UEFI firmware takes a
boot option that returns success for the one the user wanted. ``sleep`` counts by a clock that GRUB measured
for one millisecond: on a virtual board whose host was busy then, it takes several times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot import quoting
from hostler.netboot.holding import why_held
from hostler.netboot.payload import payload, what

if TYPE_CHECKING:
    from hostler.netboot.table import Target

ROUND = "grub/round.cfg"
"""What to do now, rendered anew for each round."""
KERNEL = "grub/kernel"
INITRD = "grub/initrd"
STAGES = ("kernel", "initrd", "boot")

_ASK_AGAIN_SECONDS = 20
_REBOOT_SECONDS = 3


def render_grub_loop(lease_seconds: int = 3600) -> str:
    """Return ``grub.cfg``, the same for every machine.

    GRUB reads its configuration once, and a configuration that names another one nests without end.

    Args:
        lease_seconds: How long leases last: GRUB does not renew by itself, so the loop does at half of it.
    """
    rounds = " ".join(map(str, range(max(1, lease_seconds // 2 // _ASK_AGAIN_SECONDS))))
    return _script(
        "while true; do",
        f"  for round in {rounds}; do",
        f"    if source /{ROUND}; then true; else echo 'Hostler: no answer, asking again'; fi",
        f"    sleep {_ASK_AGAIN_SECONDS}",
        "  done",
        "  net_bootp $net_default_interface",
        "done",
        "reboot",
    )


def render_grub_once() -> str:
    """Return ``grub.cfg`` of a disk in memory, where nothing changes: a round, then the firmware again."""
    return _script(f"source /{ROUND}", f"sleep {_ASK_AGAIN_SECONDS}", "reboot")


def render_grub(target: Target | None, base: str) -> str:
    """Return what a board is to do now, or a machine nobody knows (``None``).

    Args:
        target: What the board is to do.
        base: URL by which what is started reaches the boot listener, without a slash at the end.
    """
    if target is None:
        return _hold(None, why_held(None))
    match target.intent:
        case BootIntent.LOCAL:
            return _local(target)
        case BootIntent.STEP:
            try:
                return _step(target, base)
            except quoting.QuotingError as error:
                return _hold(target, f"cannot boot {what(target)}: {error}")
        case BootIntent.HOLD | BootIntent.ENVIRONMENT | BootIntent.DENY:
            return _hold(target, why_held(target))


def failed_file(stage: str, secured: str) -> str:
    """Return the name a board asks for when a stage has failed; ``secured`` is ``y`` under Secure Boot."""
    return f"grub/failed-{stage}-{secured}.cfg"


def failure(name: str) -> str | None:
    """Return in words what a board tells by asking for a file; None: it is an ordinary one."""
    for stage in STAGES:
        if name == failed_file(stage, ""):
            return f"GRUB failed with its {stage}"
        if name == failed_file(stage, "y"):
            return (
                f"GRUB failed with its {stage}. Secure Boot is on: a kernel that came whole is not signed by "
                "a key this board trusts (Debian's kernels are)"
            )
    return None


def _local(target: Target) -> str:
    # Its first stage is not served to it any more, so its firmware goes on with the next boot option.
    return _script(
        f"echo {_words(f'{target.board}: booting from the local disk')}",
        f"sleep {_REBOOT_SECONDS}",
        "reboot",
    )


def _step(target: Target, base: str) -> str:
    system = payload(target, base)
    cmdline = quoting.grub_cmdline(system.cmdline)
    boot = ["    set stage=boot", "    boot"]
    if system.config is not None or system.initrd is not None:
        boot = ["  set stage=initrd", f"  if initrd /{INITRD}; then", *boot, "  fi"]
    return _script(
        f"echo {_words(f'{target.board}: booting {system.title}')}",
        "set stage=kernel",
        f"if linux {' '.join(filter(None, (f'/{KERNEL}', cmdline)))}; then",
        *boot,
        "fi",
        f"source /{failed_file('${stage}', '${lockdown}')}",
        "echo Hostler: ${stage} failed, asking again",
    )


def _hold(target: Target | None, message: str) -> str:
    who = target.board if target else "unknown machine"
    return _script(
        f"echo {_words(f'{who}: {message}')}",
        "echo Hostler: mac $net_default_mac address $net_default_ip",
    )


def _words(text: str) -> str:
    return f"'Hostler: {quoting.words(text)}'"


def _script(*lines: str) -> str:
    return "\n".join(lines) + "\n"
