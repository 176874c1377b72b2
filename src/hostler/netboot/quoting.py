"""One quoting function for each language that a boot answer is written in.

None of these languages has an escape that all its versions agree on, so what could start a new line,
a new command or an expansion is refused (in values) or replaced (in words for people).
"""

from __future__ import annotations

import re

MAX_UBOOT_CMDLINE = 511
"""U-Boot copies APPEND into a buffer of CONFIG_SYS_CBSIZE bytes, 512 on the smaller boards."""
MAX_PXELINUX_CMDLINE = 1900
"""Linux takes 2,047 on x86; PXELINUX and GRUB add ``initrd=``, ``BOOT_IMAGE=`` and ``BOOTIF=`` to it."""

_KERNEL_NAME = re.compile(r"[A-Za-z0-9_.\-]+\Z")
_KERNEL_VALUE = re.compile(r"[\x21\x23-\x7e ]*\Z")
# What Linux boot parameters are made of. Not in it: $ (expanded by iPXE and U-Boot), backslash and the
# apostrophe (U-Boot's macros), # (a comment to iPXE when it begins a word) and control characters. The
# semicolon is in cloud-init's ds=nocloud-net;s=URL, the ampersand in a URL with several fields.
_CMDLINE = re.compile(r"[A-Za-z0-9_.,:/=@%+~*!?<>()\[\]{}^\" ;&|\-]*\Z")
# As Linux splits it (lib/cmdline.c next_arg): at spaces outside quotation marks.
_PARAMETER = re.compile(r'(?:[^ "]|"[^"]*(?:"|\Z))+')
_QUOTED_VALUE = re.compile(r'(?P<name>[^ "=]+=)?(?:"(?P<quoted>[^"]*)"|(?P<bare>[^ "]*))\Z')
_ENDS_COMMAND = frozenset({"||", "&&", ";"})
# Brackets only around an IPv6 address: elsewhere they are a pattern to GRUB.
_URL = re.compile(r"(?:[a-z]+://\[[0-9a-f:.]+\])?[A-Za-z0-9_.,:/=@%+~?&\-]+\Z")
_NOT_TEXT = re.compile(r"[^A-Za-z0-9_.,:/=@%+~*!?()\[\]\-]")


class QuotingError(ValueError):
    """A value cannot be said in the language of this firmware; the message names the value's fault."""


def kernel_parameter(name: str, value: str | None = None) -> str:
    """Return ``name``, ``name=value`` or ``name="a value"`` for the Linux command line.

    Linux has quotes but no escape within them (``lib/cmdline.c`` next_arg), so a quotation mark
    in the value is refused, as are control characters.
    """
    if not _KERNEL_NAME.match(name):
        raise QuotingError(f"kernel parameter name {name!r} has characters outside A-Z a-z 0-9 _ . -")
    if value is None:
        return name
    if not _KERNEL_VALUE.match(value):
        raise QuotingError(f"kernel parameter {name}: {value!r} has a quotation mark or a control character")
    return f'{name}="{value}"' if " " in value else f"{name}={value}"


def ipxe_cmdline(cmdline: str) -> str:
    """Return a kernel command line as arguments of iPXE's ``kernel`` command.

    iPXE splits at white space, ends a command at the words ``||``, ``&&`` and ``;``, begins a comment at
    a word that starts with ``#`` and expands ``${}`` (``core/exec.c``); it has no quotes that all
    versions know.
    """
    words = _plain_cmdline(cmdline, "iPXE").split()
    for word in words:
        if word.startswith("-"):
            raise QuotingError(
                f"iPXE could take {word!r} in the kernel command line for an option of its own"
            )
        if word in _ENDS_COMMAND:
            raise QuotingError(f"iPXE would end the kernel command line at the word {word!r}")
    return " ".join(words)


def pxelinux_cmdline(cmdline: str) -> str:
    """Return a kernel command line for an ``APPEND`` line read by U-Boot or PXELINUX.

    The line ends at a newline; U-Boot then expands ``${}``, ``$()``, backslashes and apostrophes in it
    (``cli_simple_process_macros``).
    """
    text = _plain_cmdline(cmdline, "U-Boot")
    if len(text) > MAX_UBOOT_CMDLINE:
        raise QuotingError(
            f"the kernel command line has {len(text)} characters; U-Boot takes {MAX_UBOOT_CMDLINE}"
        )
    return text


def pxelinux_bios_cmdline(cmdline: str) -> str:
    """Return a kernel command line for an ``APPEND`` line read by PXELINUX on a PC.

    It expands nothing; a hyphen alone would mean "nothing" (``com32/elflink/ldlinux/readconfig.c``).
    """
    text = _plain_cmdline(cmdline, "PXELINUX")
    if len(text) > MAX_PXELINUX_CMDLINE:
        raise QuotingError(
            f"the kernel command line has {len(text)} characters; PXELINUX is given {MAX_PXELINUX_CMDLINE}"
        )
    if text == "-":
        raise QuotingError("the kernel command line is a hyphen, which PXELINUX takes for none")
    return text


def grub_cmdline(cmdline: str) -> str:
    """Return a kernel command line as arguments of GRUB's ``linux`` command.

    In apostrophes GRUB takes everything as it is (``grub-core/script/yylex.l``). But it writes the line anew
    for the kernel: an argument with a space gets quotation marks around it all, and one within it gets a
    backslash (``grub-core/lib/cmdline.c``), which Linux does not know. So ``note="two words"`` is given
    without its marks; Linux reads ``"note=two words"`` as the same.
    """
    text = _plain_cmdline(cmdline, "GRUB")
    if len(text) > MAX_PXELINUX_CMDLINE:
        raise QuotingError(
            f"the kernel command line has {len(text)} characters; GRUB is given {MAX_PXELINUX_CMDLINE}"
        )
    arguments = []
    for word in _PARAMETER.findall(text):
        match = _QUOTED_VALUE.match(word)
        if match is None:
            raise QuotingError(f"the kernel command line has {word!r}, which GRUB would give a backslash")
        arguments.append(f"'{match['name'] or ''}{match['quoted'] or match['bare'] or ''}'")
    return " ".join(arguments)


def raspberrypi_cmdline(cmdline: str) -> str:
    """Return a kernel command line for ``cmdline.txt``.

    The firmware passes the first line on as it is, behind what it adds itself.
    """
    return _plain_cmdline(cmdline, "a Raspberry Pi's firmware")


def url(text: str) -> str:
    """Return a URL that is one word in every boot language, or refuse it."""
    if not _URL.match(text) or text.startswith("-") or text in ("&&", "||"):
        raise QuotingError(f"URL {text!r} has characters a boot loader could misread")
    return text


def words(text: str, limit: int = 200) -> str:
    """Return words for people, harmless in every boot language.

    What the languages could misread becomes ``?``, white space one space, and no word begins with a hyphen or
    a hash sign. At most ``limit`` characters.
    """
    plain = (_NOT_TEXT.sub("?", word).lstrip("-") for word in text.split())
    return " ".join(word for word in plain if word)[:limit].rstrip()


def _plain_cmdline(cmdline: str, reader: str) -> str:
    if not _CMDLINE.match(cmdline):
        bad = sorted({sign for sign in cmdline if not _CMDLINE.match(sign)})
        raise QuotingError(
            f"the kernel command line has {' '.join(map(repr, bad))}, which {reader} would misread"
        )
    return " ".join(cmdline.split(" ")).strip()
