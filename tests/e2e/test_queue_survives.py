"""The server is killed while a hundred claims wait: no claim is lost, and nobody overtakes."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hostler.client.client import Client
from hostler.client.errors import ClientError
from hostler.client.settings import Settings
from hostler.client.waiting import wait_claim, wait_healthy
from hostler.demo.children import Child
from hostler.demo.lab import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostler.client.claim_calls import Claim

LAB = """
[lab]
name = "bench"
[networks.boot]
interface = "lo"
address = "127.77.0.1/24"
range = "127.77.0.100-127.77.0.199"
dhcp = "none"
[classes.pc]
platform = "x86-bios"
"""
CLIENTS, WAITING, ENOUGH = 4, 100, 60


def lab_of(boards: int) -> str:
    return LAB + "".join(
        f'[boards.pc-{number}]\nclass = "pc"\n'
        f'mac = "52:54:00:00:00:{number:02x}"\npower = {{ driver = "fake" }}\n'
        for number in range(boards)
    )


@contextmanager
def serving(directory: Path, listen: str, tokens: list[str]) -> Iterator[tuple[Client, Child]]:
    """Run a server over what is in a directory; at the end it is killed, if it still lives."""
    child = Child(
        "server", ["serve", "--listen", listen, "--state", str(directory / "state")], directory / "log"
    )
    try:
        if not tokens:
            child.wait_until(lambda: bool(child.tokens), seconds=30, what="a token")
            tokens += child.tokens
        with Client(Settings(f"http://{listen}", tokens[0])) as client:
            wait_healthy(client, seconds=30, alive=child.alive)
            yield client, child
    finally:
        kill(child)


def kill(child: Child) -> None:
    if child.alive():
        os.killpg(child.pid, signal.SIGKILL)  # its helpers with it: nobody is there to end anything well
    child.stop()


def ask(settings: Settings, answered: list[Claim], enough: threading.Event) -> None:
    """Ask for boards until the server is no more."""
    with Client(settings) as client:
        try:
            for _ in range(WAITING):
                answered.append(client.claim("pc", wait=True))
                if len(answered) >= ENOUGH:
                    enough.set()
        except ClientError:
            pass


def waiting(client: Client) -> list[Claim]:
    return sorted(
        (claim for claim in client.claims() if claim["state"] == "pending"),
        key=lambda claim: claim["position"] or 0,
    )


def test_claims_survive_a_killed_server_in_their_order(tmp_path: Path) -> None:
    """Every claim that was answered is there after kill -9, in its place; grants go on from the first one."""
    listen = f"127.0.0.1:{free_ports(tmp_path).consoles[0]}"
    tokens: list[str] = []
    answered: list[Claim] = []
    with serving(tmp_path, listen, tokens) as (client, child):
        client.apply(lab_of(1))
        holder = client.claim("pc", ttl="1d")
        enough = threading.Event()
        people = [
            threading.Thread(target=ask, args=(client.settings, answered, enough)) for _ in range(CLIENTS)
        ]
        for person in people:
            person.start()
        assert enough.wait(60)
        kill(child)  # in the middle of their asking
        for person in people:
            person.join(60)

    with serving(tmp_path, listen, tokens) as (client, child):
        while len(waiting(client)) < WAITING:
            answered.append(client.claim("pc", wait=True))
        queue = waiting(client)
        assert {claim["id"] for claim in answered} <= {claim["id"] for claim in queue}, "none is lost"
        assert len(queue) - len(answered) <= CLIENTS, (
            "what was not answered may be there: once for each who asked"
        )
        assert [claim["position"] for claim in queue] == list(range(1, len(queue) + 1))
        assert [claim["created"] for claim in queue] == sorted(claim["created"] for claim in queue)
        assert client.get_claim(holder["id"]) == holder
        client.apply(lab_of(11))
        served = [claim["id"] for claim in queue[:10]]
        wait_claim(client, served[-1], seconds=30, states=frozenset({"active"}))
        kill(child)

    with serving(tmp_path, listen, tokens) as (client, _):
        claims = {claim["id"]: claim for claim in client.claims()}
        active = [claim for claim in claims.values() if claim["state"] == "active"]
        assert {claim["id"] for claim in active} == {holder["id"], *served}, "the first ten, and nobody else"
        assert len({board for claim in active for board in claim["boards"]}) == 11, "no board twice"
        assert [claim["id"] for claim in waiting(client)] == [claim["id"] for claim in queue[10:]]
