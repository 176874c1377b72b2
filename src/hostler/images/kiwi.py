"""KIWI's OEM images for installing over the network: what their tar holds, made into a description.

The tar has ``pxeboot.NAME.kernel`` and ``pxeboot.NAME.initrd`` (or ``.initrd.xz``), which install;
``NAME.xz``, the image; ``NAME.md5`` or ``.sha256``; ``NAME.initrd``, the installed system's own;
``NAME.config.bootoptions``, with ``pxeboot.`` before it in some versions; and ``NAME.append`` with options
for the installer's command line, a placeholder for the image's address among them
(``kiwi/builder/install.py``). The installer puts ``.md5``, ``.kernel``, ``.initrd`` and
``.config.bootoptions`` in place of ``.xz`` in the image's address to find these
(``kiwi-dump-image-lib.sh``), and then starts the installed system by kexec, or restarts if the image says
so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hostler.images.source import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXTS = (".append",)
"""Ends of the names of members that are read here and not kept."""
_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
_IMAGE = re.compile(r"(?!pxeboot\.).*\.xz\Z")


def description(files: Mapping[str, int], texts: Mapping[str, str], told: str) -> str:
    """Return an ``image.toml`` for what such a tar holds.

    Args:
        files: The kept members by name, with their sizes.
        texts: Members that ``TEXTS`` names, by name.
        told: What the tar is called in errors.

    Raises:
        SourceError: it is not such a tar.
    """
    kernel = _one(files, re.compile(r"pxeboot\..*\.kernel\Z"), "kernel (pxeboot.….kernel)", told)
    initrd = _one(files, re.compile(r"pxeboot\..*\.initrd(\.xz)?\Z"), "initrd (pxeboot.….initrd)", told)
    image = _one(files, _IMAGE, "image (….xz)", told)
    words = " ".join(texts.values()).split()
    append = " ".join(word for word in words if not word.startswith(_SAID_ALREADY))
    if "{" in append:
        raise SourceError(f"{told}: the options in its .append have braces, which a template would read")
    arch = next((ours for theirs, ours in _ARCHES.items() if theirs in image), None)
    stem = image.removesuffix(".xz")
    beside = {name: name for name in files if name.startswith(f"{stem}.")}
    # In the tar this is a link to the installer's kernel, and the other may have a longer name.
    beside[f"{stem}.kernel"] = kernel
    options = f"{stem}.config.bootoptions"
    if f"pxeboot.{options}" in files:
        beside.setdefault(options, f"pxeboot.{options}")
    lines = [
        'description = "a KIWI OEM image, put on the disk by its own installer"',
        *([f'arch = "{arch}"'] if arch else []),
        f"kernel = {_quoted(kernel)}",
        f"initrd = {_quoted(initrd)}",
        "installs = true",
        f"cmdline = {_quoted(_CMDLINE.format(image=image, append=append).strip())}",
        "[files]",
        *(f"{_quoted(name)} = {_quoted(place)}" for name, place in sorted(beside.items())),
        "[done]",
        'signal = "console"',
        'pattern = "login:"',
        'within = "2h"',
    ]
    return "\n".join(lines) + "\n"


# The system that is started by kexec is to have the serial console too.
_CMDLINE = (
    "rd.kiwi.install.pxe rd.kiwi.install.image={{{{ file_url('{image}') }}}} rd.kiwi.install.pass.bootparam "
    "rd.neednet=1 ip=dhcp "
    "{{% if metadata.disk is defined %}}rd.kiwi.oem.installdevice={{{{ metadata.disk }}}} {{% endif %}}"
    "console={{{{ board.console }}}} {append}"
)
_SAID_ALREADY = ("rd.kiwi.install.pxe", "rd.kiwi.install.image=")


def _one(files: Mapping[str, int], pattern: re.Pattern[str], what: str, told: str) -> str:
    found = sorted(name for name in files if pattern.match(name) and "/" not in name)
    if len(found) != 1:
        there = ", ".join(found) or "none"
        raise SourceError(
            f"{told}: has no image.toml, and as KIWI's tar for installing over the network it should have "
            f"one {what}, but has {there}"
        )
    return found[0]


def _quoted(text: str) -> str:
    if not re.fullmatch(r"[\x20-\x7e]*", text) or '"' in text or "\\" in text:
        raise SourceError(f"{text!r} has signs that a name or an option here cannot have")
    return f'"{text}"'
