"""Fetching packages and building images needs no right that a plain user lacks."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostler.build.agent_image import build_agent
from hostler.build.tiny import build_tiny

NOBODY = 65534
# linux/capability.h, linux/prctl.h
CAPABILITY_VERSION_3, CAP_DAC_READ_SEARCH = 0x20080522, 2
PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 47, 2
STUB = {
    "hostler/__init__.py": b"",
    "hostler/agent/__init__.py": b"",
    "hostler/agent/__main__.py": b"import json",
}


def become_nobody() -> None:
    """Give up every right of root but one: to read the checkout, which may lie in root's own home."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    mask = 1 << CAP_DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(
        mask, mask, mask, 0, 0, 0
    )  # effective, permitted, inheritable; twice 32 bits
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0)


def as_nobody(action: Callable[[], object], report: Path, deadline: float) -> None:
    """Do ``action`` in a child process without rights; in ours, when we have none ourselves."""
    if os.geteuid() != 0:
        action()
        return
    child = os.fork()
    if child == 0:
        try:
            become_nobody()
            os.environ["HOME"] = str(report.parent)
            action()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked child must not go on with our tests
            report.write_text(traceback.format_exc())
        finally:
            os._exit(1)
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, report.read_text() if report.exists() else f"status {status}"
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"not done within {deadline:.0f} s")


@pytest.fixture
def nobodys(packages: Path, images: Path) -> Iterator[Path]:
    """A directory of nobody's with a copy of the package cache, so that nothing is fetched twice."""
    build_tiny("amd64", images, packages)
    home = Path(f"/tmp/hostler-nobody-{os.getpid()}")
    shutil.copytree(packages / "apt-amd64", home / "packages/apt-amd64")
    if os.geteuid() == 0:
        for path in [home, *home.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    yield home
    shutil.rmtree(home)


def test_the_tiny_image(nobodys: Path, images: Path, packages: Path) -> None:
    """The image a plain user makes has the same files, owned by root, as the one root makes."""
    as_nobody(lambda: build_tiny("amd64", nobodys / "images", nobodys / "packages"), nobodys / "report", 300)
    theirs = build_tiny("amd64", nobodys / "images", nobodys / "packages")
    ours = build_tiny("amd64", images, packages)
    assert theirs.size == ours.size


def test_the_agent(nobodys: Path) -> None:
    """The agent too; its device node exists only inside the archive."""
    build = lambda: build_agent("amd64", nobodys / "images", nobodys / "packages", code=STUB)  # noqa: E731
    as_nobody(build, nobodys / "report", 300)
    assert build().initrd.stat().st_size > 1_000_000
