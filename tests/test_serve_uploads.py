"""Uploads when the server or the client is killed in the middle: they go on where they stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.client.client import Client
from hostler.client.settings import Settings
from running_server import running_server
from slow_link import SlowLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.client.documents import ImportProgress

MIB = 1024 * 1024
TERMS = {"arch": "amd64", "platforms": ["x86-bios"]}


def test_the_server_is_killed(tmp_path: Path) -> None:
    """One import in one client outlasts kill -9 of the server: after its restart only the rest is sent."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(random.Random(1).randbytes(56 * MIB))
    told: list[ImportProgress] = []
    there = threading.Event()

    with running_server(tmp_path / "state") as first:
        token, port = first.token, first.port

        def heard(now: ImportProgress) -> None:
            told.append(now)
            # Sent is not come: the sockets between hold some megabytes.
            if now["read"] >= 40 * MIB and not there.is_set():
                there.set()
                first.process.send_signal(signal.SIGKILL)

        with Client(Settings(first.url, token)) as client:
            made: list[object] = []
            sending = threading.Thread(
                target=lambda: made.append(client.import_image("disk", disk, progress=heard, **TERMS))
            )
            sending.start()
            assert there.wait(60)
            first.process.wait(60)
            come = sum(path.stat().st_size for path in (tmp_path / "state/uploads").glob("*.data"))
            assert 0 < come < 56 * MIB
            with running_server(tmp_path / "state", listen=f"127.0.0.1:{port}"):
                sending.join(120)
                assert made, told[-5:]
                assert "waiting" in {now["event"] for now in told}
                resumed = next(i for i, now in enumerate(told) if now["event"] == "waiting")
                after = [
                    now["read"] for now in told[resumed:] if now["event"] == "progress" and not now["out"]
                ]
                assert after[0] > come - MIB  # not from the beginning
                assert b"".join(client.image_content("disk")) == disk.read_bytes()
                assert client.uploads() == []


def test_the_client_is_killed(tmp_path: Path) -> None:
    """The same command again sends the rest alone."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(random.Random(2).randbytes(20 * MIB))
    with running_server(tmp_path / "state") as server, SlowLink(server.port) as link:
        environment = {
            **os.environ, "HOSTLER_URL": f"http://127.0.0.1:{link.port}", "HOSTLER_TOKEN": server.token,
        }  # fmt: skip
        command = [
            str(Path(sys.executable).parent / "hostler"), "image", "import", "disk", str(disk),
            "--arch", "amd64", "--platforms", "x86-bios",
        ]  # fmt: skip
        with Client(Settings(server.url, server.token)) as client:
            link.hold_after(9 * MIB)
            with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:
                _until(lambda: any(upload["offset"] > 7 * MIB for upload in client.uploads()))
                process.kill()
            link.cut()
            link.hold_after(None)
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=120, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert link.carried < 14 * MIB
            assert b"".join(client.image_content("disk")) == disk.read_bytes()
            assert client.uploads() == []


def _until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
