"""KIWI's OEM images for installing over the network: what their tar holds, made into a description.

``NAME.x86_64-1.0.install.tar`` has ``pxeboot.NAME….kernel`` and ``.initrd`` (older ones ``.initrd.xz``), the
image ``NAME….xz``, its checksum beside it, and ``NAME….append`` with options for the installer's command line
(KIWI NG's documentation, "Deploy and Run System in a PXE Environment").
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
_IMAGE = re.compile(r"(?!pxeboot\.).*(?:\.xz|\.raw|\.gz|\.zst)\Z")


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
    append = " ".join(" ".join(texts.values()).split())
    if "{" in append:
        raise SourceError(f"{told}: the options in its .append have braces, which a template would read")
    arch = next((ours for theirs, ours in _ARCHES.items() if theirs in image), None)
    # The installer looks for a checksum and for boot options beside the image, under names like it.
    stem = image.rpartition(".")[0]
    beside = sorted({image, *(name for name in files if name.startswith(f"{stem}.") and name != image)})
    lines = [
        'description = "a KIWI OEM image, put on the disk by its own installer"',
        *([f'arch = "{arch}"'] if arch else []),
        f"kernel = {_quoted(kernel)}",
        f"initrd = {_quoted(initrd)}",
        "installs = true",
        f"cmdline = {_quoted(_CMDLINE.format(image=image, append=append).strip())}",
        "[files]",
        *(f"{_quoted(name)} = {_quoted(name)}" for name in beside),
        "[done]",
        'signal = "second-boot"',
        'within = "2h"',
    ]
    return "\n".join(lines) + "\n"


_CMDLINE = (
    "rd.kiwi.install.pxe rd.kiwi.install.image={{{{ file_url('{image}') }}}} rd.neednet=1 ip=dhcp "
    "console={{{{ board.console }}}} {append}"
)


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
