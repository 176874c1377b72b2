"""What a Linux command line may be so that every boot loader here passes it on as it is."""

from __future__ import annotations

import re

LONGEST = 1900
"""Linux takes 2,047 characters on x86 and arm64; loaders add ``initrd=``, ``BOOTIF=`` and the like."""
LONGEST_UBOOT = 511
"""U-Boot copies it into a buffer of CONFIG_SYS_CBSIZE bytes, 512 on the smaller boards."""

# Not in it: $ (expanded by iPXE, GRUB and U-Boot), backslash and apostrophe (macros of U-Boot's and GRUB's
# shells), # (a comment to iPXE when it begins a word), control characters, and what is not ASCII.
_SIGNS = re.compile(r"[A-Za-z0-9_.,:/=@%+~*!?<>()\[\]{}^\" ;&|\-]*\Z")
# GRUB gives any other quotation mark a backslash, which Linux does not know (lib/cmdline.c of both).
_PARAMETER = re.compile(r'(?:[^ "]|"[^"]*")+')
_QUOTED = re.compile(r'(?:[^ "=]+=)?"[^"]*"')
_ENDS_COMMAND = frozenset({"||", "&&", ";"})


def fault(cmdline: str, longest: int = LONGEST) -> str:
    """Tell why a command line cannot be passed on to a kernel by every loader; empty: it can.

    Args:
        cmdline: As it is to reach the kernel.
        longest: Most characters it may have.
    """
    if not _SIGNS.match(cmdline):
        bad = sorted({sign for sign in cmdline if not _SIGNS.match(sign) or sign == "\n"})
        return f"has {' '.join(map(repr, bad))}, which boot loaders would misread"
    if cmdline.count('"') % 2:
        return "has a quotation mark that is not closed"
    for parameter in _PARAMETER.findall(cmdline):
        if '"' in parameter and not _QUOTED.fullmatch(parameter):
            return f"has {parameter!r}, where quotation marks are not around a whole value"
    for word in cmdline.split():
        if word.startswith("-"):
            return f"has the word {word!r}, which a boot loader could take for an option of its own"
        if word in _ENDS_COMMAND:
            return f"has the word {word!r}, at which iPXE would end it"
    if len(cmdline) > longest:
        return f"has {len(cmdline)} characters; {longest} is the most"
    return ""
