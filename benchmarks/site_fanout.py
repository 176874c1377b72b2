"""One image over a line to a site with N boards: the site's mirror beside nginx's cache and one rsync (root).

    python benchmarks/site_fanout.py [--boards 1 8] [--size-mib 128] [--rate 200] [--rtt 100] [--json FILE]
                                     [--ways hostler nginx rsync]

Home and site are a namespace each, on a cable shaped with tbf, and a relay holds all that is said (see
``delay_relay``); the boards are in the site's. The image does not compress. Seconds are until the last board
has it all, written; ``crossed`` is what home's end of the cable sent, by the image's size; ``filled`` is how
much of what the line could carry meanwhile that was. rsync brings the raw image to the site once and serves
no board: it shows what the line allows. The start of a board's Python is not counted.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
sys.path.insert(0, str(TESTS))

from hostler.client.client import Client  # noqa: E402
from hostler.client.settings import Settings  # noqa: E402
from netns import CLIENT_INTERFACE, SERVER_INTERFACE, Lan, Namespace, joined  # noqa: E402 - the tests' own
from running_server import running_server  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20
SECONDS = 600
HOME, SITE, FAR = "10.78.0.1", "10.78.0.2", 9000


def shape(lan: Lan, rate: int) -> None:
    """Let the cable carry so many Mbit/s each way."""
    for end, name in ((lan.server, SERVER_INTERFACE), (lan.client, CLIENT_INTERFACE)):
        end.run(
            "tc", "qdisc", "add", "dev", name, "root", "tbf", "rate", f"{rate}mbit", "burst", "256k",
            "limit", "8m",
        )  # fmt: skip


@contextmanager
def far(lan: Lan, port: int, rtt: int) -> Iterator[None]:
    """Have a port of home's at the site, at its own address, and so many milliseconds away."""
    relay = (sys.executable, str(HERE / "delay_relay.py"), str(FAR), HOME, str(port), str(rtt / 2000))
    with running(lan.client, *relay, port=FAR):
        yield


def sent(lan: Lan) -> int:
    """Bytes that home has sent."""
    return int(lan.server.run("cat", f"/sys/class/net/{SERVER_INTERFACE}/statistics/tx_bytes").stdout)


@contextmanager
def running(namespace: Namespace, *command: str, port: int) -> Iterator[None]:
    """Run a server until the block ends."""
    process = namespace.popen(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while f":{port} " not in namespace.run("ss", "-ltn").stdout:
            if time.monotonic() > end:
                raise RuntimeError(f"{command[0]} does not listen on port {port}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


def hostler(lan: Lan, place: Path, image: Path, boards: int, rtt: int, measured: Measured) -> None:
    """Boards install through the site's netboot process; home is a server."""
    with ExitStack() as stack:
        server = stack.enter_context(
            running_server(place / "state", "--plain-http", listen=f"{HOME}:8066", before=lan.server.argv())
        )
        with lan.server.entered(), Client(Settings(f"http://{HOME}:8066", server.token)) as client:
            client.import_image("image", image, arch="amd64", platforms=["x86-bios"])
        stack.enter_context(far(lan, 8066, rtt))
        site = lan.client.popen(
            sys.executable, str(TESTS / "upstream_site.py"), f"http://127.0.0.1:{FAR}", server.token,
            str(place / "site"), str(1 << 34), str(boards), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert site.stdout is not None
        try:
            index = site.stdout.readline().removeprefix("ready ").strip()
            work = (sys.executable, str(TESTS / "upstream_boards.py"), index, str(place), str(boards))
            with measured():
                ended = lan.client.run(*work, timeout=SECONDS).stdout.splitlines()
            if any("error" in json.loads(line) for line in ended):
                raise RuntimeError(f"a board failed: {ended}")
            measured.seconds = max(json.loads(line)["seconds"] for line in ended)
        finally:
            site.communicate(timeout=30)


NGINX = """
daemon off; worker_processes 2; pid {place}/{name}.pid; error_log {place}/{name}.log;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; client_body_temp_path {place}/{name}-body;
  proxy_temp_path {place}/{name}-temp; fastcgi_temp_path {place}/{name}-f; uwsgi_temp_path {place}/{name}-u;
  scgi_temp_path {place}/{name}-s;
  {more} }}
"""


def nginx(lan: Lan, place: Path, image: Path, boards: int, rtt: int, measured: Measured) -> None:
    """Boards fetch the raw image through a cache at the site, which lets one of them fetch at a time."""
    home = f"server {{ listen {HOME}:8080; root {image.parent}; }}"
    cache = (
        f"proxy_cache_path {place}/cache keys_zone=c:1m max_size=10g inactive=1h use_temp_path=off;"
        f"server {{ listen 127.0.0.1:8081; location / {{ proxy_pass http://127.0.0.1:{FAR}; proxy_cache c;"
        " proxy_cache_valid 200 1h; proxy_cache_lock on; proxy_cache_lock_timeout 600s;"
        " proxy_cache_lock_age 600s; } }"
    )
    with ExitStack() as stack:
        for namespace, name, more, port in (
            (lan.server, "home", home, 8080),
            (lan.client, "cache", cache, 8081),
        ):
            config = place / f"{name}.conf"
            config.write_text(NGINX.format(place=place, name=name, more=more))
            stack.enter_context(running(namespace, "nginx", "-c", str(config), port=port))
        stack.enter_context(far(lan, 8080, rtt))
        url = f"http://127.0.0.1:8081/{image.name}"
        with measured():
            fetches = [lan.client.popen("curl", "-sf", "-o", "/dev/null", url) for _ in range(boards)]
            for fetch in fetches:
                if fetch.wait(SECONDS):
                    raise RuntimeError("a fetch failed")


def rsync(lan: Lan, place: Path, image: Path, boards: int, rtt: int, measured: Measured) -> None:
    """The raw image comes to the site once."""
    del boards
    config = place / "rsyncd.conf"
    config.write_text(f"use chroot = no\nuid = root\ngid = root\n[home]\npath = {image.parent}\n")
    command = ("rsync", "--daemon", "--no-detach", f"--config={config}", f"--address={HOME}", "--port=8730")
    with running(lan.server, *command, port=8730), far(lan, 8730, rtt), measured():
        lan.client.run(
            "rsync",
            f"--port={FAR}",
            f"rsync://127.0.0.1/home/{image.name}",
            str(place / "copy"),
            timeout=SECONDS,
        )


WAYS: dict[str, Callable[[Lan, Path, Path, int, int, Measured], None]] = {
    "hostler": hostler, "nginx": nginx, "rsync": rsync,
}  # fmt: skip
NEEDS = {"nginx": "nginx", "rsync": "rsync"}


class Measured:
    """Takes the time of a block, and what crossed the line meanwhile."""

    def __init__(self, lan: Lan) -> None:
        self._lan = lan
        self.seconds = 0.0
        self.bytes = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Measure the block."""
        before, began = sent(self._lan), time.monotonic()
        yield
        self.seconds = time.monotonic() - began
        self.bytes = sent(self._lan) - before


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boards", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--size-mib", type=int, default=128)
    parser.add_argument("--rate", type=int, default=200, help="Mbit/s")
    parser.add_argument("--rtt", type=int, default=100, help="milliseconds")
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=list(WAYS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no namespace is left
    for way in options.ways:
        if way in NEEDS and shutil.which(NEEDS[way]) is None:
            print(f"site_fanout: {NEEDS[way]} is not installed", file=sys.stderr)
            return 1
    size = options.size_mib * MIB
    rows = []
    with tempfile.TemporaryDirectory(prefix="site-fanout-") as temporary:
        Path(temporary).chmod(0o755)  # nginx's workers are somebody else
        (Path(temporary) / "home").mkdir()
        image = Path(temporary) / "home/image"
        with image.open("wb") as file:
            for _ in range(options.size_mib):
                file.write(os.urandom(MIB))
        print(f"{options.size_mib} MiB over {options.rate} Mbit/s, {options.rtt} ms there and back")
        print(f"{'way':<10}{'boards':>7}{'seconds':>9}{'crossed':>9}{'filled':>8}{'load':>6}")
        for boards in options.boards:
            for way in options.ways:
                place = Path(temporary) / f"{way}-{boards}"
                place.mkdir()
                with joined(f"{HOME}/24", f"{SITE}/24") as lan:
                    shape(lan, options.rate)
                    measured = Measured(lan)
                    WAYS[way](lan, place, image, boards, options.rtt, measured)
                row = {
                    "way": way, "boards": boards, "seconds": measured.seconds,
                    "crossed": measured.bytes / size,
                    "filled": measured.bytes * 8 / measured.seconds / options.rate / 1e6,
                    "load": os.getloadavg()[0],
                }  # fmt: skip
                rows.append(row)
                print(
                    f"{way:<10}{boards:>7}{row['seconds']:>9.2f}{row['crossed']:>9.3f}{row['filled']:>8.0%}"
                    f"{row['load']:>6.1f}",
                    flush=True,
                )
                shutil.rmtree(place)
    if options.json:
        terms = {"size_mib": options.size_mib, "rate_mbit": options.rate, "rtt_ms": options.rtt}
        options.json.write_text(json.dumps({**terms, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
