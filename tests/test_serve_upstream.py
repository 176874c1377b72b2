"""Two servers: what one offers can be had at the other, whatever is killed or stands still meanwhile."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hostler.client.client import Client
from hostler.client.errors import ClientError
from hostler.client.settings import Settings
from running_server import RunningServer, running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hostler.client.documents import ImportProgress

MIB = 1024 * 1024
TERMS = {"arch": "amd64", "platforms": ["x86-bios"]}


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def names(client: Client) -> list[str]:
    return [image["name"] for image in client.images()]


def lab(place: Path, home: RunningServer, cache: str = "1G") -> Path:
    """The lab.toml of a site that follows a server."""
    place.mkdir(exist_ok=True)
    (place / "upstream.token").write_text(f"{home.token}\n")
    (place / "lab.toml").write_text(
        f'[lab]\nname = "site"\n[images]\nupstream = "{home.url}"\ntoken = "file:upstream.token"\n'
        f'cache = "{cache}"\n'
    )
    return place / "lab.toml"


@contextmanager
def site(place: Path, config: Path, token: str = "") -> Iterator[tuple[RunningServer, Client]]:
    with (
        running_server(place / "state", "--config", str(config)) as server,
        Client(Settings(server.url, token or server.token)) as client,
    ):
        yield server, client


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[RunningServer, Client]]:
    """A server with an image of 40 chunks, each another one."""
    (tmp_path / "disk").write_bytes(random.Random(7).randbytes(40 * MIB))
    with running_server(tmp_path / "home") as server, Client(Settings(server.url, server.token)) as client:
        client.import_image("debian", tmp_path / "disk", **TERMS)
        yield server, client


def cached(place: Path) -> set[str]:
    return {path.name for path in (place / "state/upstream/chunks").glob("*/*")}


def test_what_a_server_offers_is_there_at_another(home: tuple[RunningServer, Client], tmp_path: Path) -> None:
    """It is seen, fetched and looked through; all else is refused; and it goes when it goes at home."""
    server, at_home = home
    place = tmp_path / "site"
    with site(place, lab(place, server)) as (_, client):
        until(lambda: names(client) == ["debian"])
        (image,) = client.images()
        assert image["upstream"] == server.url
        assert image["index"] == at_home.images()[0]["index"]
        assert not cached(place), "nothing comes before somebody wants it"
        seen: list[ImportProgress] = []
        client.fetch_image("debian", seen.append)
        assert len(cached(place)) == 40
        assert client.verify_images()["chunks"] == 40
        with pytest.raises(ClientError, match=f"at home at {server.url}: remove it there"):
            client.remove_image("debian")
        with pytest.raises(ClientError, match="at home at"):
            b"".join(client.image_content("debian"))
        with pytest.raises(ClientError, match=f"at {server.url} already; choose another name"):
            client.import_image("debian", tmp_path / "disk", **TERMS)
        client.import_image("own", tmp_path / "disk", **TERMS)
        at_home.remove_image("debian")
        until(lambda: names(client) == ["own"])


def test_killed_in_the_middle_of_a_fetch(home: tuple[RunningServer, Client], tmp_path: Path) -> None:
    """What a killed site had is whole and is not fetched again; while its upstream is away it says so."""
    server, _ = home
    place = tmp_path / "site"
    config = lab(place, server)
    with site(place, config) as (running, client):
        token = running.token
        until(lambda: names(client) == ["debian"])

        def fetch() -> None:
            with contextlib.suppress(ClientError):
                client.fetch_image("debian")

        fetching = threading.Thread(target=fetch)
        fetching.start()
        until(lambda: len(cached(place)) >= 4)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(60)
        fetching.join(60)
    before = cached(place)
    assert len(before) >= 4
    times = {name: (place / "state/upstream/chunks" / name[:2] / name).stat().st_ino for name in before}
    with site(place, config, token) as (_, client):
        assert names(client) == ["debian"], "known without asking"
        assert client.verify_images()["removed"] == 0
        assert not list((place / "state/upstream/tmp").iterdir())
        client.fetch_image("debian")
    assert len(cached(place)) == 40
    for name, inode in times.items():
        assert (place / "state/upstream/chunks" / name[:2] / name).stat().st_ino == inode


def test_a_line_that_breaks_is_waited_for(home: tuple[RunningServer, Client], tmp_path: Path) -> None:
    """A fetch outlasts a stopped upstream and goes on by itself; a damaged chunk in the cache comes anew."""
    server, _ = home
    place = tmp_path / "site"
    with site(place, lab(place, server)) as (running, client):
        until(lambda: names(client) == ["debian"])
        stopped = threading.Event()

        def stop(now: ImportProgress) -> None:
            if now["read"] > 4 * MIB and not stopped.is_set():
                stopped.set()
                server.process.send_signal(signal.SIGSTOP)

        fetching = threading.Thread(target=client.fetch_image, args=("debian", stop))
        fetching.start()
        try:
            running.wait_for("gives no chunks: nothing came for", 60)
        finally:
            server.process.send_signal(signal.SIGCONT)
        fetching.join(60)
        assert len(cached(place)) == 40
        running.wait_for("gives chunks again after")
        damaged = next((place / "state/upstream/chunks").glob("*/*"))
        damaged.write_bytes(b"something else")
        assert client.verify_images()["removed"] == 1
        client.fetch_image("debian")
        assert client.verify_images() == {**client.verify_images(), "removed": 0, "faults": [], "chunks": 40}
