"""Tools that are no part of the agent: a step that needs them fetches them into memory.

A tool pack is a tar compressed with zstd (``build/tool_pack.py``): programs in ``bin/``, all their libraries
and the loader in ``lib/``, so that nothing of the agent's own has to fit them.
"""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import zstandard

from hostler.agent.work import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LAST_WORDS = 300
_PIECE = 1 << 20


class FileSource(Protocol):
    """Where a registered file comes from."""

    def file(self, artefact: str, into: Path) -> None:
        """Fetch a file of the agent, checked against its id; raises StepError."""
        ...


class Toolbox:
    """The unpacked tools; ``opened`` makes one.

    Args:
        place: Where ``bin`` and ``lib`` are.
    """

    def __init__(self, place: Path) -> None:
        self._bin, self._lib = place / "bin", place / "lib"
        loaders = sorted(self._lib.glob("ld-linux*"))
        if not loaders:
            raise StepError("the tool pack has no loader; build the agent again: hostler agent build")
        self._loader = loaders[0]

    def run(self, tool: str, *arguments: str | Path, seconds: float) -> str:
        """Run a tool; returns what it printed.

        Raises:
            StepError: It failed, did not end in time, or is not in the pack; with its last words.
        """
        program = self._bin / tool
        if not program.is_file():
            raise StepError(f"the tool pack has no {tool}; build the agent again: hostler agent build")
        try:
            done = subprocess.run(
                [self._loader, "--library-path", self._lib, program, *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise StepError(f"{tool} did not end within {seconds:g} s") from None
        said = done.stdout.decode(errors="replace")
        if done.returncode:
            last = " ".join(said.split())[-_LAST_WORDS:]
            raise StepError(f"{tool} ended with status {done.returncode}: {last}")
        return said


@contextmanager
def opened(source: FileSource, artefact: str) -> Iterator[Toolbox]:
    """Fetch a tool pack and unpack it in memory while the context lasts.

    Raises:
        StepError: It cannot be had, or is none.
    """
    with tempfile.TemporaryDirectory(prefix="hostler-tools-") as name:
        place = Path(name)
        packed = place / "pack"
        source.file(artefact, packed)
        _unpack(packed, place)
        packed.unlink()
        yield Toolbox(place)


def _unpack(packed: Path, place: Path) -> None:
    """Unpack a pack whose hash is the one the rack named, by tar: Debian's small Python cannot."""
    try:
        with (
            packed.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as plain,
            subprocess.Popen(
                ["tar", "-x", "-f", "-", "-C", place],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            ) as tar,
        ):  # fmt: skip
            assert tar.stdin is not None
            with tar.stdin:
                while piece := plain.read(_PIECE):
                    tar.stdin.write(piece)
    except (zstandard.ZstdError, OSError) as error:
        raise StepError(f"the tool pack cannot be unpacked: {error}") from None
    if tar.returncode:
        raise StepError(f"the tool pack cannot be unpacked: tar ended with status {tar.returncode}")
