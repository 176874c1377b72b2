"""Results kept by the digest of what they were made from.

A result is a directory that appears under its final name in one rename, complete or not at all.
Its name ends in the key of its inputs, so asking again for the same inputs finds it at once and a
changed builder never hands out what its predecessor made.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build.errors import BuildError, SpaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostler.model.json import Document

_KEY_DIGITS = 16
_LOCK_DEADLINE = 1800.0


def source_digest(*modules: str) -> str:
    """SHA-256 over the files of packages and modules of ours, such as ``hostler.build``.

    Args:
        modules: Names of packages (every file directly in them counts) or of single modules.
    """
    digest = hashlib.sha256()
    for module in sorted(modules):
        for path, content in sorted(_sources(module)):
            digest.update(path.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


def key_of(inputs: Document) -> str:
    """The key under which the result of ``inputs`` is kept."""
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_KEY_DIGITS]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def kept(directory: Path, name: str, key: str, make: Callable[[Path], None], *, fresh: bool = False) -> Path:
    """The directory ``<directory>/<name>-<key>``, made by ``make`` when it is not there yet.

    Two processes that ask at once do the work once: the second waits for the first.

    Args:
        directory: Where results are kept.
        name: What it is, for people.
        key: See `key_of`.
        make: Fills the empty directory it is given.
        fresh: Make it again and put it in the place of what is there.

    Raises:
        BuildError: ``make`` failed, or another process held the lock for half an hour.
        SpaceError: The file system is full.
    """
    final = directory / f"{name}-{key}"
    if final.is_dir() and not fresh:
        return final
    with space_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with locked(directory / f".{name}.lock"):
            if final.is_dir() and not fresh:
                return final
            _sweep(directory, name)
            place = Path(tempfile.mkdtemp(prefix=f".{name}.making-", dir=directory))
            try:
                make(place)
                _open_to_all(place)
                _replace(place, final)
            finally:
                shutil.rmtree(place, ignore_errors=True)
    return final


@contextmanager
def locked(path: Path, deadline: float = _LOCK_DEADLINE) -> Iterator[None]:
    """Hold the lock file ``path``; it is released with the process, however that ends.

    Raises:
        BuildError: Someone else held it for ``deadline`` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + deadline
    with path.open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise BuildError(f"another build has held {path} for {deadline:.0f} s") from None
                time.sleep(0.1)
            else:
                break
        yield


@contextmanager
def space_errors(directory: Path) -> Iterator[None]:
    """Turn "no space left" of any write inside into a sentence that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpaceError(f"no space left on the device that holds {directory}") from error
        raise


def _sources(module: str) -> Iterator[tuple[str, bytes]]:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise BuildError(f"the module {module} is not installed with Hostler")
    if spec.submodule_search_locations is None:
        yield module, Path(spec.origin).read_bytes()
        return
    for item in Path(spec.origin).parent.iterdir():
        if item.suffix in (".py", ".sh") and item.is_file():
            yield f"{module}/{item.name}", item.read_bytes()


def _sweep(directory: Path, name: str) -> None:
    # The lock is ours, so nobody works in these: their makers were killed.
    for leftover in directory.glob(f".{name}.making-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _open_to_all(place: Path) -> None:
    """Let everybody read a result, whatever the umask: boards are served what is in it."""
    place.chmod(0o755)
    for path in place.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _replace(place: Path, final: Path) -> None:
    if final.is_dir():
        old = place.with_name(place.name + ".old")
        final.rename(old)
        place.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    else:
        place.rename(final)
    descriptor = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
