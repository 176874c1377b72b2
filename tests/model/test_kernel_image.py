"""What a kernel is made for, by its first bytes."""

from __future__ import annotations

import pytest

from hostler.model.kernel_image import kernel_arch


def efi(machine: int) -> bytes:
    """Return the beginning of an EFI program, as a kernel that unpacks itself has it."""
    return (
        b"MZ"
        + bytes(0x3A)
        + (0x80).to_bytes(4, "little")
        + bytes(0x40)
        + b"PE\0\0"
        + machine.to_bytes(2, "little")
    )


@pytest.mark.parametrize(
    ("head", "arch"),
    [
        (bytes(0x202) + b"HdrS", "amd64"),
        (bytes(0x38) + b"ARM\x64", "arm64"),
        (efi(0x8664), "amd64"),
        (efi(0xAA64), "arm64"),
        (efi(0x014C), None),
        (b"MZ", None),
        (b"MZ" + bytes(0x3A) + b"\xff\xff\xff\xff", None),
        (b"\x1f\x8b", None),
        (b"", None),
    ],
)
def test_the_first_bytes_say_what_a_kernel_is_for(head: bytes, arch: str | None) -> None:
    """Linux for x86 and arm64, and EFI programs; anything else says nothing."""
    assert kernel_arch(head) == arch
