"""The matrix: one lab for each kind of network, its boards booting at once, as many as there are cores."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import last_run
import pytest
from boot_paths import BY_KEY, PATHS, BootPath
from last_run import Result
from matrix_lab import MatrixLab
from other_networks import LAB_TOML, other_network

from hostler.build.agent_image import build_agent
from hostler.build.loaders import build_loaders
from hostler.build.media_loaders import build_media_loaders
from hostler.build.tiny import build_tiny
from hostler.build.tool_pack import build_tool_pack
from hostler.demo.material import Material

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostler.client.documents import TraceEvent

CACHE = Path(__file__).parents[2] / "var" / "cache"
RESULTS: pytest.StashKey[dict[str, Result]] = pytest.StashKey()


class Proof:
    """What one test proves; told the boot's events before the test is over.

    Attributes:
        path: The boot path.
        events: The trace of the boots that prove it, oldest first.
    """

    def __init__(self, path: BootPath) -> None:
        self.path = path
        self.events: list[TraceEvent] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be written down."""
    parser.addoption("--record", action="store_true", help="write the matrix into docs/boot.md")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = {}


@pytest.fixture(scope="session")
def material() -> Material:
    """Agents with what boards fetch besides, and the small images; built once on a machine."""
    out = CACHE / "built"
    agents = {arch: build_agent(arch, out, CACHE) for arch in ("amd64", "arm64")}
    return Material(
        {arch: (agent.kernel, agent.initrd) for arch, agent in agents.items()},
        {f"tiny-{arch}": build_tiny(arch, out, CACHE).path for arch in agents},
        {
            arch: {
                **build_loaders(arch, out, CACHE),
                **build_media_loaders(arch, out, CACHE),
                **build_tool_pack(arch, out, CACHE),
            }
            for arch in agents
        },
    )


@pytest.fixture(scope="session")
def boots(
    request: pytest.FixtureRequest, material: Material, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[list[TraceEvent]]]]:
    """The boots of all paths that were chosen, by key; they run while their tests wait."""
    if os.geteuid() != 0:
        pytest.fail("the matrix needs root: network namespaces for the boards")
    chosen = [
        item.callspec.params["path"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "boots" in item.fixturenames and hasattr(item, "callspec")
    ]
    with ExitStack() as stack:
        labs: dict[str, MatrixLab] = {}
        for network in dict.fromkeys(path.network for path in chosen):
            paths = [path for path in chosen if path.network == network]
            lab = MatrixLab(tmp_path_factory.mktemp(network), paths, LAB_TOML[network])
            lab.prepare(material)
            stack.callback(lab.stop)
            lab.start(lambda lab=lab, network=network: stack.enter_context(other_network(lab, network)))
            lab.import_needed(material)
            labs[network] = lab
        pool = ThreadPoolExecutor(os.cpu_count() or 1)
        stack.callback(pool.shutdown, cancel_futures=True)
        yield {path.key: pool.submit(labs[path.network].boot, path) for path in chosen}


@pytest.fixture
def proving(request: pytest.FixtureRequest) -> Callable[[str], contextmanager]:
    """Fill a row of the table, good or bad.

    A test says ``with proving("media-bios") as proof:`` around all it does, and sets ``proof.events``.
    """

    @contextmanager
    def prove(key: str) -> Iterator[Proof]:
        proof = Proof(BY_KEY[key])
        date = datetime.now(UTC).date().isoformat()
        firmware = last_run.firmware(proof.path.kind)
        results = request.config.stash[RESULTS]
        try:
            yield proof
        except BaseException as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            results[key] = Result(False, date, firmware, last_run.stages(proof.events), first[:200])
            raise
        else:
            before = results.get(key)
            if before is None or before.ok:  # another test of the same path may have failed
                results[key] = Result(True, date, firmware, last_run.stages(proof.events))
        finally:
            if request.config.getoption("--record"):  # at once: a run takes long, and may be broken off
                known = {**last_run.load(), **results}
                last_run.save(known)
                last_run.write_page(last_run.table(PATHS, known))

    return prove


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of this run."""
    results = config.stash[RESULTS]
    if not results:
        return
    terminalreporter.section("boot paths: seconds from power-on")
    terminalreporter.line(last_run.plain(PATHS, results))
