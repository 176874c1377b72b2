"""The faults at once: one lab, a few boards a core; what was said of each is printed."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_lab import FaultLab
from fault_record import SAID, summary
from fault_rows import FAULTS

from hostler.build.agent_image import build_agent
from hostler.build.loaders import build_loaders
from hostler.build.tiny import build_tiny
from hostler.demo.material import Material

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.client.documents import Why

CACHE = Path(__file__).parents[2] / "var" / "cache"
_AT_ONCE = 2
"""Boards a core: most of them wait. With more, kernels were silent for longer than is normal."""


def pytest_configure(config: pytest.Config) -> None:
    """Make room for what is said."""
    config.stash[SAID] = {}


@pytest.fixture(scope="session")
def fault_material() -> Material:
    """The agent, loaders and the small image; built once on a machine."""
    out = CACHE / "built"
    agent = build_agent("amd64", out, CACHE)
    return Material(
        {"amd64": (agent.kernel, agent.initrd)},
        {"tiny-amd64": build_tiny("amd64", out, CACHE).path},
        {"amd64": build_loaders("amd64", out, CACHE)},
    )


@pytest.fixture(scope="session")
def verdicts(
    request: pytest.FixtureRequest, fault_material: Material, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FaultLab, dict[str, Future[Why]]]]:
    """The lab, and by fault what will be said of it; they come about while their tests wait."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces for the boards")
    keys = {
        item.callspec.params["fault"].key
        for item in request.session.items
        if isinstance(item, pytest.Function) and "verdicts" in item.fixturenames
    }
    chosen = [fault for fault in FAULTS if fault.key in keys]
    with ExitStack() as stack:
        lab = FaultLab(tmp_path_factory.mktemp("faults"), chosen)
        stack.callback(lab.stop)
        lab.start_with(fault_material)
        pool = ThreadPoolExecutor(_AT_ONCE * (os.cpu_count() or 1))
        stack.callback(pool.shutdown, cancel_futures=True)
        yield lab, {fault.key: pool.submit(lab.verdict, fault) for fault in chosen}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print fault and verdict side by side."""
    if config.stash[SAID]:
        terminalreporter.section("faults and verdicts")
        for line in summary(config.stash[SAID]):
            terminalreporter.write_line(line)
