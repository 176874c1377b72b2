"""One image to N boards over one uplink: ours beside HTTP, udpcast, uftp, aria2 and libtorrent (root).

    python benchmarks/distribution.py [--receivers 1 4 16 32] [--size-mib 128] [--rate 200] [--json FILE]
                                      [--ways carousel peers http udpcast uftp aria2 libtorrent]
                                      [--loss PERCENT] [--slow] [--http-most 32]

Every receiver is a namespace of its own on a bridge; the uplink and every port are shaped with tbf. The image
does not compress. Seconds are from the common start until the last receiver has it all; all write to memory.
All receivers share this machine's cores, so it is printed what one of ours takes of them, and how busy they
were: where that is near 100 %, the machine is what is measured, and a lower rate shows what the network
allows. The sender comes first on them (nice), as the rack is a machine of its own.

    --loss       every receiver loses this share of single packets, each others (nftables on its port);
                 receivers put together what arrives together (GRO), as the driver of a real card does
    --slow       one receiver's port has a tenth of the rate; the seconds are those of the others
    --http-most  HTTP takes N times as long with N receivers; with more than this it is left out
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distribution_bittorrent import PYTHON, aria2, libtorrent
from distribution_clock import Clock, Measured
from distribution_site import Site, started
from hostler.images.importer import import_image
from hostler.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
MIB = 1 << 20
SECONDS = 600
WAYS = ("carousel", "peers", "http", "udpcast", "uftp", "aria2", "libtorrent")
TOOLS = {
    "udpcast": ["udp-sender"],
    "uftp": ["uftp"],
    "aria2": ["aria2c", "opentracker", PYTHON],
    "libtorrent": ["opentracker", PYTHON],
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--receivers", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--size-mib", type=int, default=128)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rate", type=int, default=200, help="Mbit/s")
    parser.add_argument("--loss", type=float, default=0.0, help="percent")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--http-most", type=int, default=32)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no namespace is left
    for way, tools in TOOLS.items():
        if way in options.ways and (absent := [tool for tool in tools if shutil.which(tool) is None]):
            print(f"distribution: {absent[0]} is not installed (scripts/setup bench)", file=sys.stderr)
            return 1
    with tempfile.TemporaryDirectory(prefix="distribution-") as place:
        return measure(Path(place), options)


def measure(place: Path, options: argparse.Namespace) -> int:
    image = place / "image"
    subprocess.run(
        ["dd", "if=/dev/urandom", f"of={image}", "bs=1M", f"count={options.size_mib}", "status=none"],
        check=True, timeout=SECONDS,
    )  # fmt: skip
    store = ImageStore(place / "store")
    index = import_image(image, store).index
    table: dict[str, dict[int, float]] = {way: {} for way in options.ways}
    cores: dict[str, dict[int, float]] = {}
    busy: dict[str, dict[int, float]] = {}
    for count in options.receivers:
        for way in options.ways:
            if way == "http" and count > options.http_most:
                continue
            with Site(count, options.rate, options.loss, slow=options.slow) as site:
                took = MEASURES[way](site, place, image, index, options)
            finished = sorted(took.seconds)[: -1 if options.slow and count > 1 else None]
            table[way][count] = finished[-1]
            busy.setdefault(way, {})[count] = took.busy
            load = f"cores {took.busy:.0%} busy, load {os.getloadavg()[0]:.1f}"
            if took.cpu:
                cores.setdefault(way, {})[count] = sum(took.cpu) / count
                load += f", {sum(took.cpu) / count:.2f} s of a core for each receiver"
            print(f"{way:<10} N={count:<3} {finished[-1]:8.2f} s   {load}", flush=True)
    report(options, table, cores, busy)
    return 0


def report(
    options: argparse.Namespace,
    table: dict[str, dict[int, float]],
    cores: dict[str, dict[int, float]],
    busy: dict[str, dict[int, float]],
) -> None:
    limit = options.size_mib * MIB * 8 / options.rate / 1e6
    extra = (f", {options.loss:g} % lost" if options.loss else "") + (
        ", one receiver slow" if options.slow else ""
    )
    print(
        f"\n{options.size_mib} MiB to N receivers at {options.rate} Mbit/s{extra}: "
        "seconds until the last has it"
    )
    print(f"{'way':<10}" + "".join(f"{'N=' + str(count):>9}" for count in options.receivers))
    for way, row in table.items():
        cells = (f"{row[count]:>9.2f}" if count in row else f"{'-':>9}" for count in options.receivers)
        print(f"{way:<10}" + "".join(cells))
    print(f"{'limit':<10}" + "".join(f"{limit:>9.2f}" for _ in options.receivers))
    most, one = max(options.receivers), table.get("http", {}).get(1)
    if one and "carousel" in table and most > 1:
        ratio, goal = table["carousel"][most] / one, 1.3 if options.loss else 1.15
        print(
            f"goal (carousel N={most} <= {goal} x HTTP N=1): {ratio:.2f}, "
            f"{'met' if ratio <= goal else 'MISSED'}"
        )
    if options.json:
        terms = {name: getattr(options, name) for name in ("size_mib", "rate", "loss", "slow")}
        machine = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
        rounded, core_seconds, shares = (
            {way: {count: round(value, 2) for count, value in row.items()} for way, row in one.items()}
            for one in (table, cores, busy)
        )
        kept = {**terms, "machine": machine, "seconds": rounded, "core_seconds_each": core_seconds,
                "busy": shares}  # fmt: skip
        options.json.write_text(json.dumps({**kept, "limit": round(limit, 2)}, indent=1) + "\n")


def ours(way: str) -> Callable[..., Measured]:
    def go(site: Site, place: Path, _image: Path, index: str, options: argparse.Namespace) -> Measured:
        count = len(site.receivers)
        rate = options.rate * 1e6 * 0.955  # what is left for datagrams of 1,400 bytes in frames of 1,466
        command = [
            sys.executable,
            str(HERE / "distribution_server.py"),
            str(place / "store"),
            index,
            str(count),
        ]
        with ExitStack() as stack:
            server = stack.enter_context(started(site.sending(*command, str(rate), way)))
            assert server.stdout is not None
            assert server.stdout.readline().strip() == "ready"
            receiver = [sys.executable, str(HERE / "distribution_receiver.py"), index]
            commands = [
                site.argv(name, *receiver, f"t{n}", str(int(way != "http")))
                for n, name in enumerate(site.receivers)
            ]
            clock, told = race(stack, commands)
            sent = int(server.communicate(timeout=60)[0].splitlines()[-1])
            http = sum(one["fetched"] - one["shared"] - one["peers"] for one in told)
            print(f"  the rack sent {sent / MIB:.0f} MiB, {http / MIB:.0f} MiB of it by HTTP", flush=True)
            seconds = [one["at"] - clock.begun for one in told]
            return Measured(seconds, clock.busy, [one["cpu"] for one in told])

    return go


def udpcast(site: Site, _place: Path, image: Path, _index: str, options: argparse.Namespace) -> Measured:
    """Half duplex off, as fast as the link: its own flow control."""
    count = len(site.receivers)
    with ExitStack() as stack:
        commands = [
            site.argv(
                name, "udp-receiver", "--nokbd", "--file", f"/dev/shm/{site.stem}-{n}", "--interface", "e0"
            )
            for n, name in enumerate(site.receivers)
        ]
        for n in range(count):
            stack.callback(Path(f"/dev/shm/{site.stem}-{n}").unlink, missing_ok=True)
        receivers = [stack.enter_context(started(command)) for command in commands]
        time.sleep(2)
        sender = ["udp-sender", "--nokbd", "--file", str(image), "--interface", "e0", "--full-duplex"]
        limit = ["--min-receivers", str(count), "--max-bitrate", f"{round(options.rate * 0.95)}m"]
        clock = Clock()
        stack.enter_context(started(site.sending(*sender, *limit)))
        seconds = ended(receivers, clock.begun)
        clock.stop()
        return Measured(seconds, clock.busy)


def uftp(site: Site, _place: Path, image: Path, _index: str, options: argparse.Namespace) -> Measured:
    """At a fixed rate just below the link's."""
    with ExitStack() as stack:
        for n, name in enumerate(site.receivers):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
            command = [
                "uftpd",
                "-d",
                "-D",
                str(folder),
                "-I",
                "e0",
                "-U",
                f"0x0000{n + 1:04x}",
                "-B",
                "4194304",
            ]
            stack.enter_context(started(site.argv(name, *command)))
        time.sleep(2)
        clock = Clock()
        sender = ["uftp", "-I", "e0", "-R", str(round(options.rate * 950)), "-B", "4194304", str(image)]
        done = subprocess.run(
            site.sending(*sender), capture_output=True, text=True, timeout=SECONDS, check=False
        )
        seconds = time.monotonic() - clock.begun
        clock.stop()
        if (
            done.stdout.count("status: Completed") + done.stdout.count("Completed  time") < 1
            and done.returncode
        ):
            raise RuntimeError(f"uftp: {done.stdout[-500:]}{done.stderr[-500:]}")
        return Measured([seconds], clock.busy)


MEASURES: dict[str, Callable[..., Measured]] = {
    "carousel": ours("carousel"),
    "peers": ours("peers"),
    "http": ours("http"),
    "udpcast": udpcast,
    "uftp": uftp,
    "aria2": lambda site, place, image, _index, _options: aria2(site, place, image),
    "libtorrent": lambda site, place, image, _index, _options: libtorrent(site, place, image),
}


def race(stack: ExitStack, commands: Sequence[list[str]]) -> tuple[Clock, list[dict[str, Any]]]:
    """Start them all, wait until each is ready, let them go at once; return the clock and what each said."""
    running = [stack.enter_context(started(command)) for command in commands]
    for process in running:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"a receiver did not start: {process.communicate()[1]}")
    clock = Clock()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ended(running, clock.begun)
    clock.stop()
    return clock, [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]


def ended(running: Sequence[subprocess.Popen[str]], begun: float) -> list[float]:
    left = list(running)
    seconds: list[float] = []
    while left:
        for process in list(left):
            if (code := process.poll()) is not None:
                if code:
                    raise RuntimeError(f"{process.args}: {process.communicate()[1][-1000:]}")
                left.remove(process)
                seconds.append(time.monotonic() - begun)
        if time.monotonic() > begun + SECONDS:
            raise RuntimeError(f"{len(left)} receivers did not end")
        time.sleep(0.01)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
