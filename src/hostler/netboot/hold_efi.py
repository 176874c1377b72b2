"""A program for UEFI firmware that says why, waits 20 seconds and resets the board, so that it asks again.

A board that boots a unified kernel image has no boot loader that could wait. Firmware that gets no file, or
one that ends, boots its next entry, and a board that is held must not boot from its disk. So it is given
this in the place of its kernel. It uses what every UEFI firmware has (UEFI 2.10, section 4): the console of
the system table, Stall of the boot services, ResetSystem of the runtime services.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hostler.netboot import quoting
from hostler.netboot.holding import why_held
from hostler.wire.pe import Machine, program

if TYPE_CHECKING:
    from hostler.netboot.table import Target

# Offsets: in EFI_SYSTEM_TABLE 0x40 ConOut, 0x58 RuntimeServices, 0x60 BootServices; in
# EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL 8 OutputString; in EFI_BOOT_SERVICES 0xF8 Stall; in
# EFI_RUNTIME_SERVICES 0x68 ResetSystem.
_X64 = bytes.fromhex(
    "53"  #                 push rbx
    "4883ec20"  #           sub  rsp, 32             the caller's home for four arguments
    "4889d3"  #             mov  rbx, rdx            the system table
    "488b4b40"  #           mov  rcx, [rbx+0x40]
    "488d152d000000"  #     lea  rdx, [rip+0x2d]     text
    "ff5108"  #             call [rcx+8]             OutputString
    "b9002d3101"  #         mov  ecx, 20000000       microseconds
    "488b4360"  #           mov  rax, [rbx+0x60]
    "ff90f8000000"  #       call [rax+0xf8]          Stall
    "31c9"  #               xor  ecx, ecx            EfiResetCold
    "31d2"  #               xor  edx, edx
    "4531c0"  #             xor  r8d, r8d
    "4531c9"  #             xor  r9d, r9d
    "488b4358"  #           mov  rax, [rbx+0x58]
    "ff5068"  #             call [rax+0x68]          ResetSystem
    "f4"  #           stop: hlt
    "ebfd"  #               jmp  stop
).ljust(64, b"\xf4")  # text: UEFI's strings lie at even addresses
_ARM64 = struct.pack(
    "<18I",
    0xAA0103F3,  #       mov  x19, x1              the system table
    0xF9402020,  #       ldr  x0, [x1, #0x40]
    0x10000201,  #       adr  x1, text
    0xF9400408,  #       ldr  x8, [x0, #8]
    0xD63F0100,  #       blr  x8                   OutputString
    0xF9403268,  #       ldr  x8, [x19, #0x60]
    0xF9407D08,  #       ldr  x8, [x8, #0xf8]
    0xD285A000,  #       movz x0, #0x2d00
    0xF2A02620,  #       movk x0, #0x131, lsl #16  20000000 microseconds
    0xD63F0100,  #       blr  x8                   Stall
    0xF9402E68,  #       ldr  x8, [x19, #0x58]
    0xF9403508,  #       ldr  x8, [x8, #0x68]
    0xD2800000,  #       mov  x0, #0               EfiResetCold
    0xD2800001,  #       mov  x1, #0
    0xD2800002,  #       mov  x2, #0
    0xD2800003,  #       mov  x3, #0
    0xD63F0100,  #       blr  x8                   ResetSystem
    0x14000000,  # stop: b    stop
)  # text:
HOLD_PROGRAMS = {"hold-x64.efi": Machine.X64, "hold-arm64.efi": Machine.ARM64}
"""Names under which it is there for machines nobody knows, too."""
_CODE = {Machine.X64: _X64, Machine.ARM64: _ARM64}


def hold_program(machine: Machine, target: Target | None, why: str = "") -> bytes:
    """Return the program for a board, or for a machine nobody knows (``None``).

    Args:
        machine: Its processor.
        target: The board.
        why: What its screen is to say; empty: why it is held.
    """
    who = quoting.words(target.board) if target else "unknown machine"
    text = f"\r\nHostler: {who}: {quoting.words(why or why_held(target))}\r\n"
    return program(machine, _CODE[machine] + text.encode("utf-16-le") + b"\0\0")
