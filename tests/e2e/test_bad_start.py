"""A server that cannot do what it was told says what and why, and changes nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from whole_lab import hostler

from hostler.client.client import Client
from hostler.client.settings import Settings
from hostler.client.waiting import wait_healthy
from hostler.demo.children import Child
from hostler.demo.lab import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIND = ("--arch", "amd64", "--platforms", "x86-bios")
LAB = """[lab]
name = "bench"

[networks.boot]
interface = "lo"
address = "127.77.0.1/24"
range = "127.77.0.100-127.77.0.199"

[classes.pc]
platform = "x86-bios"
"""


def serve_in_vain(*arguments: str) -> str:
    """Run a server that cannot start and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "hostler.cli.main", "serve", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert "hst_" not in done.stdout, "no token before all that can fail"
    return done.stderr


@contextmanager
def serving(tmp_path: Path, *arguments: str) -> Iterator[Client]:
    """Run a server."""
    listen = f"127.0.0.1:{free_ports(tmp_path).consoles[0]}"
    child = Child("server", ["serve", "--listen", listen, *arguments], tmp_path / "server.log")
    try:
        child.wait_until(lambda: bool(child.tokens), seconds=30, what="a token")
        with Client(Settings(f"http://{listen}", child.tokens[0])) as client:
            wait_healthy(client, seconds=30, alive=child.alive)
            yield client
    finally:
        child.stop()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("platform = x86-bios", r"lab.toml:10"),
        ('platform = "x86-bois"', 'lab.toml:10: classes.pc.platform: there is no platform "x86-bois"'),
        ('platform = "x86-bios"\ncolour = "red"', 'lab.toml:11: unknown key "colour" in [classes.pc]'),
    ],
)
def test_a_malformed_lab_is_told_by_file_line_and_key(tmp_path: Path, wrong: str, says: str) -> None:
    """A server does not start on a ``lab.toml`` with a mistake; it says where the mistake is."""
    (tmp_path / "lab.toml").write_text(LAB.replace('platform = "x86-bios"', wrong))
    listen = f"127.0.0.1:{free_ports(tmp_path).consoles[0]}"
    said = serve_in_vain(
        "--config", str(tmp_path / "lab.toml"), "--state", str(tmp_path / "state"), "--listen", listen
    )
    assert says in said


def test_a_taken_api_port_is_named(tmp_path: Path) -> None:
    """The port is looked at before anything is made: no state is left behind."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        said = serve_in_vain("--state", str(tmp_path / "state"), "--listen", listen)
    assert listen in said
    assert "in use" in said
    assert not (tmp_path / "state").exists()


def test_two_servers_do_not_share_a_state(tmp_path: Path) -> None:
    """The second one is refused and the first goes on."""
    with serving(tmp_path, "--state", str(tmp_path / "state")) as client:
        said = serve_in_vain("--state", str(tmp_path / "state"), "--listen", "127.0.0.1:0")
        assert str(tmp_path / "state") in said
        assert client.boards() == []


@pytest.mark.netns
def test_a_full_disk_ends_an_import_and_nothing_else(tmp_path: Path) -> None:
    """An image for which there is no room is refused by name; no byte of it stays, and the server goes on."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a small file system to fill")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(small)], check=True)
    try:
        (tmp_path / "image.raw").write_bytes(os.urandom(48 << 20))
        with serving(tmp_path, "--state", str(small / "state")) as client:
            free = os.statvfs(small).f_bavail
            said = hostler(
                *("image", "import", "big", str(tmp_path / "image.raw")), *KIND,
                url=client.settings.url, token=client.settings.token,
            )  # fmt: skip
            assert said.status == 1, said
            assert "has room for" in said.err, said
            assert "Traceback" not in said.err
            assert client.images() == []
            end = time.monotonic() + 10
            while os.statvfs(small).f_bavail < free - 64:  # blocks of 4 KiB: the log of what happened
                assert time.monotonic() < end, "bytes of the refused image stay"
                time.sleep(0.1)
            (tmp_path / "small.raw").write_bytes(os.urandom(1 << 20))
            done = hostler(
                *("image", "import", "fits", str(tmp_path / "small.raw")), *KIND,
                url=client.settings.url, token=client.settings.token,
            )  # fmt: skip
            assert done.status == 0, done
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)
