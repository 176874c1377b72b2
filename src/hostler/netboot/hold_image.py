"""A program for arm64 boards that waits 20 seconds and resets the board: how U-Boot is made to ask again.

A ``pxelinux.cfg`` file has no way to say "wait, then ask again": when its labels are used up, U-Boot
boots the next device, and a board that is held must not boot from its disk. So the held board is given
this in the place of a kernel, with the header of an arm64 ``Image`` (Documentation/arm64/booting.rst). It
waits by the generic timer and calls PSCI SYSTEM_RESET (ARM DEN 0022): first by HVC, as QEMU and
hypervisors want it; where that traps, by SMC, as Trusted Firmware-A wants it. It touches no device and no
memory.
"""

from __future__ import annotations

import struct

_HEADER = struct.pack(
    "<IIQQQQQQ4sI",
    0x14000010,  # b start
    0,
    0,  # text_offset
    0x1000,  # image_size
    0b1010,  # flags: little endian, 4 KiB pages, may lie anywhere
    0,
    0,
    0,
    b"ARM\x64",
    0,
)
_CODE = (
    0xD53BE001,  # start:  mrs  x1, cntfrq_el0
    0xD2800282,  #         mov  x2, #20
    0x9B027C21,  #         mul  x1, x1, x2
    0xD53BE023,  #         mrs  x3, cntpct_el0
    0x8B030021,  #         add  x1, x1, x3
    0xD53BE023,  # wait:   mrs  x3, cntpct_el0
    0xEB01007F,  #         cmp  x3, x1
    0x54FFFFC3,  #         b.lo wait
    0x10003D04,  #         adr  x4, vectors
    0xD5384245,  #         mrs  x5, currentel
    0xF10010BF,  #         cmp  x5, #4
    0x54000061,  #         b.ne el2
    0xD518C004,  #         msr  vbar_el1, x4
    0x14000002,  #         b    call
    0xD51CC004,  # el2:    msr  vbar_el2, x4
    0xD5033FDF,  # call:   isb
    0xD2800006,  #         mov  x6, #0
    0x52800120,  #         mov  w0, #0x0009
    0x72B08000,  #         movk w0, #0x8400, lsl #16    PSCI SYSTEM_RESET
    0xD4000002,  #         hvc  #0
    0xB50000A6,  # other:  cbnz x6, stop                both have been tried
    0xD2800026,  #         mov  x6, #1
    0x52800120,  #         mov  w0, #0x0009
    0x72B08000,  #         movk w0, #0x8400, lsl #16
    0xD4000003,  #         smc  #0
    0xD503205F,  # stop:   wfe
    0x17FFFFFF,  #         b    stop
)
_OTHER = len(_HEADER) + 4 * 20
_VECTORS = 0x800  # the table of exception vectors is aligned to 2 KiB
_SYNCHRONOUS = (_VECTORS, _VECTORS + 0x200)  # taken from this level with SP_EL0 and with SP_ELx


def _branch(at: int, to: int) -> int:
    return 0x14000000 | ((to - at) // 4 & 0x03FFFFFF)


def _image() -> bytes:
    image = bytearray(_SYNCHRONOUS[-1] + 4)
    image[: len(_HEADER)] = _HEADER
    struct.pack_into(f"<{len(_CODE)}I", image, len(_HEADER), *_CODE)
    for vector in _SYNCHRONOUS:
        struct.pack_into("<I", image, vector, _branch(vector, _OTHER))
    return bytes(image)


HOLD_IMAGE = _image()
"""The program, to be served where a held board asks for a kernel."""
