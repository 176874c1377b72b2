"""A partition that can be changed without its disk being written: changes are kept in memory.

The device mapper's snapshot target reads from the partition and writes to a loop device over a file in
memory (the kernel's Documentation/admin-guide/device-mapper/snapshot.rst). It is spoken to by its ioctls
(<linux/dm-ioctl.h>), loop devices by theirs (<linux/loop.h>).
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.work import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.agent.disks import Machine

_CREATE, _REMOVE, _SUSPEND, _LOAD, _STATUS = 3, 4, 6, 9, 12
_DM = struct.Struct("<3I3Ii3IQ128s129s7x")
_TARGET = struct.Struct("<QQiI16s")
_VERSION = (4, 0, 0)
_BUFFER = 4096
_GET_FREE, _SET_FD, _CLEAR_FD = 0x4C82, 0x4C00, 0x4C01
_CHUNK_SECTORS = 8  # a page: the least a change takes in memory
_FEWEST, _MOST = 64 << 20, 1 << 30
_NODE_SECONDS = 10.0


class NoOverlayError(StepError):
    """The kernel has no means for it; the text says which is missing."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A partition with changes on it.

    Attributes:
        name: Of the device mapper's device.
        device: What to read and write.
        origin: The partition.
    """

    name: str
    device: Path
    origin: Path

    def check(self) -> None:
        """Raise StepError if more was changed than memory holds: then nothing can be read any more."""
        state = _state(self.name)
        if "/" not in state:  # "used/total metadata", or one word for what has gone wrong
            raise StepError(f"more of {self.origin} had to be changed than memory holds ({state})")


@contextmanager
def overlaid(device: Path, sectors: int, machine: Machine) -> Iterator[Overlay]:
    """Return a device that shows a partition and takes changes, which are gone after the context.

    Args:
        device: The partition, or a disk.
        sectors: Its length, in units of 512 bytes.
        machine: Where devices appear.

    Raises:
        NoOverlayError: The kernel lacks the device mapper's snapshots or loop devices.
    """
    with ExitStack() as stack:
        try:
            changes = stack.enter_context(_loop(_room(machine), machine))
            name = f"hostler-{device.name}"
            minor = stack.enter_context(_mapped(name, sectors, f"{device} {changes} N {_CHUNK_SECTORS}"))
            node = machine.dev / f"dm-{minor}"
            _await(node)
        except OSError as error:
            raise NoOverlayError(f"{device} cannot be overlaid: {error.strerror or error}") from None
        yield Overlay(name, node, device)


def _room(machine: Machine) -> int:
    """Return how much may be changed: half of what memory has left."""
    try:
        lines = (machine.proc / "meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return _FEWEST
    return max(_FEWEST, min(_MOST, free // 2)) // 512 * 512


@contextmanager
def _loop(size: int, machine: Machine) -> Iterator[Path]:
    """A block device of ``size`` bytes in memory; takes no more of it than is written."""
    _load_module("loop")
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile(prefix="hostler-changes-", dir="/run"))
        file.truncate(size)
        control = os.open(machine.dev / "loop-control", os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, control)
        node = machine.dev / f"loop{fcntl.ioctl(control, _GET_FREE)}"
        _await(node)
        loop = os.open(node, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, loop)
        fcntl.ioctl(loop, _SET_FD, file.fileno())
        stack.callback(fcntl.ioctl, loop, _CLEAR_FD)
        yield node


@contextmanager
def _mapped(name: str, sectors: int, parameters: str) -> Iterator[int]:
    """A device of the device mapper with one snapshot target; yields its minor number."""
    _load_module("dm-snapshot")
    device, _ = _ask(_CREATE, name)
    try:
        words = parameters.encode() + b"\0"
        target = _TARGET.pack(0, sectors, 0, 0, b"snapshot") + words
        _ask(_LOAD, name, target.ljust(-(-len(target) // 8) * 8, b"\0"), targets=1)
        _ask(_SUSPEND, name)  # without the flag for suspending it means: resume
        yield (device & 0xFF) | (device >> 12 & 0xFFF00)
    finally:
        deadline = time.monotonic() + _NODE_SECONDS
        while True:
            try:
                _ask(_REMOVE, name)
            except OSError:  # busy while a reader that has closed it is being waited for
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                break


def _state(name: str) -> str:
    """Return what the snapshot target says of itself."""
    _, answer = _ask(_STATUS, name)
    start = struct.unpack_from("<I", answer, 16)[0] + _TARGET.size
    return answer[start:].partition(b"\0")[0].decode(errors="replace")


def _ask(command: int, name: str, payload: bytes = b"", targets: int = 0) -> tuple[int, bytes]:
    """Do an ioctl of the device mapper; returns the device number and the whole answer."""
    head = _DM.pack(*_VERSION, _BUFFER, _DM.size, targets, 0, 0, 0, 0, 0, name.encode(), b"")
    buffer = bytearray((head + payload).ljust(_BUFFER, b"\0"))
    control = os.open("/dev/mapper/control", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(control, 3 << 30 | _DM.size << 16 | 0xFD << 8 | command, buffer, True)
    finally:
        os.close(control)
    return struct.unpack_from("<Q", buffer, 40)[0], bytes(buffer)


def _load_module(name: str) -> None:
    # Nothing asks for these by a modalias, so that the initramfs has not loaded them.
    subprocess.run(["modprobe", "-q", name], check=False, timeout=30)


def _await(node: Path) -> None:
    deadline = time.monotonic() + _NODE_SECONDS
    while not node.exists():
        if time.monotonic() > deadline:
            raise NoOverlayError(f"the kernel made no device {node}")
        time.sleep(0.02)
