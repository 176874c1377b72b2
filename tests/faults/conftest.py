"""The faults at once, a few boards a core, in one lab and a few small ones; what was said is printed."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_agents import agent_files
from fault_lab import FaultLab
from fault_record import SAID, keep, table
from fault_rows import ROWS

from hostler.build.loaders import build_loaders
from hostler.build.tiny import build_tiny
from hostler.demo.material import Material

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fault_rows import Fault

    from hostler.client.documents import Why

CACHE = Path(__file__).parents[2] / "var" / "cache"
_AT_ONCE = 2
"""Boards a core: most of them wait. With more, kernels were silent for longer than is normal."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be written down."""
    parser.addoption("--record-faults", action="store_true", help="write tests/faults/last_run.json")


def pytest_configure(config: pytest.Config) -> None:
    """Make room for what is said."""
    config.stash[SAID] = {}


@pytest.fixture(scope="session")
def chosen(request: pytest.FixtureRequest) -> list[Fault]:
    """The rows whose tests run, in their order."""
    keys = {
        item.callspec.params["fault"].key
        for item in request.session.items
        if isinstance(item, pytest.Function) and "verdicts" in item.fixturenames
    }
    return [fault for fault in ROWS if fault.key in keys]


@pytest.fixture(scope="session")
def verdicts(
    chosen: list[Fault], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, FaultLab], dict[str, Future[Why]]]]:
    """By row its lab, and what will be said of it; that comes about while their tests wait."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces for the boards")
    with ExitStack() as stack:
        labs: dict[str, FaultLab] = {}
        futures: dict[str, Future[Why]] = {}
        pool = ThreadPoolExecutor(_AT_ONCE * (os.cpu_count() or 1))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)  # also when a lab does not start
        for (agent, rights), rows in _grouped(chosen).items():
            place = tmp_path_factory.mktemp("faults")
            lab = FaultLab(place, rows, rights)
            stack.callback(lab.stop)
            lab.start_with(_material(agent, rows, place))
            labs |= dict.fromkeys((row.key for row in rows), lab)
            futures |= {row.key: pool.submit(lab.judged, row) for row in rows}
        stack.callback(pool.shutdown, cancel_futures=True)
        yield labs, futures


def _grouped(rows: list[Fault]) -> dict[tuple[str, tuple[str, ...]], list[Fault]]:
    """Return the rows of each lab, by what is particular to it."""
    groups: dict[tuple[str, tuple[str, ...]], list[Fault]] = {}
    for row in rows:
        groups.setdefault((row.agent, row.rights), []).append(row)
    return groups


def _material(agent: str, rows: list[Fault], place: Path) -> Material:
    """Return the agents, loaders and small images that rows take; they are built once on a machine."""
    out = CACHE / "built"
    archs = ("amd64", "arm64") if any(row.kind.startswith("arm64") for row in rows) else ("amd64",)
    return Material(
        {arch: agent_files(agent, arch, place / "agent", CACHE) for arch in archs},
        {f"tiny-{arch}": build_tiny(arch, out, CACHE).path for arch in archs},
        {arch: build_loaders(arch, out, CACHE) for arch in archs},
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print fault and verdict side by side, and keep them if that was asked for."""
    said = config.stash[SAID]
    if not said:
        return
    if config.getoption("record_faults", default=False):  # unknown where all tests run
        said = keep(said)
    terminalreporter.section("faults and verdicts")
    for line in table(said):
        terminalreporter.write_line(line)
