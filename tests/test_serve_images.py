"""The image store of a server that is killed: what was there is there, and nothing else is."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from typing import TYPE_CHECKING

from hostler.client.client import Client
from hostler.client.errors import ClientError
from hostler.client.settings import Settings
from running_server import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.client.documents import ImportProgress

MIB = 1024 * 1024


def test_killed_in_the_middle_of_an_import(tmp_path: Path) -> None:
    """At its next start the server has the images it had, whole, and no rest of the one that was coming."""
    state, terms = tmp_path / "state", {"arch": "amd64", "platforms": ["x86-bios"]}
    (tmp_path / "small").write_bytes(os.urandom(MIB))
    (tmp_path / "large").write_bytes((tmp_path / "small").read_bytes() + random.Random(1).randbytes(60 * MIB))
    with running_server(state) as server:
        token = server.token
        with Client(Settings(server.url, token)) as client:
            client.import_image("kept", tmp_path / "small", **terms)
            seen = threading.Event()

            def stored(now: ImportProgress) -> None:
                if now["out"] and not seen.is_set():
                    seen.set()
                    server.process.send_signal(signal.SIGKILL)

            with contextlib.suppress(ClientError):
                client.import_image("lost", tmp_path / "large", progress=stored, **terms)
            assert seen.is_set()
        server.process.wait(60)
    assert list((state / "images" / "tmp").iterdir()), "it was killed while there was something to clear up"
    with running_server(state) as server, Client(Settings(server.url, token)) as client:
        assert [image["name"] for image in client.images()] == ["kept"]
        assert not list((state / "images" / "tmp").iterdir())
        assert not list((state / "spool").iterdir())
        assert client.sweep_images()["freed_bytes"] == 0
        assert client.verify_images()["faults"] == []
        assert b"".join(client.image_content("kept")) == (tmp_path / "small").read_bytes()
        again = client.import_image("lost", tmp_path / "large", **terms)
        assert again["provenance"]["new_chunks"] == 60
        assert client.verify_images()["faults"] == []
