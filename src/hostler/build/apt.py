"""Fetch Debian packages of any architecture without touching this machine's own apt.

Each architecture has an apt of its own below the cache directory: its lists, an empty package
database, the downloaded archives. Proxies, credentials and keys of the host's apt stay in force.
Needs no root.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build.cache import file_digest, locked, space_errors
from hostler.build.errors import BuildError, NetworkError, PackageError, SpaceError, ToolFailedError
from hostler.build.progress import silent
from hostler.build.sources import codename, host_sources
from hostler.build.tool import find, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hostler.build.progress import Progress

ARCHITECTURES = ("amd64", "arm64")
_UPDATE_DEADLINE = 300.0
_QUERY_DEADLINE = 120.0
_DOWNLOAD_DEADLINE = 900.0
_LISTS_FRESH_SECONDS = 6 * 3600.0
_BATCH = 8  # packages per apt call: enough to keep its connection busy, few enough to show progress
_URI_LINE = re.compile(
    r"^'(?P<uri>[^']+)' (?P<file>(?P<name>[^_ ]+)_(?P<version>[^_ ]+)_(?P<arch>[^_ .]+)\.deb) (?P<size>\d+)"
)
_REPLACED_FIELDS = ("Filename:", "Size:", "SHA256:", "MD5sum:", "SHA1:", "SHA512:")
_SAYS_NETWORK = (
    "Temporary failure resolving",
    "Could not connect",
    "Could not resolve",
    "Cannot initiate the connection",
    "Connection timed out",
    "Connection failed",
    "Network is unreachable",
    "Failed to fetch",
)
_SAYS_SPACE = ("No space left on device", "You don't have enough free space")
_SAYS_PACKAGE = (
    "Unable to locate package",
    "has no installation candidate",
    "unmet dependencies",
    "Can't find a source to download",
    "Unable to correct problems",
)


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package as apt chose it.

    Attributes:
        name: Name.
        version: Version, epoch included.
        arch: ``amd64``, ``arm64`` or ``all``.
        size: Bytes of the archive.
    """

    name: str
    version: str
    arch: str
    size: int


@dataclass(frozen=True, slots=True)
class Archive:
    """A downloaded package.

    Attributes:
        package: Which.
        path: The ``.deb`` file.
        sha256: Of the file; apt has checked it against the signed index.
    """

    package: Package
    path: Path
    sha256: str


class Apt:
    """An apt of its own for one architecture.

    Args:
        arch: ``amd64`` or ``arm64``.
        cache: Directory for lists and archives of all architectures.
        progress: Told about downloads.
        etc: Configuration of the host.
        beside: A component to read beside ``main``. It has lists of its own: a mirror that lacks it is to
            stop nothing else.
    """

    def __init__(
        self,
        arch: str,
        cache: Path,
        progress: Progress = silent,
        etc: Path = Path("/etc"),
        beside: str | None = None,
    ) -> None:
        if arch not in ARCHITECTURES:
            raise PackageError(f'unknown architecture "{arch}"; known are {", ".join(ARCHITECTURES)}')
        self.arch = arch
        self._root = cache.absolute() / (f"apt-{arch}-{beside}" if beside else f"apt-{arch}")
        self._components = ("main", beside) if beside else ("main",)
        self._progress = progress
        self._etc = etc
        self._archives = self._root / "archives"
        self.sources_file = self._root / "debian.sources"

    def update(self, *, force: bool = False) -> None:
        """Read the package lists, unless that was done within six hours from the same sources.

        Raises:
            NetworkError: The sources cannot be reached (and there are no lists of earlier).
            PackageError: The host has no Debian source.
        """
        stamp = self._root / "updated"
        with space_errors(self._root):
            self._prepare()
            fresh = stamp.exists() and 0 <= time.time() - stamp.stat().st_mtime < _LISTS_FRESH_SECONDS
            if fresh and not force:
                return
            self._progress("reading package lists", 0, 1)
            with locked(self._root / "lock"):
                try:
                    self._run("apt-get", "update", "-q", "--error-on=any", deadline=_UPDATE_DEADLINE)
                except NetworkError:
                    if force or not stamp.exists():
                        raise
                    return  # yesterday's lists still name packages that the cache may hold
                stamp.touch()
            self._progress("reading package lists", 1, 1)

    @property
    def release(self) -> str:
        """Codename of the Debian release of this machine, such as ``bookworm``."""
        return codename((self._etc / "os-release").read_text())

    def resolve(self, names: Sequence[str]) -> list[Package]:
        """What ``names`` and all they depend on come to on an empty system; no recommendations.

        Raises:
            PackageError: A name is unknown or its dependencies cannot be met.
        """
        self.update()
        text = self._run(
            "apt-get",
            "install",
            "-qq",
            "-y",
            "--no-install-recommends",
            "--print-uris",
            *names,
            deadline=_QUERY_DEADLINE,
        )
        packages = []
        for line in text.splitlines():
            match = _URI_LINE.match(line)
            if match is not None:
                version = match["version"].replace("%3a", ":").replace("%3A", ":")
                packages.append(Package(match["name"], version, match["arch"], int(match["size"])))
        if not packages:
            raise PackageError(f"apt chose nothing for {', '.join(names)} on {self.arch}")
        return sorted(packages)

    def download(self, packages: Iterable[Package]) -> list[Archive]:
        """Fetch ``packages``; those already in the cache are taken from there.

        Raises:
            NetworkError: They cannot be fetched.
            SpaceError: The cache's file system is full.
        """
        wanted = sorted(packages)
        with space_errors(self._root):
            self._prepare()
            with locked(self._root / "lock"):
                return self._download(wanted)

    def fetch(self, names: Sequence[str], keep: Callable[[Package], bool] = lambda _: True) -> list[Archive]:
        """`resolve`, then `download` what ``keep`` wants of it.

        The lists are read again once when the mirror no longer has what they name.
        """
        chosen = [package for package in self.resolve(names) if keep(package)]
        try:
            return self.download(chosen)
        except NetworkError:
            self.update(force=True)
            return self.download([package for package in self.resolve(names) if keep(package)])

    def describe_index(self, archives: Sequence[Archive]) -> str:
        """The package index of ``archives`` in Debian's words, files named as they lie in the cache."""
        names = [f"{archive.package.name}={archive.package.version}" for archive in archives]
        text = self._run("apt-cache", "show", "--no-all-versions", *names, deadline=_QUERY_DEADLINE)
        files = {archive.package.name: archive for archive in archives}
        stanzas = []
        for stanza in text.strip().split("\n\n"):
            name = stanza.partition("\n")[0].removeprefix("Package: ")
            kept = [line for line in stanza.splitlines() if not line.startswith(_REPLACED_FIELDS)]
            archive = files[name]
            size, digest = archive.path.stat().st_size, archive.sha256
            kept += [f"Filename: ./{archive.path.name}", f"Size: {size}", f"SHA256: {digest}"]
            stanzas.append("\n".join(kept))
        return "\n\n".join(stanzas) + "\n"

    def _download(self, wanted: list[Package]) -> list[Archive]:
        book = self._archives / "sha256.json"
        known: dict[str, str] = json.loads(book.read_text()) if book.exists() else {}
        missing = [package for package in wanted if not self._have(package, known)]
        total = sum(package.size for package in missing)
        done = 0
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            self._progress(f"fetching packages ({self.arch})", done, total)
            self._run(
                "apt-get",
                "download",
                "-q",
                *(f"{package.name}={package.version}" for package in batch),
                deadline=_DOWNLOAD_DEADLINE,
                directory=self._archives,
            )
            for package in batch:
                path = self._path(package)
                if not path.exists():
                    raise BuildError(f"apt did not leave {path.name} in {self._archives}")
                known[path.name] = file_digest(path)
                done += package.size
            scratch = book.with_suffix(".new")
            scratch.write_text(json.dumps(known, indent=1, sort_keys=True))
            scratch.replace(book)
        if missing:
            self._progress(f"fetching packages ({self.arch})", total, total)
        return [Archive(package, self._path(package), known[self._path(package).name]) for package in wanted]

    def _have(self, package: Package, known: dict[str, str]) -> bool:
        path = self._path(package)
        if path.name not in known or not path.exists():
            return False
        if path.stat().st_size == package.size and file_digest(path) == known[path.name]:
            return True
        path.unlink()  # cut short or damaged since
        return False

    def _path(self, package: Package) -> Path:
        return self._archives / f"{package.name}_{package.version.replace(':', '%3a')}_{package.arch}.deb"

    def _prepare(self) -> None:
        for place in ("lists/partial", "archives", "none/partial", "preferences.d"):
            (self._root / place).mkdir(parents=True, exist_ok=True)
        (self._root / "status").touch()
        text = "\n".join(source.stanza(self._components) for source in host_sources(self._etc))
        if not self.sources_file.exists() or self.sources_file.read_text() != text:
            self.sources_file.write_text(text)
            (self._root / "updated").unlink(missing_ok=True)
        (self._root / "apt.conf").write_text(self._configuration())

    def _configuration(self) -> str:
        root = self._root
        settings = {
            "APT::Architecture": self.arch,
            "Dir::State": root,
            "Dir::State::status": root / "status",
            "Dir::State::lists": root / "lists",
            "Dir::State::extended_states": root / "extended_states",
            "Dir::Cache": root,
            # Not where ours lie: apt does not name the address of what it finds there.
            "Dir::Cache::archives": root / "none",
            "Dir::Etc::sourcelist": self.sources_file,
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": root / "preferences.d",
            "Dir::Log": root / "log",
            "Acquire::Languages": "none",
            "Acquire::Retries": 2,
            "Acquire::http::Timeout": 30,
            "Acquire::https::Timeout": 30,
            "APT::Get::List-Cleanup": "true",
            "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
            "Debug::NoLocking": "true",  # the lock file beside this one serves
        }
        lines = [f'{name} "{value}";' for name, value in settings.items()]
        # Hooks of the host's apt are written for its own caches ("rm -f /var/cache/apt/…").
        cleared = (
            "APT::Architectures",
            "APT::Update::Pre-Invoke",
            "APT::Update::Post-Invoke",
            "APT::Update::Post-Invoke-Success",
            "APT::Update::Post-Invoke-Stats",
            "DPkg::Pre-Invoke",
            "DPkg::Post-Invoke",
            "Acquire::IndexTargets::deb::DEP-11",
            "Acquire::IndexTargets::deb::Contents-deb",
        )
        lines = [f"#clear {name};" for name in cleared] + lines + [f'APT::Architectures:: "{self.arch}";']
        return "\n".join(lines) + "\n"

    def _run(self, tool: str, *arguments: str, deadline: float, directory: Path | None = None) -> str:
        command: list[str | Path] = [find(tool, "apt"), "-c", self._root / "apt.conf", *arguments]
        try:
            output = run(command, deadline=deadline, directory=directory or self._root)
        except ToolFailedError as error:
            raise _explained(str(error), self.arch) from error
        return output.decode(errors="replace")


def describe(archives: Iterable[Archive]) -> list[dict[str, str | int]]:
    """The record of what went into a result: name, version, architecture, size, SHA-256 of each package."""
    return [asdict(archive.package) | {"sha256": archive.sha256} for archive in archives]


def _explained(text: str, arch: str) -> BuildError:
    if any(sign in text for sign in _SAYS_SPACE):
        return SpaceError(f"no space left for Debian packages: {text}")
    if any(sign in text for sign in _SAYS_NETWORK):
        return NetworkError(f"the Debian package sources of this machine cannot be reached: {text}")
    if any(sign in text for sign in _SAYS_PACKAGE):
        return PackageError(f"Debian has no such packages for {arch}: {text}")
    return ToolFailedError(text)
