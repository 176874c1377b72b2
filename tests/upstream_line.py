"""An image that is at home behind a line, and a site whose boards install it.

Home is the real server in one network namespace, the site's netboot process and the agents' installations are
in another one.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.client.client import Client
from hostler.client.settings import Settings
from netns import SERVER_INTERFACE, Lan, joined
from running_server import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1024 * 1024
SIZE = 48 * MIB
HERE = Path(__file__).parent


def until(condition: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@dataclass
class Home:
    lan: Lan
    url: str
    token: str
    sha256: str

    @contextmanager
    def slowed(self, rate: str) -> Iterator[None]:
        """Let home send no faster than this."""
        shape = ("root", "tbf", "rate", rate, "burst", "128k", "limit", "1m")
        self.lan.server.run("tc", "qdisc", "add", "dev", SERVER_INTERFACE, *shape)
        try:
            yield
        finally:
            self.lan.server.run("tc", "qdisc", "del", "dev", SERVER_INTERFACE, "root")

    def crossed(self) -> int:
        """Bytes that home has sent."""
        path = f"/sys/class/net/{SERVER_INTERFACE}/statistics/tx_bytes"
        return int(self.lan.server.run("cat", path).stdout)


@contextmanager
def at_home(place: Path) -> Iterator[Home]:
    """A server with an image that does not compress, at one end of a cable."""
    place.mkdir(exist_ok=True)
    disk = random.Random(11).randbytes(SIZE)
    (place / "disk").write_bytes(disk)
    with (
        joined("10.78.0.1/24", "10.78.0.2/24") as lan,
        running_server(
            place / "state", "--plain-http", listen="10.78.0.1:8066", before=lan.server.argv()
        ) as server,
    ):
        with lan.server.entered(), Client(Settings("http://10.78.0.1:8066", server.token)) as client:
            client.import_image("debian", place / "disk", arch="amd64", platforms=["x86-bios"])
        yield Home(lan, "http://10.78.0.1:8066", server.token, hashlib.sha256(disk).hexdigest())


@dataclass
class Site:
    home: Home
    process: subprocess.Popen[str]
    index: str = ""
    events: list[dict[str, object]] = field(default_factory=list)

    def told(self) -> list[str]:
        """What was said of boards that waited for the upstream."""
        return [str(event["text"]) for event in self.events if event["kind"] == "upstream"]


@contextmanager
def site(home: Home, folder: Path, boards: int, cache: int = 1 << 30) -> Iterator[Site]:
    process = home.lan.client.popen(
        sys.executable, str(HERE / "upstream_site.py"), home.url, home.token, str(folder), str(cache),
        str(boards), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    made = Site(home, process)
    try:
        assert process.stdout is not None
        made.index = process.stdout.readline().removeprefix("ready ").strip()
        assert made.index, "the site did not start"
        lines = process.stdout
        reader = threading.Thread(
            target=lambda: made.events.extend(map(json.loads, iter(lines.readline, ""))), daemon=True
        )
        reader.start()
        yield made
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


class Boards:
    """Boards that install, from when it is made."""

    def __init__(self, home: Home, index: str, folder: Path, count: int) -> None:
        self._process = home.lan.client.popen(
            sys.executable, str(HERE / "upstream_boards.py"), index, str(folder), str(count),
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def done(self) -> list[dict[str, object]]:
        """How each ended."""
        out, _ = self._process.communicate(timeout=150)
        return [json.loads(line) for line in out.splitlines()]


def cached(folder: Path) -> set[str]:
    return {path.name for path in (folder / "upstream/chunks").glob("*/*")}
