"""Which of this machine's apt sources lead to Debian itself.

The host may list other vendors too (a browser, a database, a cloud tool). Their packages have no
place in an image, and one of them being unreachable must not stop a build, so only entries that
offer a Debian suite with the component ``main`` are taken over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.build.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_POCKETS = ("", "-updates", "-security", "/updates")
_LIST_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<components>[^#]*)"
)


@dataclass(frozen=True, slots=True)
class Source:
    """One place packages come from, as apt's deb822 format has it.

    Attributes:
        uris: Base addresses.
        suites: Suites (``bookworm``, ``bookworm-updates`` …).
        signed_by: Path of a keyring, or an armoured key, or "" for the trusted keys of the host.
        trusted: The administrator's word that no signature is needed.
    """

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    signed_by: str = ""
    trusted: str = ""

    def stanza(self, components: Sequence[str] = ("main",)) -> str:
        """The source as a deb822 paragraph."""
        lines = [
            "Types: deb",
            f"URIs: {' '.join(self.uris)}",
            f"Suites: {' '.join(self.suites)}",
            f"Components: {' '.join(components)}",
        ]
        if self.signed_by:
            lines.append(f"Signed-By:{_folded(self.signed_by)}")
        if self.trusted:
            lines.append(f"Trusted: {self.trusted}")
        return "\n".join(lines) + "\n"


def codename(os_release: str) -> str:
    """The codename in the text of ``/etc/os-release``.

    Raises:
        PackageError: There is none, so this is no Debian release.
    """
    match = re.search(r"^VERSION_CODENAME=\"?([a-z]+)\"?\s*$", os_release, re.MULTILINE)
    if match is None:
        raise PackageError("/etc/os-release names no VERSION_CODENAME; images are built on a Debian release")
    return match.group(1)


def debian_sources(texts: Iterable[tuple[str, str]], release: str) -> list[Source]:
    """The Debian sources in the contents of apt's source files.

    Args:
        texts: File name (``.list`` or ``.sources``) and content of each.
        release: Codename of the release whose suites count.
    """
    wanted = {release + pocket for pocket in _POCKETS}
    found: list[Source] = []
    for name, text in texts:
        parsed = _parse_deb822(text) if name.endswith(".sources") else _parse_list(text)
        for source, components in parsed:
            suites = tuple(suite for suite in source.suites if suite.strip("/") in wanted)
            if suites and "main" in components and source.uris:
                found.append(Source(source.uris, suites, source.signed_by, source.trusted))
    return list(dict.fromkeys(found))


def host_sources(etc: Path) -> list[Source]:
    """The Debian sources of the machine whose configuration lies in ``etc`` (``/etc``).

    Raises:
        PackageError: There is none.
    """
    release = codename((etc / "os-release").read_text())
    parts = sorted((etc / "apt/sources.list.d").glob("*"))
    files = [path for path in (etc / "apt/sources.list", *parts) if path.suffix in (".list", ".sources")]
    sources = debian_sources([(path.name, path.read_text()) for path in files if path.is_file()], release)
    if not sources:
        raise PackageError(
            f"no apt source of this machine offers Debian {release} main; looked at {etc}/apt/sources.list"
            f" and {etc}/apt/sources.list.d"
        )
    return sources


def _parse_list(text: str) -> list[tuple[Source, set[str]]]:
    found = []
    for line in text.splitlines():
        match = _LIST_LINE.match(line.strip())
        if match is None:
            continue
        options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
        source = Source(
            (match["uri"],), (match["suite"],), options.get("signed-by", ""), options.get("trusted", "")
        )
        found.append((source, set(match["components"].split())))
    return found


def _parse_deb822(text: str) -> list[tuple[Source, set[str]]]:
    found = []
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for paragraph in re.split(r"\n[ \t]*\n", "\n".join(lines)):
        fields: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t"):
                if key:
                    fields[key] += "\n" + line
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if (
            fields.get("enabled", "yes").lower() in ("no", "false", "0")
            or "deb" not in fields.get("types", "").split()
        ):
            continue
        source = Source(
            tuple(fields.get("uris", "").split()),
            tuple(fields.get("suites", "").split()),
            fields.get("signed-by", ""),
            fields.get("trusted", ""),
        )
        found.append((source, set(fields.get("components", "").split())))
    return found


def _folded(value: str) -> str:
    # An armoured key goes on over many lines; apt wants each of them indented.
    return value if value.startswith("\n") else f" {value}"
