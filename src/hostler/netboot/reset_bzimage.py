"""A program for a held PC that resets it, with the header of a Linux kernel: PXELINUX starts it as one.

PXELINUX can wait and read its configuration anew, but takes some memory each time and stops at a prompt when
that is used up. Its own program for a reset would need two modules more, and its way to start another boot
program hangs in 6.04 when it fetched by HTTP. The header is of boot protocol 2.03
(Documentation/arch/x86/boot.rst); the code runs in real mode, as the kernel's own first steps do.
"""

from __future__ import annotations

import struct

_CODE = bytes.fromhex(
    "fa"  # cli
    "b84000"  # mov ax, 0x40
    "8ed8"  # mov ds, ax
    "c70672003412"  # mov word [0x72], 0x1234   no memory test: the BIOS data area
    "baf90c"  # mov dx, 0xcf9               the chipset's reset control
    "b002"  # mov al, 2
    "ee"  # out dx, al
    "b006"  # mov al, 6
    "ee"  # out dx, al
    "b0fe"  # mov al, 0xfe                 the keyboard controller, where there is no such
    "e664"  # out 0x64, al
    "f4"  # stop: hlt
    "ebfd"  # jmp stop
)
_SETUP = 0x1F1
_SECTOR = 512


def _image() -> bytes:
    image = bytearray(3 * _SECTOR)  # boot sector, one sector of setup, one of "kernel" that is never reached
    header = struct.pack(
        "<BHIHHHHBB4sHIHHBBHIIIIHHII",
        1,  # setup_sects
        0,  # root_flags
        _SECTOR // 16,  # syssize, in paragraphs
        0,  # ram_size
        0xFFFF,  # vid_mode: normal
        0,  # root_dev
        0xAA55,
        0xEB,  # jmp to behind the header
        0x2E,
        b"HdrS",
        0x0203,
        0,  # realmode_swtch
        0,  # start_sys_seg
        0,  # kernel_version
        0,  # type_of_loader
        1,  # loadflags: the kernel goes high
        0x8000,  # setup_move_size
        0x100000,  # code32_start
        0,  # ramdisk_image
        0,  # ramdisk_size
        0,  # bootsect_kludge
        0,  # heap_end_ptr
        0,
        0,  # cmd_line_ptr
        0x37FFFFFF,  # initrd_addr_max
    )
    image[_SETUP : _SETUP + len(header)] = header
    start = _SETUP + len(header)
    image[start : start + len(_CODE)] = _CODE
    return bytes(image)


RESET_BZIMAGE = _image()
"""The program."""
