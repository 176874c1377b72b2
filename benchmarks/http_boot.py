"""HTTP boot files: Hostler's listener beside nginx, in one run, on the loopback of a network namespace.

    python benchmarks/http_boot.py [--seconds 2] [--repeat 3] [--json FILE]

Needs root (network namespaces), cc and nginx. Both serve the same files from the page cache with one process
(nginx: one worker); Hostler is its whole netboot process, as the rack starts it. The client ``http_load.c``
throws the bytes away in the kernel. Goal: 0.9 of nginx in MB/s, and at most 1/0.9 of its CPU for a GiB.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot.child import NetbootChild
from hostler.netboot.setup import NetbootSetup
from hostler.netboot.table import NetworkConfig, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
PORT = 8067
NGINX_PORT = 8068
TOKEN = "benchmark"
BIG, CHUNK = "a" * 64, "b" * 64
GIB = 1 << 30
GOAL = 0.9
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Case:
    """One load."""

    name: str
    clients: int
    file: str = BIG
    goal: bool = True


CASES = (
    Case("1 GiB file, 1 client", 1),
    Case("1 GiB file, 16 clients", 16),
    Case("1 GiB file, 64 clients", 64),
    Case("1 MiB chunks, 16 clients", 16, CHUNK, goal=False),
)


@dataclass(frozen=True)
class Result:
    """What one server did under one load."""

    megabytes: float  # MB/s
    responses: float  # a second
    cpu: float  # seconds of the server for a GiB


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the median counts")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("benchmarks/http_boot.py needs root: it makes a network namespace", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="hostler-http-") as made, namespace() as pid:
        root = Path(made)
        root.chmod(0o755)
        for name, size in ((BIG, GIB), (CHUNK, 1 << 20)):
            path = root / "chunks" / name[:2] / name
            path.parent.mkdir(parents=True)
            block = os.urandom(1 << 20)
            with path.open("wb") as file:
                for _ in range(size >> 20):
                    file.write(block)
        load = root / "http_load"
        subprocess.run(["cc", "-O2", "-o", load, HERE / "http_load.c"], check=True, timeout=60)
        with nginx(root, pid):
            results = asyncio.run(measure_all(root, load, pid, arguments.seconds, arguments.repeat))
    held, document = show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0 if held else 1


async def measure_all(
    root: Path, load: Path, pid: int, seconds: float, repeat: int
) -> dict[str, dict[str, list[Result]]]:
    """Run all cases against both servers; returns results by case and server."""
    pidfile = root / "namespace.pid"
    pidfile.write_text(str(pid))
    network = NetworkConfig(
        "loopback", "lo", IPv4Interface("127.0.0.1/8"), IPv4Address("127.9.0.1"), IPv4Address("127.9.0.9"),
        http_port=PORT, dhcp_port=6767, tftp_port=6969,
    )  # fmt: skip
    setup = NetbootSetup((network,), root, root / "state", netns_pidfile=pidfile)
    results: dict[str, dict[str, list[Result]]] = {}

    async def report(*_: object) -> int:
        return 204

    async with NetbootChild(
        setup, on_event=lambda _: None, on_seen=lambda *_: None, on_request=report
    ) as child:
        assert child.pid is not None
        child.put_target(
            Target("b1", "x86-uefi", "amd64", (), intent=BootIntent.STEP, boot="boot-1", token=TOKEN)
        )
        await asyncio.sleep(0.5)
        worker = int((root / "nginx.worker").read_text())
        for _ in range(repeat):
            for case in CASES:
                for server, port, process, prefix in (
                    ("hostler", PORT, child.pid, "/agent/chunk/"),
                    ("nginx", NGINX_PORT, worker, f"/chunks/{case.file[:2]}/"),
                ):
                    token = f"Authorization: Bearer {TOKEN}"
                    load_of = (str(case.clients), str(seconds), prefix + case.file, token)
                    command = (*inside(pid), str(load), "127.0.0.1", str(port), *load_of)
                    result = await asyncio.to_thread(measure, command, process)
                    results.setdefault(case.name, {}).setdefault(server, []).append(result)
                    print(f"  {server:8} {case.name:26} {result.megabytes:8,.0f} MB/s", file=sys.stderr)
    return results


def measure(command: tuple[str, ...], pid: int) -> Result:
    before = cpu_seconds(pid)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    bytes_, responses, seconds = done.stdout.split()
    cpu = cpu_seconds(pid) - before
    return Result(
        int(bytes_) / 1e6 / float(seconds), int(responses) / float(seconds), cpu / (int(bytes_) / GIB)
    )


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def show(results: dict[str, dict[str, list[Result]]]) -> tuple[bool, dict[str, object]]:
    """Print the table; returns whether the goals hold, and the numbers."""
    held = True
    document: dict[str, object] = {}
    print(f"{'':26} {'MB/s':>16} {'responses/s':>16} {'CPU s/GiB':>16}  of nginx: MB/s, CPU")
    print(f"{'':26} {'hostler':>8}{'nginx':>8} {'hostler':>8}{'nginx':>8} {'hostler':>8}{'nginx':>8}")
    for case in CASES:
        ours, theirs = (median(results[case.name][server]) for server in ("hostler", "nginx"))
        rate, cpu = ours.megabytes / theirs.megabytes, ours.cpu / theirs.cpu
        verdict = ""
        if case.goal:
            good = rate >= GOAL and cpu <= 1 / GOAL
            held = held and good
            verdict = "goal held" if good else "GOAL MISSED"
        print(
            f"{case.name:26} {ours.megabytes:8,.0f}{theirs.megabytes:8,.0f} "
            f"{ours.responses:8,.0f}{theirs.responses:8,.0f} {ours.cpu:8.3f}{theirs.cpu:8.3f} "
            f"{rate:8.2f} {cpu:8.2f}  {verdict}"
        )
        document[case.name] = {
            "hostler": vars(ours), "nginx": vars(theirs), "ratio": round(rate, 3), "cpu_ratio": round(cpu, 3)
        }  # fmt: skip
    return held, document


def median(results: list[Result]) -> Result:
    return Result(
        statistics.median(result.megabytes for result in results),
        statistics.median(result.responses for result in results),
        statistics.median(result.cpu for result in results),
    )


def inside(pid: int) -> tuple[str, ...]:
    return ("nsenter", "--target", str(pid), "--net", "--")


@contextmanager
def namespace() -> Iterator[int]:
    """A network namespace with its loopback up; gives the pid of a process in it."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep 3600"])
    try:
        deadline = time.monotonic() + 5
        while "sleep" not in Path(f"/proc/{holder.pid}/comm").read_text():
            if time.monotonic() > deadline:
                raise RuntimeError("the network namespace was not made in time")
            time.sleep(0.02)
        yield holder.pid
    finally:
        holder.kill()
        holder.wait(5)


@contextmanager
def nginx(root: Path, pid: int) -> Iterator[None]:
    """nginx with one worker on the same files, as its manual says for large files."""  # noqa: D403
    config = root / "nginx.conf"
    config.write_text(
        f"""
        user root; worker_processes 1; daemon off; pid {root}/nginx.pid; error_log stderr crit;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
            client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
            uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
            server {{ listen 127.0.0.1:{NGINX_PORT}; root {root}; }}
        }}
        """
    )
    process = subprocess.Popen([*inside(pid), "nginx", "-c", str(config)])
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 10
        while not children.read_text().split():
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError("nginx did not start")
            time.sleep(0.05)
        (root / "nginx.worker").write_text(children.read_text().split()[0])
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()


if __name__ == "__main__":
    sys.exit(main())
