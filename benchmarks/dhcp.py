"""DHCP: Hostler with durable leases against Kea, dnsmasq and ISC dhcpd, in one run.

perfdhcp (Debian: kea-admin) plays 1,000 clients behind a relay, in a network namespace of its own. For each
server the highest rate of DISCOVER–OFFER–REQUEST–ACK exchanges is searched that loses less than 1 % of them.

    python benchmarks/dhcp.py [--seconds N] [--json FILE] [--only NAME,NAME]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from netns import CLIENT_INTERFACE, SERVER_INTERFACE, Lan, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVER = IPv4Interface("10.77.0.1/20")
CLIENT = IPv4Interface("10.77.0.2/20")
FIRST, LAST = IPv4Address("10.77.2.0"), IPv4Address("10.77.9.255")
CLIENTS = 1000
LEASE_SECONDS = 3600
LOSS = 0.01
LOWEST, HIGHEST, ROUNDS, TRIES = 100.0, 32_000.0, 7, 2


@dataclass(frozen=True)
class Trial:
    """One run of perfdhcp at one rate."""

    asked: float
    rate: float
    loss: float
    cpu_us: float

    @property
    def held(self) -> bool:
        """Whether the server kept up, and perfdhcp with it."""
        return self.loss < LOSS and self.rate > 0.9 * self.asked


def hostler(folder: Path) -> list[str]:
    return [sys.executable, __file__, "--serve", str(folder / "leases")]


def hostler_boards(folder: Path) -> list[str]:
    return [*hostler(folder), "--boards"]


def hostler_recorded(folder: Path) -> list[str]:
    return [*hostler_boards(folder), "--record"]


def kea(folder: Path, *, persist: bool = True) -> list[str]:
    config = {
        "Dhcp4": {
            "interfaces-config": {"interfaces": [SERVER_INTERFACE], "dhcp-socket-type": "udp"},
            "lease-database": {
                "type": "memfile",
                "persist": persist,
                "name": str(folder / "kea.leases"),
                "lfc-interval": 0,
            },
            "valid-lifetime": LEASE_SECONDS,
            "subnet4": [{"subnet": str(SERVER.network), "pools": [{"pool": f"{FIRST} - {LAST}"}]}],
            "loggers": [{"name": "kea-dhcp4", "severity": "FATAL"}],
        }
    }
    path = folder / "kea.json"
    path.write_text(json.dumps(config))
    return ["env", f"KEA_PIDFILE_DIR={folder}", f"KEA_LOCKFILE_DIR={folder}", "kea-dhcp4", "-c", str(path)]


def dnsmasq(folder: Path) -> list[str]:
    return [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root",
        f"--interface={SERVER_INTERFACE}", f"--dhcp-range={FIRST},{LAST},{SERVER.netmask},{LEASE_SECONDS}",
        f"--dhcp-leasefile={folder}/dnsmasq.leases", "--dhcp-lease-max=5000",
        "--dhcp-authoritative", "--no-ping", "--quiet-dhcp", f"--pid-file={folder}/dnsmasq.pid",
    ]  # fmt: skip


def dhcpd(folder: Path) -> list[str]:
    config = folder / "dhcpd.conf"
    config.write_text(
        f"authoritative; default-lease-time {LEASE_SECONDS}; ping-check false;\n"
        f"subnet {SERVER.network.network_address} netmask {SERVER.netmask} {{ range {FIRST} {LAST}; }}\n"
    )
    leases = folder / "dhcpd.leases"
    leases.touch()
    return [
        "dhcpd", "-4", "-f", "-q", "-cf", str(config), "-lf", str(leases), "-pf", f"{folder}/dhcpd.pid",
        SERVER_INTERFACE,
    ]  # fmt: skip


SERVERS: dict[str, Callable[[Path], list[str]]] = {
    "hostler": hostler,
    "hostler-boards": hostler_boards,
    "hostler-recorded": hostler_recorded,
    "kea": kea,
    "dnsmasq": dnsmasq,
    "dhcpd": dhcpd,
}


@contextmanager
def running(lan: Lan, name: str) -> Iterator[int]:
    """Start a server in its namespace with a fresh folder for its leases; yield its process id."""
    # Not /tmp, which may be memory: leases are to reach a disk.
    base = Path(__file__).resolve().parent.parent / "var"
    base.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-dhcp-", dir=base))
    log = (folder / "log").open("w+")
    process = lan.server.popen(*SERVERS[name](folder), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while not lan.server.run("ss", "-Hlun", "sport = :67").stdout:
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                raise SystemExit(f"{name} does not start:\n{log.read()}")
            time.sleep(0.05)
        time.sleep(0.3)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except TimeoutError:
            process.kill()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def trial(lan: Lan, pid: int, rate: float, seconds: float) -> Trial:
    """Ask at one rate for some seconds."""
    before = cpu_seconds(pid)
    # -W: wait half a second for the last answers, or they would count as lost.
    done = lan.client.run(
        "perfdhcp", "-4", "-l", CLIENT_INTERFACE, "-r", str(round(rate)), "-R", str(CLIENTS),
        "-p", str(round(seconds)), "-W", "500000", str(SERVER.ip),
        timeout=seconds * 4 + 30, check=False,
    )  # fmt: skip
    cpu = cpu_seconds(pid) - before
    sent = [int(value) for value in re.findall(r"sent packets: (\d+)", done.stdout)]
    received = [int(value) for value in re.findall(r"received packets: (\d+)", done.stdout)]
    if len(sent) < 2 or len(received) < 2:
        raise SystemExit(f"perfdhcp failed: {done.stdout}{done.stderr}")
    lost = (sent[0] - received[0]) + (sent[1] - received[1])
    return Trial(
        rate,
        received[1] / seconds,  # perfdhcp's own figure counts the wait at the end as time
        lost / sent[0] if sent[0] else 1.0,
        cpu * 1e6 / received[1] if received[1] else 0.0,
    )


class Search:
    """Finds the highest rate a server holds, by halving the logarithm of what is left."""

    def __init__(self, name: str, lan: Lan, pid: int) -> None:
        self.name, self._lan, self._pid = name, lan, pid
        self._low, self._high = LOWEST, HIGHEST
        self.found = Trial(0, 0, 1, 0)
        trial(lan, pid, 500, 2)  # every client has been seen once

    def step(self, seconds: float) -> None:
        """Try the next rate."""
        rate = (self._low * self._high) ** 0.5
        for _ in range(TRIES):  # a neighbour on a shared machine is no fault of the server
            one = trial(self._lan, self._pid, rate, seconds)
            text = (
                f"{rate:6.0f}/s asked, {one.rate:6.0f} done, {one.loss:6.2%} lost, {one.cpu_us:4.0f} µs each"
            )
            print(f"  {self.name}: {text}", file=sys.stderr)
            if one.held:
                self._low = rate
                self.found = max(self.found, one, key=lambda trial: trial.rate)
                return
        self._high = rate


def cpu_seconds(pid: int) -> float:
    """Return what the process and its threads have used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(state: Path, *, boards: bool, record: bool) -> None:
    """Run Hostler's DHCP server until SIGTERM, with an empty inventory or with a board for each client.

    With ``record`` the packets are kept beside it, in the same process, as where boards are served.
    """
    from hostler.model.boot import BootIntent
    from hostler.netboot.dhcp_server import DhcpServer
    from hostler.netboot.packet_recorder import PacketRecorder
    from hostler.netboot.table import BootTable, NetworkConfig, Target

    table = BootTable()
    if boards:
        for number in range(CLIENTS):
            # perfdhcp counts up from this base.
            mac = (0x000C01020304 + number).to_bytes(6, "big").hex(":")
            table.put(
                Target(f"board-{number}", "x86-bios", "amd64", (mac,), intent=BootIntent.STEP, boot="1")
            )
    trace: deque[object] = deque(maxlen=1000)
    network = NetworkConfig(
        "bench", SERVER_INTERFACE, SERVER, FIRST, LAST, lease_seconds=LEASE_SECONDS, router=SERVER.ip
    )
    server = DhcpServer([network], table, trace.append, state=state)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    recorder = PacketRecorder([network], table, lambda _: None, state.parent)
    server.open()
    if record:
        recorder.start()
    server.start()
    signal.sigwait({signal.SIGTERM})
    server.stop()
    recorder.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3, help="length of each trial")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument("--only", help="servers to measure, separated by commas")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--boards", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--record", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, boards=arguments.boards, record=arguments.record)
        return
    names = arguments.only.split(",") if arguments.only else list(SERVERS)
    with ExitStack() as stack:
        searches = []
        for name in names:
            lan = stack.enter_context(joined(str(SERVER), str(CLIENT)))
            searches.append(Search(name, lan, stack.enter_context(running(lan, name))))
        # In turns, so that what else the machine does hits all alike; who is not asked sleeps.
        for _ in range(ROUNDS):
            for search in searches:
                search.step(arguments.seconds)
        results = {search.name: search.found for search in searches}
    print(f"\n{'server':<16}{'exchanges/s':>12}{'CPU µs each':>13}{'lost':>8}")
    for name, one in results.items():
        print(f"{name:<16}{one.rate:>12.0f}{one.cpu_us:>13.0f}{one.loss:>8.2%}")
    ratios = {}
    if "kea" in results and results["kea"].rate:
        for name in ("hostler", "hostler-boards", "hostler-recorded"):
            if name in results:
                ratios[name] = results[name].rate / results["kea"].rate
                print(f"{name} / kea: {ratios[name]:.2f}")
    if arguments.json:
        document = {"servers": {name: asdict(one) for name, one in results.items()}, "ratio_to_kea": ratios}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
