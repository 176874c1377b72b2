"""Only Debian itself is taken over from the host's package sources."""

from __future__ import annotations

import pytest

from hostler.build.errors import PackageError
from hostler.build.sources import codename, debian_sources, host_sources

DEB822 = """\
# the mirror
Types: deb deb-src
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.invalid/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://database.invalid/apt
Suites: bookworm-pgdg
Components: main

Types: deb
URIs: http://keyed.invalid/debian
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
"""
LIST = """\
deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian bookworm main contrib # ours
deb [arch=amd64] http://containers.invalid/linux/debian bookworm stable
deb http://node.invalid nodistro main
deb-src http://mirror.invalid/debian bookworm main
# deb http://old.invalid/debian bookworm main
"""


def test_deb822_sources() -> None:
    """Suites of the release with component main stay; other vendors, backports and disabled ones go."""
    sources = debian_sources([("debian.sources", DEB822)], "bookworm")
    assert [(source.uris, source.suites) for source in sources] == [
        (("http://mirror.invalid/debian",), ("bookworm", "bookworm-updates")),
        (("http://keyed.invalid/debian",), ("bookworm-security",)),
    ]
    assert sources[0].stanza().splitlines()[-1] == "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"
    assert sources[1].stanza().splitlines()[-2:] == [" .", " abc"]


def test_one_line_sources() -> None:
    """Options count, an architecture does not: ours may be another than the host's."""
    (source,) = debian_sources([("sources.list", LIST)], "bookworm")
    assert source.uris == ("http://mirror.invalid/debian",)
    assert source.signed_by == "/k.gpg"
    assert "amd64" not in source.stanza()


def test_no_debian_source_is_said(tmp_path) -> None:
    """Without a Debian source the message names the release and the places looked at."""
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "os-release").write_text("VERSION_CODENAME=bookworm\n")
    with pytest.raises(PackageError, match="bookworm main"):
        host_sources(tmp_path)


def test_codename() -> None:
    """Quoted or not, the codename is found; without one the machine is no Debian."""
    assert codename('NAME=x\nVERSION_CODENAME="trixie"\n') == "trixie"
    with pytest.raises(PackageError):
        codename("NAME=Arch\n")
