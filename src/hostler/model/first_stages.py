"""The file that firmware of each architecture is to fetch first, by the number it tells (option 93)."""

from __future__ import annotations

BIOS_FILE = "undionly.kpxe"
UEFI_X64_FILE = "snponly.efi"
UEFI_ARM64_FILE = "snponly-arm64.efi"

# Some x64 firmware calls itself EBC, which is 9: RFC 4578 had 7 and 9 swapped (errata).
FIRST_STAGES = {0: BIOS_FILE, 7: UEFI_X64_FILE, 9: UEFI_X64_FILE, 11: UEFI_ARM64_FILE}
"""Files of iPXE by option 93 number: BIOS, UEFI x64, EBC, UEFI ARM64."""
