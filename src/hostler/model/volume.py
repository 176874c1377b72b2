"""What a partition holds, as its first bytes tell it."""

from __future__ import annotations

from enum import StrEnum

from hostler.model.fat_layout import FatError, fat_layout

VOLUME_HEAD_BYTES = 128 * 1024
"""As much of a partition's beginning as is looked at: the mark of btrfs is at 64 KiB."""

_EXT_MAGIC_AT, _EXT_MAGIC = 0x438, b"\x53\xef"
_EXT_STATE_AT, _EXT_CLEAN, _EXT_ERRORS = 0x43A, 1, 2
_EXT_INCOMPAT_AT, _EXT_RECOVER = 0x460, 4
_BTRFS_AT, _BTRFS = 0x10040, b"_BHRfS_M"
_BTRFS_LOG_ROOT_AT = 0x10060
_MISREAD = 12
_PAGES = (4096, 8192, 16384, 65536)
_SWAP = b"SWAPSPACE2"
_SLEEPING = (b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001")
_LVM_SECTORS = (0, 512, 1024, 1536)


NOT_UNMOUNTED = "it was not unmounted"


class Volume(StrEnum):
    """A kind of content; ``UNKNOWN`` is any other."""

    EXT = "ext"
    XFS = "xfs"
    BTRFS = "btrfs"
    FAT = "fat"
    NTFS = "ntfs"
    SWAP = "swap"
    SLEEP = "hibernated system"
    LUKS = "LUKS"
    LVM = "LVM"
    EMPTY = "empty"
    UNKNOWN = "unknown"


def volume_of(head: bytes) -> Volume:
    """Tell what begins with these bytes, ``VOLUME_HEAD_BYTES`` of it or all of a smaller one."""
    for volume, at, mark in (
        (Volume.LUKS, 0, b"LUKS\xba\xbe"),
        (Volume.XFS, 0, b"XFSB"),
        (Volume.NTFS, 3, b"NTFS    "),
        (Volume.BTRFS, _BTRFS_AT, _BTRFS),
        (Volume.EXT, _EXT_MAGIC_AT, _EXT_MAGIC),
    ):
        if head[at : at + len(mark)] == mark:
            return volume
    if any(head[at : at + 8] == b"LABELONE" for at in _LVM_SECTORS):
        return Volume.LVM
    for page in _PAGES:
        mark = head[page - 10 : page]
        if mark == _SWAP:
            return Volume.SWAP
        if any(mark.startswith(sleeping) for sleeping in _SLEEPING):
            return Volume.SLEEP
    if head[510:512] == b"\x55\xaa" and (head[0x36:0x39] == b"FAT" or head[0x52:0x57] == b"FAT32"):
        return Volume.FAT
    return Volume.EMPTY if not any(head) else Volume.UNKNOWN


def swap_header(head: bytes) -> int:
    """Return the length in bytes of a swap area's header, a page of the machine that made it (mkswap(8))."""
    return next((page for page in _PAGES if head[page - 10 : page] == _SWAP), 0)


def trouble(head: bytes) -> str:
    """Say why a file system's allocation map is not to be trusted as it lies there; empty when it is.

    Sources: the kernel's fs/ext4/ext4.h (``s_state``, ``s_feature_incompat``) and, of btrfs,
    include/uapi/linux/btrfs_tree.h (``log_root``). Of NTFS partclone looks itself; XFS tells it in
    its log alone.
    """
    volume = volume_of(head)
    if volume is Volume.EXT:
        state, incompat = _number(head, _EXT_STATE_AT, 2), _number(head, _EXT_INCOMPAT_AT, 4)
        if state & _EXT_ERRORS:
            return "it has errors"
        if incompat & _EXT_RECOVER or not state & _EXT_CLEAN:
            return NOT_UNMOUNTED
    if volume is Volume.FAT:
        try:
            bits = fat_layout(head).bits
        except FatError as error:
            return str(error)
        # partclone 0.3.20 to 0.3.23 read every entry of its table in a wrong place, and leave files out.
        return "its map is misread where it is a FAT12" if bits == _MISREAD else ""
    if volume is Volume.BTRFS and _number(head, _BTRFS_LOG_ROOT_AT, 8):
        return NOT_UNMOUNTED
    return ""


def _number(head: bytes, at: int, length: int) -> int:
    return int.from_bytes(head[at : at + length], "little")
