"""What a kernel, or a program that is started like one, is made for, as its first bytes say."""

from __future__ import annotations

HEAD = 4096
"""Bytes from its beginning that are enough."""
_PE_ARCHITECTURES = {0x8664: "amd64", 0xAA64: "arm64"}  # PE format, COFF file header, Machine


def kernel_arch(head: bytes) -> str | None:
    """Return the architecture of a kernel by its first bytes, or None where they do not say.

    Args:
        head: Its first ``HEAD`` bytes, or all it has.
    """
    if head[0x202:0x206] == b"HdrS":  # Documentation/arch/x86/boot.rst
        return "amd64"
    if head[0x38:0x3C] == b"ARM\x64":  # Documentation/arch/arm64/booting.rst
        return "arm64"
    if head[:2] == b"MZ":
        # An EFI program: what unpacks a kernel that is compressed, or no Linux at all.
        at = int.from_bytes(head[0x3C:0x40], "little")
        if head[at : at + 4] == b"PE\0\0":
            return _PE_ARCHITECTURES.get(int.from_bytes(head[at + 4 : at + 6], "little"))
    return None
