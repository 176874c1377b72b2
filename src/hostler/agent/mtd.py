"""Raw flash of the board, as the kernel shows it: SPI-NOR and the like.

Numbers are those of <mtd/mtd-abi.h>. NAND is another thing: it has bad blocks, and what lies there is UBI's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from hostler.agent.work import DiskFaultError, NoDiskError, StepError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from hostler.agent.disks import Machine
    from hostler.model.json import Document

_MEMERASE, _MEMUNLOCK = 0x40084D02, 0x40084D06  # _IOW('M', 2 and 6, struct erase_info_user): start, length
_WRITEABLE = 0x400
_WHOLE = frozenset({"nor", "ram", "dataflash"})  # what can be written byte for byte, without bad blocks


@dataclass(frozen=True, slots=True)
class Flash:
    """A raw flash, or a part of one.

    Attributes:
        device: ``mtd0``.
        name: What the board's device tree or its driver calls it: ``spl``, ``u-boot-env``, ``spi0.0``.
        kind: ``nor``, ``nand``, …, as the kernel says.
        size: Bytes.
        erase_bytes: Bytes that are erased together.
        writable: Whether the kernel lets it be written.
    """

    device: str
    name: str
    kind: str
    size: int
    erase_bytes: int
    writable: bool

    def to_json(self) -> Document:
        """Return it as a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.device} ({self.name}, {self.kind}, {self.size} bytes)"


def find_flash(machine: Machine) -> list[Flash]:
    """Return all raw flash, in the kernel's order."""
    found = []
    for path in (machine.sys / "class/mtd").glob("mtd*"):
        if not path.name[3:].isdigit():  # mtd0ro is mtd0 once more
            continue
        texts = {name: _text(path / name) for name in ("name", "type", "size", "erasesize", "flags")}
        flags = int(texts["flags"] or "0", 0)
        size, erase = int(texts["size"] or 0), int(texts["erasesize"] or 0)
        found.append(Flash(path.name, texts["name"], texts["type"], size, erase, bool(flags & _WRITEABLE)))
    return sorted(found, key=lambda flash: int(flash.device[3:]))


def choose_flash(flashes: list[Flash], name: str) -> Flash:
    """Return the flash of this name, or of this device's name.

    Raises:
        NoDiskError: There is none, or more than one; the message names what there is.
        StepError: It cannot be written as it is.
    """
    matching = [flash for flash in flashes if flash.name == name] or [
        flash for flash in flashes if flash.device == name
    ]
    has = "; ".join(map(str, flashes)) or "none"
    if not matching:
        raise NoDiskError(f'there is no flash "{name}"; this board has: {has}')
    if len(matching) > 1:
        several = "; ".join(map(str, matching))
        raise NoDiskError(f'more than one flash is "{name}": {several}; name the device, such as mtd:mtd0')
    flash = matching[0]
    if flash.kind not in _WHOLE or not flash.erase_bytes:
        raise StepError(f"{flash} has bad blocks or cannot be erased; only NOR flash is written")
    if not flash.writable:
        raise StepError(f"{flash} is read-only, as the board's device tree or its driver says")
    return flash


class KernelFlash:
    """An open flash. Addresses and lengths are whole erase blocks where something is erased.

    Args:
        flash: Which.
        machine: Where the hardware is.

    Raises:
        StepError: It cannot be opened.
    """

    def __init__(self, flash: Flash, machine: Machine) -> None:
        self.flash = flash
        self._path = machine.dev / flash.device
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_SYNC | os.O_CLOEXEC)
        except OSError as error:
            raise StepError(f"{self._path} cannot be opened: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self, offset: int, length: int) -> bytes:
        """Return what lies there; raises DiskFaultError with the offset."""
        data = bytearray()
        try:
            while len(data) < length:
                piece = os.pread(self._fd, length - len(data), offset + len(data))
                if not piece:
                    raise DiskFaultError(f"{self._path}: ends at {offset + len(data)}")
                data += piece
        except OSError as error:
            raise self._failed("reading", length, offset, error) from error
        return bytes(data)

    def erase(self, offset: int, length: int) -> None:
        """Make all bits there one; raises DiskFaultError with the offset."""
        block = struct.pack("@II", offset, length)
        try:
            fcntl.ioctl(self._fd, _MEMUNLOCK, block)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL):  # it has no locks
                raise self._failed("unlocking", length, offset, error) from error
        try:
            fcntl.ioctl(self._fd, _MEMERASE, block)
        except OSError as error:
            raise self._failed("erasing", length, offset, error) from error

    def write(self, offset: int, data: bytes) -> None:
        """Make bits zero that are zero in the data; raises DiskFaultError with the offset."""
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(self._fd, data[done:], offset + done)
        except OSError as error:
            raise self._failed("writing", len(data), offset, error) from error

    def _failed(self, what: str, length: int, offset: int, error: OSError) -> DiskFaultError:
        return DiskFaultError(f"{self._path}: {what} {length} bytes at {offset}: {error.strerror}")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
