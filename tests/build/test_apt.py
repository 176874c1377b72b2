"""Packages come with the host's apt as the tool and none of its state; failures say what to do."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from hostler.build.apt import Apt
from hostler.build.errors import NetworkError, PackageError


def etc_with(tmp_path: Path, source: str) -> Path:
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    shutil.copy("/etc/os-release", tmp_path / "etc/os-release")
    (tmp_path / "etc/apt/sources.list").write_text(source)
    return tmp_path / "etc"


def test_another_architecture(packages: Path) -> None:
    """An arm64 package is chosen, fetched and recorded on any host; the second time from the cache."""
    apt = Apt("arm64", packages)
    (first,) = apt.fetch(["busybox-static"], lambda package: package.name == "busybox-static")
    assert first.package.arch == "arm64"
    assert first.path.read_bytes().startswith(b"!<arch>\n")
    inode = first.path.stat().st_ino
    assert apt.download([first.package]) == [first]
    assert first.path.stat().st_ino == inode


def test_a_damaged_archive_is_fetched_again(packages: Path) -> None:
    """A cached file that no longer has its hash is not used."""
    apt = Apt("arm64", packages)
    (archive,) = apt.fetch(["busybox-static"], lambda package: package.name == "busybox-static")
    with archive.path.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"damage")
    assert apt.download([archive.package]) == [archive]


def test_unknown_package(packages: Path) -> None:
    """The message names the package and the architecture."""
    with pytest.raises(PackageError, match=r"arm64: .*\n?(.*\n)*.*no-such-package-here"):
        Apt("arm64", packages).resolve(["no-such-package-here"])


def test_unknown_architecture(packages: Path) -> None:
    """Only what we build for."""
    with pytest.raises(PackageError, match='"sparc"'):
        Apt("sparc", packages)


def test_no_network(tmp_path: Path) -> None:
    """A mirror that nobody serves is a network error, at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    etc = etc_with(tmp_path, f"deb http://127.0.0.1:{port}/debian {Apt('amd64', tmp_path).release} main\n")
    with pytest.raises(NetworkError, match="cannot be reached"):
        Apt("amd64", tmp_path / "cache", etc=etc).update()
