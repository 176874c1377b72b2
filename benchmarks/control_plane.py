"""Claims a second and the time to a grant: Hostler with 1,000 boards, and labgrid's coordinator beside it.

    python benchmarks/control_plane.py [--seconds 5] [--json FILE]

One claim here is its whole life: asked for and granted (durable before the answer), released (durable before
the answer), its board wiped, seen clean by the hub, and free for the next one. The boards' rack says at once
that they are wiped; hub, link, SQLite files and their trips to the disk are the real ones.

labgrid's coordinator and exporter are those of PyPI, in an environment of their own, with one static resource
a place. A place there is acquired and released; nothing is wiped, and little is written: it keeps places in a
file that is written later, and forgets who held them when it is restarted.

Watchers follow everything that happens: the event stream of Hostler, places and resources of labgrid.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from hostler.api.app import create_app
from hostler.hub.database import Database
from hostler.hub.errors import ConflictError
from hostler.hub.hub import Hub
from hostler.hub.records import HUB, Agent, Principal, Role
from hostler.images.store import ImageStore
from hostler.link.inprocess import InProcessLink
from hostler.serve import spare_garbage_collector
from hostler.store_files import StoreFiles
from instant_rack import InstantRack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

HERE = Path(__file__).resolve().parent
BOARDS, CLASSES, WATCHERS = 1000, 10, 50
MANY, FEW = 50, 1
"""Clients at once: for claims a second, and for the time to a grant when nobody else asks."""
LABGRID = HERE.parent / "var" / "benchmarks" / "labgrid"
GOAL_GRANT, GOAL_CLAIMS = 0.050, 2000


def lab_toml() -> str:
    """Return the inventory."""
    lines = [
        '[lab]\nname = "bench"',
        '[networks.boot]\ninterface = "eth1"\naddress = "10.77.0.1/16"\ndhcp = "off"',
    ]
    lines += [f'[classes.c{number}]\nplatform = "x86-bios"' for number in range(CLASSES)]
    lines += [
        f'[boards.b{number:04d}]\nclass = "c{number % CLASSES}"\n'
        f'mac = "52:54:00:00:{number // 256:02x}:{number % 256:02x}"\npower = {{ driver = "fake" }}'
        for number in range(BOARDS)
    ]
    return "\n".join(lines)


async def serve(directory: Path) -> None:
    """Run hub, rack and API until killed; print the address and a token. Runs in a process of its own."""
    async with hub_with_boards(directory) as hub:
        token = await hub.first_token()
        config = uvicorn.Config(create_app(hub), port=0, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        print(json.dumps({"url": f"http://127.0.0.1:{port}", "token": token}), flush=True)
        await serving


@asynccontextmanager
async def hub_with_boards(directory: Path) -> AsyncIterator[Hub]:
    """Run a hub with its boards; everything ends with the block."""
    database = Database(directory / "hub.db")
    link = InProcessLink(directory / "link.db")
    hub = Hub(database, link, StoreFiles(ImageStore(directory / "store")), directory / "spool")
    tasks = [asyncio.ensure_future(hub.run()), asyncio.ensure_future(InstantRack(link).run())]
    try:
        await hub.started.wait()
        await hub.change(lambda draft: draft.agents.put("amd64", Agent("amd64", "a" * 64, "b" * 64)))
        await hub.apply_inventory(HUB, lab_toml())
        spare_garbage_collector()
        yield hub
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await link.close()
        database.close()


async def hub_alone(directory: Path, clients: int, seconds: float) -> dict[str, Any]:
    """Claim and release by calling the hub; nothing is served."""
    anna = Principal("anna", Role.MEMBER)
    grants: list[float] = []
    async with hub_with_boards(directory) as hub:
        begun = time.monotonic()
        end = begun + seconds

        async def one(number: int) -> None:
            while time.monotonic() < end:
                asked = time.perf_counter()
                try:
                    claim = await hub.claim(anna, f"c{number % CLASSES}")
                except ConflictError:
                    await asyncio.sleep(0.01)
                    continue
                grants.append(time.perf_counter() - asked)
                await hub.release(anna, claim.id)

        used = time.process_time()
        await asyncio.gather(*(one(number) for number in range(clients)))
        while sum(len(names) for names in hub.state.pools.free.values()) < BOARDS:
            await asyncio.sleep(0.005)
        took = time.monotonic() - begun
        used = time.process_time() - used
    return {"seconds": took, "grants": grants, "cpu": used}


@contextmanager
def child(*command: str, stdout: int = subprocess.PIPE, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program and end it with the block."""
    process = subprocess.Popen(command, stdout=stdout, text=True, start_new_session=True, **options)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args} ended before it was ready")
    return line


def hostler(clients: int, watchers: int, seconds: float) -> dict[str, Any]:
    """Load the API of a server in a process of its own."""
    load = str(HERE / "claim_load.py")
    with tempfile.TemporaryDirectory(dir=scratch()) as directory:
        log = (Path(directory) / "log").open("w")
        with log, child(sys.executable, __file__, "--serve", directory, stderr=log) as server:
            at = json.loads(first_line(server))
            ask = (sys.executable, load, at["url"], at["token"])
            with child(*ask, "watch", "--clients", str(watchers)) as watching:
                first_line(watching)
                options = ("--classes", str(CLASSES), "--clients", str(clients), "--seconds", str(seconds))
                done = subprocess.run([*ask, "load", *options], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def labgrid(clients: int, watchers: int, seconds: float) -> dict[str, Any]:
    """Load labgrid's coordinator in a process of its own."""
    bin_, load = LABGRID / "bin", str(HERE / "labgrid_load.py")
    python = str(bin_ / "python")
    with tempfile.TemporaryDirectory(dir=scratch()) as directory:
        exported = Path(directory) / "exporter.yaml"
        exported.write_text(
            "".join(
                f"p{number:04d}:\n  NetworkSerialPort:\n    host: 127.0.0.1\n    port: {number + 1}\n"
                for number in range(BOARDS)
            )
        )
        quiet: dict[str, Any] = {"cwd": directory, "stderr": subprocess.DEVNULL}
        with child(str(bin_ / "labgrid-coordinator"), "-l", "127.0.0.1:0", **quiet) as coordinator:
            address = first_line(coordinator).split()[-1]
            # It prints every request; somebody has to read that.
            draining = subprocess.Popen(["cat"], stdin=coordinator.stdout, stdout=subprocess.DEVNULL)
            exporter = (
                str(bin_ / "labgrid-exporter"),
                "-c",
                address,
                "-n",
                "bench",
                "--hostname",
                "localhost",
            )
            with child(*exporter, str(exported), **quiet, stdout=subprocess.DEVNULL):
                subprocess.run([python, load, address, "prepare", "--places", str(BOARDS)], check=True)
                with child(python, load, address, "watch", "--clients", str(watchers)) as watching:
                    first_line(watching)
                    options = ("--places", str(BOARDS), "--clients", str(clients), "--seconds", str(seconds))
                    command = [python, load, address, "load", *options]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
        draining.wait(10)
    return json.loads(done.stdout)


def install_labgrid() -> None:
    """Put labgrid into an environment of its own, once."""
    if not (LABGRID / "bin" / "labgrid-coordinator").exists():
        subprocess.run([sys.executable, "-m", "venv", str(LABGRID)], check=True)
        subprocess.run([str(LABGRID / "bin" / "pip"), "install", "-q", "labgrid"], check=True)


def scratch() -> str:
    """Return a directory on a real disk: /tmp may be memory, on which nothing is durable."""
    path = HERE.parent / "var" / "benchmarks"
    path.mkdir(parents=True, exist_ok=True)
    return str(path)


def told(name: str, result: dict[str, Any]) -> dict[str, float]:
    """Print a result and return its numbers."""
    grants = sorted(result["grants"])
    numbers = {
        "claims_per_second": len(grants) / result["seconds"],
        "grant_p50": statistics.median(grants),
        "grant_p99": grants[int(len(grants) * 0.99)],
        "claims": float(len(grants)),
    }
    if "cpu" in result:
        numbers["cpu_per_claim"] = result["cpu"] / len(grants)
    rate, p50, p99 = numbers["claims_per_second"], numbers["grant_p50"] * 1e3, numbers["grant_p99"] * 1e3
    cpu = f"   {numbers['cpu_per_claim'] * 1e6:.0f} us CPU a claim" if "cpu" in result else ""
    print(f"{name:<38}{rate:7.0f} claims/s   grant p50 {p50:7.1f} ms   p99 {p99:7.1f} ms{cpu}", flush=True)
    return numbers


def main() -> int:
    """Run everything and print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        asyncio.run(serve(args.serve))
        return 0
    install_labgrid()
    print(f"{BOARDS} boards; goals: {GOAL_CLAIMS} claims/s, grant p99 < {GOAL_GRANT * 1e3:.0f} ms")
    results: dict[str, dict[str, float]] = {}
    for clients in (FEW, MANY):
        with tempfile.TemporaryDirectory(dir=scratch()) as directory:
            result = asyncio.run(hub_alone(Path(directory), clients, args.seconds))
        results[f"hub alone, {clients}"] = told(f"hub alone, {clients} at once", result)
    for name, peer in (("hostler", hostler), ("labgrid", labgrid)):
        for clients, watchers in ((FEW, 0), (FEW, WATCHERS), (MANY, 0), (MANY, WATCHERS)):
            label = f"{name}, {clients} at once, {watchers} watchers"
            results[label] = told(label, peer(clients, watchers, args.seconds))
    for clients, watchers in ((FEW, 0), (FEW, WATCHERS), (MANY, 0), (MANY, WATCHERS)):
        case = f"{clients} at once, {watchers} watchers"
        ours, theirs = results[f"hostler, {case}"], results[f"labgrid, {case}"]
        times = ours["claims_per_second"] / theirs["claims_per_second"]
        late = ours["grant_p99"] / theirs["grant_p99"]
        print(f"{case}: {times:.1f} times labgrid's claims/s, grant p99 {late:.2f} of its")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
