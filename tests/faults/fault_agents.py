"""Agents that have something wrong with them, by name: each is the built agent, with one thing changed."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import TYPE_CHECKING

from hostler.build.agent_image import build_agent, our_sources
from hostler.wire import newc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAIN = "hostler/agent/main.py"
_STARTS = "for try in 1 2 3; do"
_KILLS = "( while sleep 5; do killall -9 python3; done ) &\n"
_SOMEBODY = "ab" * 32
"""A public key that belongs to nobody."""


def agent_files(key: str, arch: str, out: Path, cache: Path) -> tuple[Path, Path]:
    """Return kernel and initramfs of the agent of this name; ``usual`` is as it should be.

    Args:
        key: Its name.
        arch: ``amd64`` or ``arm64``.
        out: Where a changed initramfs is written.
        cache: Where built agents are kept.
    """
    built, crashes = cache / "built", None
    if key == "crashes":
        crashes = our_sources()
        crashes[_MAIN] += b"\n\nraise RuntimeError('this agent is broken')\n"
    trust = (_SOMEBODY,) if key == "signed-only" else ()
    agent = build_agent(
        arch, built, cache, code=crashes, trusted_keys=trust, require_signed=key == "signed-only"
    )
    if key not in _OVERLAYS:
        return agent.kernel, agent.initrd
    over = _OVERLAYS[key](_release(agent.record))
    out.mkdir(parents=True, exist_ok=True)
    initrd = out / f"initrd-{key}"
    # What comes later in a chain of archives takes the place of what came before.
    initrd.write_bytes(agent.initrd.read_bytes() + newc.archive([over]))
    return agent.kernel, initrd


def _release(record: Path) -> str:
    names = " ".join(package["name"] for package in json.loads(record.read_text()))
    match = re.search(r"linux-image-(\d\S+)", names)
    assert match is not None
    return match[1]


def _no_module(inner: str) -> Callable[[str], newc.Entry]:
    return lambda release: newc.file(f"usr/lib/modules/{release}/kernel/{inner}", b"")


def _killed(_release: str) -> newc.Entry:
    script = (resources.files("hostler.build") / "agent_init.sh").read_text()
    assert script.count(_STARTS) == 1
    return newc.file("init", script.replace(_STARTS, _KILLS + _STARTS).encode(), 0o755)


_OVERLAYS: dict[str, Callable[[str], newc.Entry]] = {
    "no-card-driver": _no_module("drivers/net/virtio_net.ko"),
    "no-disk-driver": _no_module("drivers/block/virtio_blk.ko"),
    "killed": _killed,
}
