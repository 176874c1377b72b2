"""A unified kernel image: one EFI program that is kernel, initramfs and command line, made when it is served.

``systemd-stub`` (Debian's ``systemd-boot-efi``) finds them in the sections of its own program. The program
is different for every boot, for the agent's configuration is in its initramfs, so nobody can sign it: under
Secure Boot firmware refuses it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot.hold_efi import hold_program
from hostler.netboot.payload import payload
from hostler.netboot.quoting import QuotingError
from hostler.netboot.virtual_file import MissingFileError, VirtualFileError
from hostler.wire import pe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hostler.netboot.table import Target

    Parts = tuple[bytes | Path, ...]

log = logging.getLogger(__name__)

STUBS = {pe.Machine.X64: "linuxx64.efi.stub", pe.Machine.ARM64: "linuxaa64.efi.stub"}
"""The boot files it is made of, by processor."""

_MACHINES = {"amd64": pe.Machine.X64, "arm64": pe.Machine.ARM64}
_OS_RELEASE = b'ID=hostler\nNAME="Hostler"\nPRETTY_NAME="Hostler"\n'


def uki_for(target: Target, base: str, artefact: Callable[[str], Path | None]) -> Parts | None:
    """Return what a board's image consists of now; None: it is to go on to its disk.

    A board that is to wait, or for which no image can be made, gets a program that says why and asks again.

    Args:
        target: The board.
        base: URL by which it reaches the boot listener, without a slash at the end.
        artefact: Finds a registered file by its id.
    """
    machine = _MACHINES[target.arch]
    if target.intent not in (BootIntent.LOCAL, BootIntent.STEP):
        return (hold_program(machine, target),)
    if target.intent is BootIntent.LOCAL:
        return None
    try:
        system = payload(target, base)
        stub = _registered(target.files.get(STUBS[machine]), STUBS[machine], artefact)
        kernel = _registered(system.kernel, "kernel", artefact)
        initrd = system.initrd_parts(artefact)
        if initrd is None:
            raise MissingFileError("its initramfs is not registered here")
        return uki_parts(stub, kernel, initrd, system.cmdline)
    except (QuotingError, VirtualFileError) as error:
        log.warning("%s: no image can be made for it: %s", target.board, error)
        return (hold_program(machine, target, f"no image can be made for it: {error}"),)


def uki_parts(stub: Path, kernel: Path, initrd: Sequence[bytes | Path], cmdline: str) -> Parts:
    """Return what an image consists of, in order.

    Args:
        stub: systemd's EFI stub for the kernel's architecture.
        kernel: A kernel that is an EFI program itself.
        initrd: What the initramfs consists of; empty: there is none.
        cmdline: The kernel's command line.

    Raises:
        VirtualFileError: A file cannot be read, or is not what it should be.
    """
    try:
        begin = _read(kernel, pe.HEADER_BYTES)
        stub_bytes = _read(stub)
        if pe.machine_of(begin) != pe.machine_of(stub_bytes):
            raise VirtualFileError("the kernel is for another processor than its EFI stub")
        contents: list[tuple[str, Sequence[bytes | Path]]] = [
            (".osrel", (_OS_RELEASE,)),
            (".cmdline", (cmdline.encode(),)),
            *([(".initrd", initrd)] if initrd else []),
            (".linux", (kernel,)),  # the last one: old stubs run it where it is, and its data lie behind it
        ]
        sections = [pe.Section(name, sum(map(_size, parts))) for name, parts in contents]
        sections[-1] = pe.Section(".linux", sections[-1].size, pe.image_size(begin), code=True)
        plan = pe.add_sections(stub_bytes, sections)
    except pe.PeError as error:
        raise VirtualFileError(f"its kernel or EFI stub: {error}") from error
    whole: list[bytes | Path] = [plan.head]
    for (_, parts), padding in zip(contents, plan.padding, strict=True):
        whole += [*parts, bytes(padding)]
    return tuple(whole)


def _registered(identity: str | None, name: str, artefact: Callable[[str], Path | None]) -> Path:
    path = artefact(identity) if identity else None
    if path is None:
        raise MissingFileError(f"{name} is not registered; run: hostler agent build")
    return path


def _read(path: Path, length: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError as error:
        raise MissingFileError(f"{path}: {error.strerror}") from error


def _size(part: bytes | Path) -> int:
    if isinstance(part, bytes):
        return len(part)
    try:
        return part.stat().st_size
    except OSError as error:
        raise MissingFileError(f"{part}: {error.strerror}") from error
