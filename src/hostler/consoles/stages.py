"""Words by which the stages of a boot are known on a console, and what ended it."""

from __future__ import annotations

import re

STAGES = (
    ("firmware", re.compile(rb"^(?:SeaBIOS \(version|U-Boot (?:SPL )?20\d\d\.|iPXE \d|BdsDxe: starting )")),
    ("kernel", re.compile(rb"Linux version \d[^ ]*")),
    # The agent's first process: its kernel may have been told to be quiet.
    ("kernel", re.compile(rb"^hostler: \[[\d.]+\] drivers loaded")),
    ("panic", re.compile(rb"Kernel panic - not syncing.*")),
    ("oops", re.compile(rb"(?:Internal error: |BUG: |Oops: ).*")),
    ("login", re.compile(rb"^(?!Last )\S+ login:(?: |$)")),
    # iPXE gives each of its errors a page of its own.
    ("loader-error", re.compile(rb"https?://ipxe\.org/[0-9a-f]{8}")),
    # U-Boot: source, bootm, booti, the device tree.
    (
        "loader-error",
        re.compile(
            rb"^(?:SCRIPT FAILED|Wrong Image (?:Format|Type)|Bad Linux ARM64 Image magic"
            rb"|ERROR: can't get kernel image|ERROR: Did not find a cmdline Flattened Device Tree"
            rb"|Could not find a valid device tree)"
        ),
    ),
    (
        "loader-error",
        re.compile(
            rb"^error: .*(?:file `.*' not found|no such (?:device|partition|disk)|unknown filesystem"
            rb"|you need to load the kernel first|invalid magic number|invalid arch|out of memory"
            rb"|premature end of file|can't find command|couldn't send network packet|timeout reading)"
        ),
    ),
    # SeaBIOS; EDK2.
    ("nothing-to-boot", re.compile(rb"^(?:No bootable device\.|BdsDxe: No bootable option)")),
    # Debian's initramfs-tools; dracut.
    (
        "no-root",
        re.compile(
            rb"^(?:Gave up waiting for root|ALERT!  .* does not exist|No root device specified"
            rb"|.*dracut-initqueue.*(?:timeout|Could not boot))"
        ),
    ),
    ("emergency", re.compile(rb"^You are in (?:emergency|rescue) mode")),
    ("disk-error", re.compile(rb"(?:I/O error, dev |Buffer I/O error on dev )\S+.*")),
    # EDK2 of firmware, then shim: a program that no key vouches for.
    ("unsigned", re.compile(rb"^BdsDxe: failed to (?:load|start) .*: (?:Access Denied|Security Violation)")),
    (
        "unsigned",
        re.compile(rb"^(?:Verification failed|start_image\(\) returned).*Security (?:Policy )?Violation"),
    ),
    # GRUB 2.06 with Debian's patches, with upstream's verifier, and later ones.
    (
        "unsigned-kernel",
        re.compile(rb"error: .*(?:bad shim signature|prohibited by secure boot policy|invalid signature)"),
    ),
)
"""A stage's name, and how a line of it looks."""

ADVICE = {
    "unsigned": 'Secure Boot lets only signed programs start; set loader = "grub" for its class',
    "unsigned-kernel": "Secure Boot lets only a kernel start that is signed by a key the board trusts; "
    "use Debian's, or enroll the key of yours",
}

ANY = re.compile(
    rb"@hostler |drivers loaded|SeaBIOS|U-Boot|iPXE|BdsDxe|Linux version|Kernel panic|Internal error: |BUG: "
    rb"|Oops: |login:"
    rb"|ipxe\.org/|SCRIPT FAILED|Wrong Image|Bad Linux|(?:ERROR|error): |device tree|bootable"
    rb"|Gave up waiting|ALERT!|No root device|dracut-initqueue|You are in |I/O error"
    rb"|Access Denied|Security (?:Policy )?Violation"
)
"""What every one of them, and a marker, contains: most of what is said is passed over with one search."""
