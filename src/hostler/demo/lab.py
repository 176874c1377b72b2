"""Write the demo's configuration from its templates, start the virtual lab and the server."""

from __future__ import annotations

import fcntl
import json
import re
import secrets
import shutil
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from hostler.client.client import Client
from hostler.client.errors import ClientError
from hostler.client.settings import Settings
from hostler.client.waiting import wait_healthy
from hostler.demo.children import Child

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

_READY_SECONDS = 90.0  # the lab probes KVM by booting, the server migrates its database
_API_PORT = 8066
_ENV = "env"


@dataclass(frozen=True, slots=True)
class Ports:
    """Free ports of this machine."""

    api: int
    switch: int
    consoles: tuple[int, int, int]


def free_ports(state: Path) -> Ports:
    """Choose ports nobody uses now: those of the last time while they are free, so that addresses stay."""
    note = state / "ports.json"
    try:
        wanted = [int(port) for port in json.loads(note.read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        wanted = []
    if len(wanted) != 5:
        wanted = [_API_PORT, 0, 0, 0, 0]
    api, *consoles = _free(socket.SOCK_STREAM, wanted[:4])
    (switch,) = _free(socket.SOCK_DGRAM, wanted[4:])
    note.write_text(json.dumps([api, *consoles, switch]))
    return Ports(api, switch, (consoles[0], consoles[1], consoles[2]))


def _free(kind: socket.SocketKind, wanted: Iterable[int]) -> list[int]:
    """Return a free port for each one wanted; all are held until all are chosen."""
    with ExitStack() as held:
        chosen = []
        for port in wanted:
            probe = held.enter_context(socket.socket(socket.AF_INET, kind))
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            chosen.append(int(probe.getsockname()[1]))
        return chosen


def fill(template: str, replacements: dict[str, str]) -> str:
    """Replace patterns in a template; raises LookupError if one is not in it."""
    for pattern, text in replacements.items():
        template, count = re.subn(pattern, text.replace("\\", r"\\"), template, flags=re.MULTILINE)
        if not count:
            raise LookupError(f"the demo's template has nothing like {pattern}")
    return template


def write_configuration(state: Path, ports: Ports) -> tuple[Path, Path]:
    """Write ``lab.toml`` and ``virtual.toml`` below ``state`` and return their paths."""
    templates = resources.files("hostler.demo")
    community = secrets.token_urlsafe(12)
    secret = state / "community"
    secret.touch(mode=0o600)
    secret.write_text(community + "\n")
    numbers = {
        r"127\.0\.0\.1:16100": f"127.0.0.1:{ports.switch}",
        **{rf"\b{16201 + i}\b": str(port) for i, port in enumerate(ports.consoles)},
    }
    virtual, lab = state / "virtual.toml", state / "lab.toml"
    virtual.touch(mode=0o600)
    virtual.write_text(
        fill(
            (templates / "virtual.toml").read_text(),
            numbers
            | {
                r"^state_dir *=.*": f'state_dir = "{state / "virtual"}"',
                r"^community *=.*": f'community = "{community}"',
            },
        )
    )
    lab.write_text(
        fill(
            (templates / "lab.toml").read_text(),
            numbers
            | {
                r"^community *=.*": f'community = "file:{secret}"',
            },
        )
    )
    return lab, virtual


class DemoLab:
    """The virtual lab and the server, running; ``client`` talks to it.

    Attributes:
        client: For the server's REST API.
        server: The process of ``hostler serve``.
    """

    client: Client
    server: Child

    def __init__(self, state: Path) -> None:
        self._state = state
        self._children: list[Child] = []

    def __enter__(self) -> DemoLab:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def env_file(self) -> Path:
        """A shell file that points ``hostler`` at this server."""
        return self._state / _ENV

    def stop(self) -> None:
        """End the server, then the lab."""
        while self._children:
            self._children.pop().stop()

    def _hold(self) -> None:
        """Keep the state for this demo alone, until the process ends."""
        self._lock = (self._state / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClientError(
                f"another demo is running in {self._state}", "stop it, or choose another place with --state"
            ) from None

    def check_alive(self) -> None:
        """Raise ChildEndedError if either process has ended."""
        for child in self._children:
            if not child.alive():
                raise child.trouble(f"{child.name} has ended")

    def _start(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True)
        self._hold()
        ports = free_ports(self._state)
        lab, virtual = write_configuration(self._state, ports)
        data = self._state / "server"
        for place in (data, self._state / "virtual"):  # whatever an earlier demo left half done
            if place.exists():
                shutil.rmtree(place)
        log = self._state / "log"
        switch = Child("virtual lab", ["virtual", "--config", str(virtual)], log / "virtual.log")
        self._children.append(switch)
        switch.wait_until(lambda: switch.printed(r"\bready\b"), seconds=_READY_SECONDS, what="being ready")
        listen = f"127.0.0.1:{ports.api}"
        serve = ["serve", "--config", str(lab), "--state", str(data), "--listen", listen]
        self.server = Child("server", serve, log / "server.log")
        self._children.append(self.server)
        self.server.wait_until(lambda: bool(self.server.tokens), seconds=_READY_SECONDS, what="a token")
        token = self.server.tokens[0]
        self.client = Client(Settings(f"http://{listen}", token))
        wait_healthy(self.client, seconds=_READY_SECONDS, alive=self.server.alive)
        self.env_file.touch(mode=0o600)
        self.env_file.write_text(f"export HOSTLER_URL=http://{listen}\nexport HOSTLER_TOKEN={token}\n")
