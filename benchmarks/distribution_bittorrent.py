"""BitTorrent beside the boards' own way: aria2 and libtorrent with opentracker, for ``distribution.py``.

The server is the tracker and the first seed. Whoever has the file gives it on until the last has it, which
favours them: boards leave when their step is done. Pieces are checked by their SHA-1; all write to memory.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from distribution_clock import Clock, Measured
from distribution_site import started

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distribution_site import Site

PYTHON = "/usr/bin/python3"
"""Debian's, for which python3-libtorrent is built."""
_CLIENT = [PYTHON, str(Path(__file__).with_name("distribution_libtorrent.py"))]
_SERVER = "10.99.0.1"
_PORT = 6969
_MEMORY = "/dev/shm"
_SECONDS = 600
_ANNOUNCED_SECONDS = 2.0  # nobody tells when the tracker knows the first seed
_ARIA2 = [
    "aria2c", "--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false", "--file-allocation=none",
    "--seed-ratio=0",
]  # fmt: skip


def libtorrent(site: Site, place: Path, image: Path) -> Measured:
    """Boards with a well-kept library."""
    with ExitStack() as stack:
        torrent = _tracked(stack, site, place, image)
        client = [*_CLIENT, "run", str(torrent)]
        seed = stack.enter_context(started(site.sending(*client, str(image.parent), _SERVER)))
        _go([seed])
        _told(seed)
        time.sleep(_ANNOUNCED_SECONDS)
        running = [
            stack.enter_context(started(site.argv(name, *client, _folder(stack), f"10.99.1.{number + 1}")))
            for number, name in enumerate(site.receivers)
        ]
        clock = _go(running)
        ends = [json.loads(_told(process)) for process in running]
        clock.stop()
        return Measured([end["at"] - clock.begun for end in ends], clock.busy, [end["cpu"] for end in ends])


def aria2(site: Site, place: Path, image: Path) -> Measured:
    """Boards with a client of its own process."""
    with ExitStack() as stack:
        torrent = _tracked(stack, site, place, image)
        seed = [*_ARIA2, "--check-integrity=true", f"--dir={image.parent}", str(torrent)]
        stack.enter_context(started(site.sending(*seed)))
        time.sleep(_ANNOUNCED_SECONDS)
        ended = place / "ended"
        ended.write_text('#!/bin/sh\n: >"$3.ended"\n')
        ended.chmod(0o755)
        left: list[Path] = []
        seconds: list[float] = []
        clock = Clock()
        for name in site.receivers:
            folder = _folder(stack)
            client = [*_ARIA2, f"--on-bt-download-complete={ended}", f"--dir={folder}", str(torrent)]
            stack.enter_context(started(site.argv(name, *client)))
            left.append(Path(folder, f"{image.name}.ended"))
        while left:
            for mark in [mark for mark in left if mark.exists()]:
                left.remove(mark)
                seconds.append(time.monotonic() - clock.begun)
            if time.monotonic() > clock.begun + _SECONDS:
                raise RuntimeError(f"{len(left)} receivers did not end")
            time.sleep(0.01)
        clock.stop()
        return Measured(seconds, clock.busy)


def _tracked(stack: ExitStack, site: Site, place: Path, image: Path) -> Path:
    """Run the tracker; return the image's torrent."""
    torrent, root = place / "image.torrent", place / "tracker"
    make = [*_CLIENT, "make", str(image), str(torrent), f"http://{_SERVER}:{_PORT}/announce"]
    known = subprocess.run(make, check=True, capture_output=True, text=True, timeout=60).stdout
    root.mkdir(exist_ok=True)
    for folder in (root, place):  # the tracker is nobody
        folder.chmod(0o755)
    (root / "known").write_text(known)
    tracker = ["opentracker", "-i", _SERVER, "-p", str(_PORT), "-P", str(_PORT), "-d", str(root)]
    stack.enter_context(started(site.sending(*tracker, "-w", "/known")))
    return torrent


def _folder(stack: ExitStack) -> str:
    return stack.enter_context(tempfile.TemporaryDirectory(dir=_MEMORY))


def _go(running: Sequence[subprocess.Popen[str]]) -> Clock:
    """Let them begin when all are ready."""
    for process in running:
        _told(process)
    clock = Clock()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return clock


def _told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if line := process.stdout.readline():
        return line
    raise RuntimeError(f"{process.args}: {process.communicate()[1][-1000:]}")
