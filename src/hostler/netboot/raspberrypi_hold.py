"""A program for a held Raspberry Pi that waits 20 seconds and resets the board, which then asks again.

The firmware of a Pi has no "wait, then ask again": what it cannot boot from the network it boots from the
next entry of its boot order, and a held board must not boot from its disk. So it is given this in the
place of a kernel. Pi 3 and 4 have no PSCI, so the reset is the one Linux uses
(``drivers/watchdog/bcm2835_wdt.c``): the watchdog of the power manager, password ``0x5a`` in the top byte.
Its address follows from the CPU. It runs wherever it is loaded, with caches and address translation off,
as the firmware starts a kernel.
"""

from __future__ import annotations

import struct

_CODE = (
    0xD53BE001,  # start:  mrs  x1, cntfrq_el0
    0xB5000041,  #         cbnz x1, known
    0xD2A066E1,  #         movz x1, #0x0337, lsl #16    54 MHz, should nobody have set the register
    0xD2800002,  # known:  movz x2, #SECONDS
    0x9B027C21,  #         mul  x1, x1, x2
    0xD53BE023,  #         mrs  x3, cntpct_el0
    0x8B030021,  #         add  x1, x1, x3
    0xD53BE023,  # wait:   mrs  x3, cntpct_el0
    0xEB01007F,  #         cmp  x3, x1
    0x54FFFFC3,  #         b.lo wait
    0xD5380004,  #         mrs  x4, midr_el1
    0xD3443C84,  #         ubfx x4, x4, #4, #12
    0xD2A7E205,  #         movz x5, #0x3f10, lsl #16    the power manager of a Pi 3
    0xD281A066,  #         movz x6, #0xd03              Cortex-A53
    0xEB06009F,  #         cmp  x4, x6
    0x540000E0,  #         b.eq reset
    0xD2BFC205,  #         movz x5, #0xfe10, lsl #16    of a Pi 4
    0xD281A106,  #         movz x6, #0xd08              Cortex-A72
    0xEB06009F,  #         cmp  x4, x6
    0x54000060,  #         b.eq reset
    0xD2AFA405,  #         movz x5, #0x7d20, lsl #16    of a Pi 5
    0xF2C00205,  #         movk x5, #0x0010, lsl #32
    0x52800147,  # reset:  movz w7, #0x000a             ten ticks of 15 µs
    0x72AB4007,  #         movk w7, #0x5a00, lsl #16
    0xB90024A7,  #         str  w7, [x5, #0x24]         PM_WDOG
    0x52800407,  #         movz w7, #0x0020             full reset
    0x72AB4007,  #         movk w7, #0x5a00, lsl #16
    0xB9001CA7,  #         str  w7, [x5, #0x1c]         PM_RSTC
    0xD503205F,  # stop:   wfe
    0x17FFFFFF,  #         b    stop
)
_SECONDS_AT = 3


def hold_program(seconds: int) -> bytes:
    """Return the program that resets the board after some seconds (less than 65,536)."""
    code = list(_CODE)
    code[_SECONDS_AT] |= seconds << 5
    return struct.pack(f"<{len(code)}I", *code)


HOLD_PROGRAM = hold_program(20)
"""What a held Raspberry Pi gets as its kernel."""
