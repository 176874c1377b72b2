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

MIB = 1024 * 1024
CHUNKS = 40
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


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk of 40 chunks, each another one."""
    path = tmp_path_factory.mktemp("disk") / "disk"
    path.write_bytes(random.Random(7).randbytes(CHUNKS * MIB))
    return path


@pytest.fixture(scope="module")
def home(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Client]]:
    """A server with an image of that disk."""
    state = tmp_path_factory.mktemp("home")
    with running_server(state) as server, Client(Settings(server.url, server.token)) as client:
        client.import_image("debian", disk, **TERMS)
        yield server, client


def cached(place: Path) -> set[str]:
    return {path.name for path in (place / "state/upstream/chunks").glob("*/*")}


@contextmanager
def stopped(server: RunningServer) -> Iterator[None]:
    """A server that takes connections and says nothing."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_a_site_of_a_server(home: tuple[RunningServer, Client], disk: Path, tmp_path: Path) -> None:
    """What the other offers is seen and fetched, a stopped line waited for; all else is refused.

    A damaged chunk of the cache comes anew; and an image goes when it goes at home.
    """
    server, at_home = home
    (tmp_path / "small").write_bytes(b"small" * MIB)
    at_home.import_image("passing", tmp_path / "small", **TERMS)
    place = tmp_path / "site"
    with site(place, lab(place, server)) as (running, client):
        until(lambda: sorted(names(client)) == ["debian", "passing"])
        told = {image["name"]: image["index"] for image in at_home.images()}
        for image in client.images():
            assert (image["upstream"], image["index"]) == (server.url, told[image["name"]])
        assert not cached(place), "nothing comes before somebody wants it"
        client.fetch_image("debian")
        assert len(cached(place)) == CHUNKS
        assert client.verify_images()["chunks"] == CHUNKS

        for name in sorted(cached(place))[:3]:
            (place / "state/upstream/chunks" / name[:2] / name).write_bytes(b"something else")
        assert client.verify_images()["removed"] == 3
        fetching = threading.Thread(target=client.fetch_image, args=("debian",))
        with stopped(server):
            fetching.start()
            running.wait_for("gives no chunks: nothing came for", 60)
        fetching.join(60)
        running.wait_for("gives chunks again after")
        assert client.verify_images() == {
            **client.verify_images(), "removed": 0, "faults": [], "chunks": CHUNKS,
        }  # fmt: skip

        with pytest.raises(ClientError, match=f"at home at {server.url}: remove it there"):
            client.remove_image("debian")
        with pytest.raises(ClientError, match="at home at"):
            b"".join(client.image_content("debian"))
        with pytest.raises(ClientError, match=f"at {server.url} already; choose another name"):
            client.import_image("debian", disk, **TERMS)
        client.import_image("own", tmp_path / "small", **TERMS)
        at_home.remove_image("passing")
        until(lambda: sorted(names(client)) == ["debian", "own"])


def test_killed_in_the_middle_of_a_fetch(home: tuple[RunningServer, Client], tmp_path: Path) -> None:
    """What a killed site had is whole and is not fetched again; what is offered it knows without asking."""
    server, _ = home
    place = tmp_path / "site"
    config = lab(place, server)
    with site(place, config) as (running, client):
        token = running.token
        until(lambda: "debian" in names(client))

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
    with contextlib.ExitStack() as away:
        away.enter_context(stopped(server))
        with site(place, config, token) as (_, client):
            assert "debian" in names(client)
            assert client.verify_images()["removed"] == 0
            assert not list((place / "state/upstream/tmp").iterdir())
            away.close()
            client.fetch_image("debian")
    assert len(cached(place)) == CHUNKS
    for name, inode in times.items():
        assert (place / "state/upstream/chunks" / name[:2] / name).stat().st_ino == inode
