"""TFTP throughput: Hostler beside tftpd-hpa, atftpd and dnsmasq, in one run, over a veth pair.

    python benchmarks/tftp.py [--seconds 2] [--repeat 3] [--json FILE] [--only hostler,dnsmasq]

Needs root (network namespaces), cc, tftpd-hpa and dnsmasq-base; fetches atftpd itself, because its package
cannot be installed beside tftpd-hpa. The load client is ``tftp_load.c``; files come from the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.netboot.packet_recorder import PacketRecorder
from hostler.netboot.table import BootTable, NetworkConfig, Target
from hostler.netboot.tftp_server import TftpLimits, TftpServer
from hostler.netboot.virtual_file import VirtualFile

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from netns import SERVER_INTERFACE, Lan, Namespace, joined  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = "10.99.0.1"
NICE = ("nice", "-n", "-15")  # all sides alike, so that other work on the machine tells less
CACHE = HERE.parent / "var" / "benchmarks"
BIG, SMALL = "big", "small"
BIG_BYTES, SMALL_BYTES = 8 << 20, 1024
BLOCK = 1468
WITHOUT_WINDOWS = {"tftpd-hpa", "dnsmasq"}  # no RFC 7440
PEERS = ("hostler", "recorded", "tftpd-hpa", "atftpd", "dnsmasq")


@dataclass(frozen=True)
class Case:
    """One load: how many clients read what, and what Hostler must reach beside whom."""

    name: str
    clients: int
    window: int = 1
    file: str = BIG
    goals: tuple[tuple[str, float], ...] = ()

    @property
    def unit(self) -> str:
        """What is counted."""
        return "MB/s" if self.file == BIG else "files/s"


LOCKSTEP = (("tftpd-hpa", 1.5), ("dnsmasq", 0.8))
CASES = (
    Case("lockstep, 1 client", 1),
    Case("lockstep, 16 clients", 16, goals=LOCKSTEP),
    Case("lockstep, 256 clients", 256, goals=LOCKSTEP),
    Case("1 KiB files, 32 clients", 32, file=SMALL),
    Case("windowsize 8, 16 clients", 16, window=8, goals=(("atftpd", 3.0),)),
    Case("windowsize 64, 16 clients", 16, window=64, goals=(("atftpd", 3.0),)),
)


def main() -> int:
    parser = argparse.ArgumentParser(description="TFTP throughput of Hostler beside other servers.")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the median counts")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--only", default=",".join(PEERS), help="servers, with commas between")
    parser.add_argument("--cases", default="", help="only cases whose name holds this text")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--record", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.serve, record=arguments.record)
    if os.geteuid() != 0:
        print("benchmarks/tftp.py needs root: it makes network namespaces", file=sys.stderr)
        return 1
    cases = [case for case in CASES if arguments.cases in case.name]
    with (
        tempfile.TemporaryDirectory(prefix="hostler-tftp-") as made,
        joined(f"{SERVER}/24", "10.99.0.2/24") as lan,
    ):
        directory = Path(made)
        directory.chmod(0o755)
        for name, size in ((BIG, BIG_BYTES), (SMALL, SMALL_BYTES)):
            (directory / name).write_bytes(os.urandom(size))
            (directory / name).chmod(0o644)
        load = directory / "tftp_load"
        subprocess.run(["cc", "-O2", "-o", load, HERE / "tftp_load.c"], check=True, timeout=60)
        commands = {peer: server_command(peer, directory) for peer in arguments.only.split(",")}
        rounds: dict[str, list[dict[str, float]]] = {case.name: [] for case in cases}
        for _ in range(arguments.repeat):
            for case in cases:
                # All servers within seconds of each other: a busy moment of the machine hits them alike.
                values = {}
                for peer, command in commands.items():
                    if command is None or (case.window > 1 and peer in WITHOUT_WINDOWS):
                        continue
                    with running(lan.server, command):
                        values[peer] = measure(lan, load, case, arguments.seconds)
                    print(f"  {peer:10} {case.name:26} {values[peer]:10,.0f} {case.unit}", file=sys.stderr)
                rounds[case.name].append(values)
    held, document = show(cases, rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0 if held else 1


def show(cases: list[Case], rounds: dict[str, list[dict[str, float]]]) -> tuple[bool, dict[str, object]]:
    """Print the table; return whether every goal that could be checked holds, and all as a document.

    A ratio is the median of the rounds' ratios, not the ratio of medians taken minutes apart.
    """
    print(f"TFTP, {BLOCK}-byte blocks, aggregate, medians of {len(rounds[cases[0].name])}\n")
    print(f"{'':26}" + "".join(f"{peer:>11}" for peer in PEERS) + f"  {'':8} goals")
    held = True
    results = []
    for case in cases:
        table = rounds[case.name]
        row = {peer: statistics.median(values[peer] for values in table) for peer in table[0]}
        ratios = {
            peer: statistics.median(values["hostler"] / values[peer] for values in table)
            for peer in row
            if peer != "hostler" and "hostler" in row
        }
        goals = {peer: factor for peer, factor in case.goals if peer in ratios}
        held &= all(ratios[peer] >= factor for peer, factor in goals.items())
        cells = "".join(f"{row[peer]:11,.0f}" if peer in row else f"{'-':>11}" for peer in PEERS)
        words = [
            f"{ratios[peer]:.2f} x {peer} (>= {factor}: {'held' if ratios[peer] >= factor else 'MISSED'})"
            for peer, factor in goals.items()
        ]
        print(f"{case.name:26}{cells}  {case.unit:8} {', '.join(words)}")
        results.append({"case": case.name, "unit": case.unit, "median": row, "ratio": ratios, "goal": goals})
    return held, {"benchmark": "tftp", "block": BLOCK, "goals_held": held, "results": results}


def measure(lan: Lan, load: Path, case: Case, seconds: float) -> float:
    """Run the load client once; return MB/s, or files/s for small files."""
    words = (SERVER, 69, case.file, case.clients, BLOCK, case.window, seconds)
    done = lan.client.run(*NICE, str(load), *map(str, words), timeout=seconds + 30)
    report = json.loads(done.stdout)
    if report["errors"] or not report["bytes"]:
        raise RuntimeError(f"{case.name}: {report}")
    return float(report["bytes"] / 1e6 if case.file == BIG else report["files"]) / float(report["seconds"])


@contextmanager
def running(namespace: Namespace, command: list[str]) -> Iterator[None]:
    """Run a server in the namespace until it answers, and end it after."""
    process = namespace.popen(
        *NICE, *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for_server(namespace)
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            # Some fork for each request, so the one we started is not all there is.
            for pid in namespace.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(3)


def wait_for_server(namespace: Namespace) -> None:
    """Ask for the small file until it comes; 20 seconds at most."""
    with namespace.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0.2)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            sock.sendto(b"\0\1" + SMALL.encode() + b"\0octet\0", (SERVER, 69))
            packet, peer = sock.recvfrom(1024)
        except OSError:
            time.sleep(0.05)
            continue
        if packet[:2] == b"\0\3":
            sock.sendto(b"\0\5\0\0ready\0", peer)
            sock.close()
            return
    raise RuntimeError("the server did not answer within 20 s")


def server_command(peer: str, directory: Path) -> list[str] | None:
    """Return how to start a server, or None with a word on what is missing."""
    match peer:
        case "hostler" | "recorded":
            ours = [sys.executable, str(Path(__file__).resolve()), "--serve", str(directory)]
            return [*ours, "--record"] if peer == "recorded" else ours
        case "tftpd-hpa":
            program = shutil.which("in.tftpd") or "/usr/sbin/in.tftpd"
            command = [
                program,
                "--listen",
                "--foreground",
                "--user",
                "root",
                "--address",
                f"{SERVER}:69",
                "--secure",
            ]
            return [*command, str(directory)]
        case "dnsmasq":
            program = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"
            command = [program, "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root"]
            command += [
                "--enable-tftp",
                f"--tftp-root={directory}",
                "--tftp-max=1000",
                "--log-facility=/dev/null",
            ]
            return [*command, f"--listen-address={SERVER}", "--bind-interfaces", "--pid-file="]
        case "atftpd":
            unpacked = atftpd()
            if unpacked is None:
                print("atftpd could not be fetched (apt-get download atftpd); left out", file=sys.stderr)
                return None
            command = [unpacked, "--daemon", "--no-fork", "--bind-address", SERVER, "--maxthread", "1000"]
            return [*command, "--user", "root.root", "--logfile", "/dev/null", str(directory)]
    raise SystemExit(f"no such server: {peer}; choose of {', '.join(PEERS)}")


def atftpd() -> str | None:
    """Return a path to atftpd, unpacked into the cache if it is not installed."""
    program = CACHE / "atftpd" / "usr" / "sbin" / "atftpd"
    installed = shutil.which("atftpd")
    if installed or program.exists():
        return installed or str(program)
    CACHE.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        ["apt-get", "download", "atftpd"], cwd=CACHE, capture_output=True, check=False, timeout=120
    )
    packages = sorted(CACHE.glob("atftpd_*.deb"))
    if fetched.returncode != 0 or not packages:
        return None
    subprocess.run(["dpkg", "-x", packages[-1], CACHE / "atftpd"], check=True, timeout=60)
    return str(program)


def serve(directory: Path, *, record: bool) -> int:
    """Run Hostler's server as the netboot process does: a thread, in a process that is not ours.

    With ``record`` packets are kept beside it, of all clients as if they were one board that boots.
    """
    address = IPv4Interface(f"{SERVER}/24")
    network = NetworkConfig("bench", SERVER_INTERFACE, address, address.ip, address.ip)
    files = {name: directory / name for name in (BIG, SMALL)}

    def open_file(_: IPv4Address, name: str) -> VirtualFile | None:
        path = files.get(name)
        return VirtualFile(path) if path else None

    server = TftpServer([network], open_file, lambda _: None, TftpLimits(per_client=1024))
    table = BootTable()
    table.put(Target("board", "x86-bios", "amd64", ("52:54:00:77:00:01",), boot="1"))
    recorder = PacketRecorder([network], table, lambda _: None, directory)
    if record:
        recorder.start()
    server.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.stop()
    recorder.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
