"""Drives for what no emulator has: they keep to the state machines of the standards, power or not."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostler.agent.ata import AtaAnswer, AtaCommand, AtaError
from hostler.agent.mmc import MmcCommand, MmcError
from hostler.agent.nvme import AdminCommand, NvmeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def scramble(path: Path | None) -> None:
    """Leave on a disk what a purge may leave: anything."""
    if path is not None:
        path.write_bytes(b"\xa7" * path.stat().st_size)


@dataclass
class StandInNvme:
    """An NVMe drive with one namespace (NVM Express 1.4, 5.14, 5.15, 5.23, 5.24, 8.15).

    Attributes:
        sanicap: What it can sanitize by: bit 0 crypto, 1 block, 2 overwrite.
        oacs: Bit 1: it knows Format NVM.
        fna: Bit 2: Format NVM can erase by key; bit 1: its secure erase concerns all namespaces.
        estimates: Seconds for overwrite, block erase and crypto erase; all ones: not reported.
        rounds: How often the log is asked until a sanitize is done.
        fails: Whether sanitizing fails.
        media: The file that holds its data.
    """

    sanicap: int = 0b11
    oacs: int = 2
    fna: int = 4
    estimates: tuple[int, int, int] = (0xFFFFFFFF, 120, 5)
    rounds: int = 3
    fails: bool = False
    media: Path | None = None
    nsid: int = 1
    left: int = 0
    status: int = 0
    done: list[tuple[int, int]] = field(default_factory=list)

    def admin(self, command: AdminCommand) -> bytes:
        """Carry a command out, or refuse it as the standard says."""
        if command.opcode == 0x06:
            return self._controller() if command.cdw10 == 1 else self._namespace()
        if command.opcode == 0x02:
            return self._log(command.cdw10 & 0xFF)
        if self.left:
            raise NvmeError("status 0x1d")  # Sanitize In Progress
        self.done.append((command.opcode, command.cdw10))
        if command.opcode == 0x84:
            return self._sanitize(command.cdw10 & 7)
        if command.opcode == 0x80 and self.oacs & 2:
            scramble(self.media)
            return b""
        raise NvmeError("status 0x1")  # Invalid Command Opcode

    def _controller(self) -> bytes:
        data = bytearray(4096)
        data[64:72] = b"1.2.3   "
        struct.pack_into("<H", data, 256, self.oacs)
        struct.pack_into("<I", data, 328, self.sanicap)
        data[524] = self.fna
        return bytes(data)

    def _namespace(self) -> bytes:
        data = bytearray(4096)
        data[26], data[29] = 0x01, 0x00
        return bytes(data)

    def _log(self, page: int) -> bytes:
        data = bytearray(512)
        if page == 0x02:
            struct.pack_into("<BHBBB", data, 0, 0, 310, 100, 10, 3)
        elif page == 0x81 and self.sanicap:
            if self.left:
                self.left -= 1
                if not self.left:
                    self.status = 3 if self.fails else 1
                    scramble(self.media)
            share = 65536 * (self.rounds - self.left) // self.rounds if self.left else 65535
            struct.pack_into("<HHIIII", data, 0, share, self.status, 0, *self.estimates)
        else:
            raise NvmeError("status 0x109")  # Invalid Log Page
        return bytes(data)

    def _sanitize(self, action: int) -> bytes:
        if action == 1:
            self.status = 0
        elif {4: 1, 2: 2, 3: 4}[action] & self.sanicap:
            self.left, self.status = self.rounds, 2
        else:
            raise NvmeError("status 0x2")  # Invalid Field in Command
        return b""


@dataclass
class StandInAta:
    """An ATA drive with Security and Sanitize (ACS-3, 4.18 figure of states, 4.19, 7.36, 7.38 to 7.43).

    Attributes:
        rotational: Whether it has platters.
        security: Whether it has the feature set, and with enhanced erase.
        sanitizes: Bits 12 to 15 of word 59.
        frozen: Whether the firmware froze it.
        password: What it is locked with, or None.
        unlocked: Whether it was unlocked since its power came.
        rounds: How often the status is asked until a sanitize is done.
        estimates: Words 89 and 90: how long SECURITY ERASE UNIT takes, in units of two minutes; 0: not told.
        breaks: Raise this at SECURITY ERASE UNIT: the power is cut, or it refuses.
        unfinished: Whether SECURITY ERASE UNIT is answered as if it were done, and is not.
        silent: Whether it tells nothing of itself any more once it was erased.
        media: The file that holds its data.
    """

    rotational: bool = True
    security: bool = True
    enhanced: bool = True
    sanitizes: int = 0
    frozen: bool = False
    password: bytes | None = None
    unlocked: bool = True
    rounds: int = 3
    left: int = 0
    done_well: bool = False
    prepared: bool = False
    estimates: tuple[int, int] = (60, 55)
    breaks: BaseException | None = None
    unfinished: bool = False
    silent: bool = False
    media: Path | None = None
    done: list[int] = field(default_factory=list)

    def power_cycle(self) -> None:
        """Lose the power: what has a password is locked now; a sanitize goes on."""
        self.unlocked, self.prepared = False, False

    def run(self, command: AtaCommand) -> AtaAnswer:
        """Carry a command out, or refuse it as the standard says."""
        if command.command == 0xEC:
            if self.silent and 0xF4 in self.done:
                return AtaAnswer(0x50, 0, 0, 0, bytes(512))
            return AtaAnswer(0x50, 0, 0, 0, self._identity())
        if command.command == 0xB4:
            return self._sanitize(command)
        self.done.append(command.command)
        if not self.security or self.frozen or command.command not in (0xF1, 0xF2, 0xF3, 0xF4, 0xF6):
            raise AtaError(f"command {command.command:#x}: error 0x4")
        given = command.sends[2:34]
        if command.command == 0xF1:
            self._refuse_unless(self.password is None or self.unlocked)
            self.password, self.unlocked = given, True
        elif command.command == 0xF2:
            self._refuse_unless(self.password == given)
            self.unlocked = True
        elif command.command == 0xF3:
            self.prepared = True
        elif command.command == 0xF4:
            if self.breaks is not None:
                raise self.breaks
            self._refuse_unless(self.prepared and self.password == given)
            if not self.unfinished:
                scramble(self.media)
                self.password, self.unlocked = None, True
        else:
            self._refuse_unless(self.password == given and self.unlocked)
            self.password = None
        return AtaAnswer(0x50, 0, 0, 0)

    def _refuse_unless(self, holds: bool) -> None:
        if not holds:
            raise AtaError("error 0x4")

    def _sanitize(self, command: AtaCommand) -> AtaAnswer:
        keys = {0x11: (13, 0x43727970), 0x12: (15, 0x426B4572), 0x14: (14, 0x4F5700000000)}
        if command.features in keys:
            bit, key = keys[command.features]
            self._refuse_unless(bool(self.sanitizes >> bit & 1) and command.lba == key)
            self.left, self.done_well = self.rounds, False
        elif self.left:
            self.left -= 1
            if not self.left:
                self.done_well = True
                scramble(self.media)
        count = (1 << 14 if self.left else 0) | (1 << 15 if self.done_well else 0)
        share = 65536 * (self.rounds - self.left) // self.rounds if self.left else 0xFFFF
        return AtaAnswer(0x50, 0, count, share)

    def _identity(self) -> bytes:
        words = [0] * 256
        words[59] = self.sanitizes
        words[89], words[90] = self.estimates
        words[217] = 7200 if self.rotational else 1
        enabled = self.password is not None
        bits = (self.security, enabled, enabled and not self.unlocked, self.frozen, False, self.enhanced)
        words[128] = sum(1 << bit for bit, is_set in enumerate(bits) if is_set)
        return struct.pack("<256H", *words)


@dataclass
class StandInEmmc:
    """An eMMC (JESD84-B51, 6.6.9, 6.6.13): what is erased is only unmapped until it is sanitized.

    Attributes:
        register: Its EXT_CSD.
        media: The file that holds its data.
        stale: Whether data is left in what is unmapped.
        refuses: Command that it refuses, or None.
        seconds: Longest time that one erase was given.
    """

    register: bytes
    media: Path | None = None
    stale: bool = True
    refuses: int | None = None
    erased: int = 0
    seconds: float = 0.0
    secured: int = 0
    span: tuple[int, int] = (0, 0)

    def run(self, commands: Sequence[MmcCommand]) -> bytes:
        """Carry commands out."""
        for command in commands:
            if command.opcode == self.refuses:
                raise MmcError(f"CMD{command.opcode}: Input/output error")
            if command.opcode == 35:
                self.span = command.argument, self.span[1]
            elif command.opcode == 36:
                self.span = self.span[0], command.argument
            elif command.opcode == 38:
                self.erased += self.span[1] - self.span[0] + 1
                self.seconds = max(self.seconds, command.seconds)
                scramble(self.media)
            elif command.opcode == 6 and command.argument == 0x03A50100:
                self.stale = self.erased < struct.unpack_from("<I", self.register, 212)[0]
            elif command.opcode != 8:
                raise MmcError(f"CMD{command.opcode}: Input/output error")
        return self.register if commands[-1].opcode == 8 else b""

    def secure_discard(self, first: int, count: int) -> None:
        """Erase for good."""
        del first
        self.secured += count
        scramble(self.media)
