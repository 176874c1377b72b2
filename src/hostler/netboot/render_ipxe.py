"""The iPXE script a board gets when it asks: one for every boot intent.

Written for iPXE 1.0.0+git-20190125 (Debian 12's ROMs in QEMU and its ``ipxe`` package) and later.
No script ever ends in a shell: whatever fails, the board waits a little and asks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot import quoting
from hostler.netboot.holding import why_held
from hostler.netboot.payload import payload, what

if TYPE_CHECKING:
    from hostler.netboot.table import Target

ASK_AGAIN_SECONDS = 20
TRIES = 3


def render_ipxe(
    target: Target | None,
    base: str,
    lease_seconds: int = 3600,
    system_base: str | None = None,
    conflict: str = "",
) -> str:
    """Return the script for a board, or for a machine nobody knows (``None``).

    Args:
        target: What the board is to do.
        base: URL of the boot listener without a slash at the end, for example ``http://10.77.0.1:8067``.
        lease_seconds: How long leases last: iPXE does not renew by itself, so a held board does in the
            script.
        system_base: The listener's URL for the system that is started; None: ``base``.
        conflict: Why it cannot be told which board it is, where ``target`` is None; empty: nobody knows it.
    """
    base = quoting.url(base)
    if target is None:
        return _hold(None, conflict or why_held(None), base, lease_seconds)
    match target.intent:
        case BootIntent.LOCAL:
            return _local(target)
        case BootIntent.STEP:
            try:
                return _step(target, base, system_base or base)
            except quoting.QuotingError as error:
                return _hold(target, f"cannot boot {what(target)}: {error}", base, lease_seconds)
        case BootIntent.HOLD | BootIntent.ENVIRONMENT | BootIntent.DENY:
            return _hold(target, why_held(target), base, lease_seconds)


def _local(target: Target) -> str:
    # UEFI firmware takes a boot option that returns success for the one the user wanted: OVMF then opens its
    # menu and waits for ever. One that fails makes it go on with the next. A BIOS goes on after either.
    return _script(
        f"echo Hostler: {quoting.words(target.board)}: booting from the local disk",
        "iseq ${platform} efi && exit 1 || exit 0",
    )


def _step(target: Target, base: str, system_base: str) -> str:
    system = payload(target, system_base)
    archives: dict[str, str] = {}
    if system.config is not None:
        archives["config.cpio"] = f"{base}/boot/config.cpio"
    if system.initrd is not None:
        archives["initrd"] = quoting.url(f"{base}/boot/file/{system.initrd}")
    # An EFI stub finds the files by these names; a BIOS gets them one after the other.
    names = " ".join(f"initrd={name}" for name in archives)
    cmdline = f"{quoting.ipxe_cmdline(system.cmdline)} {names}".strip()
    fetch_archives = [
        line
        for name, address in archives.items()
        for line in (
            f"set stage {name.removesuffix('.cpio')}",
            f"initrd --name {name} {address} || goto failed",
        )
    ]
    return _script(
        f"echo Hostler: {quoting.words(target.board)}: booting {quoting.words(system.title)}",
        "set tries:int32 0",
        ":fetch",
        "imgfree ||",
        "set stage kernel",
        f"kernel --name kernel {quoting.url(f'{base}/boot/file/{system.kernel}')} {cmdline}".rstrip()
        + " || goto failed",
        *fetch_archives,
        "set stage boot",
        "boot || goto failed",
        ":failed",
        "inc tries ||",
        f"iseq ${{tries}} {TRIES} && goto report ||",
        "echo Hostler: ${stage} failed, trying again",
        "sleep 2 ||",
        "goto fetch",
        ":report",
        "imgfree ||",
        "echo Hostler: ${stage} failed ${tries} times, asking again",
        "sleep 10 ||",
        f"chain --autofree --replace {base}/boot/ipxe?failed=${{stage}} || goto report",
        "goto report",
    )


def _hold(target: Target | None, message: str, base: str, lease_seconds: int) -> str:
    who = quoting.words(target.board) if target else "unknown machine"
    rounds = max(1, lease_seconds // 2 // ASK_AGAIN_SECONDS)
    return _script(
        "isset ${held} || set held:int32 0",
        ":hold",
        f"echo Hostler: {who}: {quoting.words(message)}",
        "echo Hostler: uuid ${uuid} serial ${serial} mac ${netX/mac} address ${netX/ip}",
        f"sleep {ASK_AGAIN_SECONDS} ||",
        "inc held ||",
        f"iseq ${{held}} {rounds} || goto ask",
        "set held:int32 0",
        "dhcp ||",
        ":ask",
        f"chain --autofree --replace {base}/boot/ipxe || goto hold",
        "goto hold",
    )


def _script(*lines: str) -> str:
    return "\n".join(("#!ipxe", *lines)) + "\n"
