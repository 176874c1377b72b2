"""Every call of the REST API, one method each."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from hostler.client.access_calls import AccessCalls
from hostler.client.care import CareCalls
from hostler.client.claim_calls import ClaimCalls
from hostler.client.image_calls import ImageCalls
from hostler.client.image_store_calls import ImageStoreCalls
from hostler.client.settings import load_settings
from hostler.client.transport import Transport, part
from hostler.client.wall import WallCalls
from hostler.client.wipe_calls import WipeCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from hostler.client.console import ConsoleSession
    from hostler.client.documents import (
        Agent,
        Board,
        BoardClass,
        Changes,
        CheckReport,
        ConsoleMatches,
        Event,
        FirstBoot,
        FoundWires,
        Health,
        HostCertificate,
        Lease,
        Network,
        Power,
        PowerCut,
        Run,
        SshAuthority,
        Target,
        Trace,
        Why,
    )
    from hostler.client.settings import Settings

_CHECK_SECONDS = 120.0  # a check asks every switch, and one that is away takes its whole deadline
_TRYING_SECONDS = 6 * 3600.0  # boards take minutes each, and are switched on one after the other


class Client(AccessCalls, CareCalls, ClaimCalls, ImageCalls, ImageStoreCalls, WallCalls, WipeCalls):
    """A Hostler server. Every method raises RefusedError or UnreachableError.

    Use it in a ``with`` block, or ``close`` it. Safe to use from several threads.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._http = Transport(settings or load_settings())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    @property
    def settings(self) -> Settings:
        """The server and token in use."""
        return self._http.settings

    def health(self, seconds: float = 5.0) -> Health:
        """Return whether the server lives, and its version; needs no valid token."""
        return cast("Health", self._http.call("GET", "/healthz", seconds=seconds))

    # Boards

    def classes(self, *, available: bool = False) -> list[BoardClass]:
        """Return the classes; only those with a free board when ``available``."""
        return cast(
            "list[BoardClass]", self._http.call("GET", "classes", query={"available": available or None})
        )

    def boards(self, claimed: str | None = None) -> list[Board]:
        """Return the boards; ``claimed`` is ``mine``, ``any`` or ``none``."""
        return cast("list[Board]", self._http.call("GET", "boards", query={"claimed": claimed}))

    def board(self, name: str) -> Board:
        """Return one board."""
        return cast("Board", self._http.call("GET", f"boards/{part(name)}"))

    def power(self, board: str) -> Power:
        """Return a board's power as last seen."""
        return cast("Power", self._http.call("GET", f"boards/{part(board)}/power"))

    def set_power(self, board: str, action: str) -> Power:
        """Ask for power ``on``, ``off`` or a ``cycle``; returns before it has happened."""
        return cast("Power", self._http.call("POST", f"boards/{part(board)}/power", body={"action": action}))

    def all_off(self, equipment: str | None = None) -> PowerCut:
        """Switch off every board, or every one on an equipment; returns before it has happened."""
        return cast("PowerCut", self._http.call("POST", "power/all-off", body={"equipment": equipment}))

    def recover(self, board: str) -> Board:
        """Have a quarantined board wiped again."""
        return cast("Board", self._http.call("POST", f"boards/{part(board)}/recover"))

    def trace(self, board: str, boot: int | None = None) -> Trace:
        """Return the timeline of a boot: the newest, or the one of that number."""
        return cast("Trace", self._http.call("GET", f"boards/{part(board)}/trace", query={"boot": boot}))

    def packets(self, board: str, boot: int | None = None) -> bytes:
        """Return what a board and the boot services said during a boot, as a pcapng file for Wireshark."""
        with self._http.stream("GET", f"boards/{part(board)}/packets", query={"boot": boot}) as response:
            return response.read()

    def why(self, board: str, boot: int | None = None) -> Why:
        """Return why a boot came no further: the newest, or the one of that number."""
        return cast("Why", self._http.call("GET", f"boards/{part(board)}/why", query={"boot": boot}))

    def console_log(
        self,
        board: str,
        boot: int | None = None,
        tail: int | None = None,
        *,
        claim: str | None = None,
        since: str | None = None,
    ) -> bytes:
        """Return what the console printed; without boot, claim or time that of the last boot.

        Args:
            board: The board's name.
            boot: Number of a boot.
            tail: Only the last bytes.
            claim: Only what was printed under this claim, by id.
            since: Only from this Unix time on, or from so long ago (``10m``).
        """
        query = {"boot": boot, "tail": tail, "claim": claim, "since": since}
        with self._http.stream("GET", f"boards/{part(board)}/console/log", query=query) as response:
            return response.read()

    def search_console(
        self,
        board: str,
        pattern: str,
        *,
        boot: int | None = None,
        claim: str | None = None,
        since: str | None = None,
    ) -> ConsoleMatches:
        """Return the lines of that part of the console's log that match a regular expression (RE2's)."""
        query = {"search": pattern, "boot": boot, "claim": claim, "since": since}
        found = self._http.call("GET", f"boards/{part(board)}/console/log", query=query)
        return cast("ConsoleMatches", found)

    def console(
        self,
        board: str,
        *,
        write: bool = True,
        replay: bool = True,
        size: tuple[int, int] | None = None,
    ) -> ConsoleSession:
        """Open a board's console; use the result in a ``with`` block. See ConsoleSession."""
        from hostler.client.console import ConsoleSession

        return ConsoleSession(self._http.settings, board, write=write, replay=replay, size=size)

    # Runs

    def start_run(
        self, board: str, plan: str, metadata: Mapping[str, str] | None = None, target: Target | None = None,
        *, dry_run: bool = False,
    ) -> Run:  # fmt: skip
        """Start a plan such as ``wipe,install:debian,boot`` on a board; metadata by dotted key.

        With ``dry_run`` nothing begins: the run that would be is returned.
        """
        body = {"plan": plan, "set": dict(metadata or {}), "target": target, "dry_run": dry_run}
        return cast("Run", self._http.call("POST", f"boards/{part(board)}/runs", body=body))

    def deploy(
        self, board: str, image: str, metadata: Mapping[str, str] | None = None,
        first_boot: FirstBoot | None = None, target: Target | None = None, *, dry_run: bool = False,
    ) -> Run:  # fmt: skip
        """Start to get a board to run an image, from its disk or not; the rest as for ``start_run``."""
        body = {"image": image, "set": dict(metadata or {}), "first_boot": first_boot, "target": target}
        return cast(
            "Run", self._http.call("POST", f"boards/{part(board)}/deploy", body={**body, "dry_run": dry_run})
        )

    def capture(
        self, board: str, name: str, *, disk: str | None = None, clean: Sequence[str] = ("default",),
        shrink: bool = False,
    ) -> Run:  # fmt: skip
        """Start to make an image of a board's disk; ``clean`` says what is taken out of it."""
        body = {"as": name, "disk": disk, "clean": list(clean), "shrink": shrink}
        return cast("Run", self._http.call("POST", f"boards/{part(board)}/capture", body=body))

    def runs(self, board: str | None = None) -> list[Run]:
        """Return the runs, of one board if given."""
        return cast("list[Run]", self._http.call("GET", "runs", query={"board": board}))

    def run(self, run: str) -> Run:
        """Return one run by its id."""
        return cast("Run", self._http.call("GET", f"runs/{part(run)}"))

    def cancel_run(self, run: str) -> Run:
        """Call a run off; it has ended when its state says so."""
        return cast("Run", self._http.call("DELETE", f"runs/{part(run)}"))

    # Agents

    def agents(self) -> list[Agent]:
        """Return the agents registered."""
        return cast("list[Agent]", self._http.call("GET", "agents"))

    def agent_file(self, arch: str, name: str, into: BinaryIO) -> str:
        """Fetch a file of the agent for an architecture and return its SHA-256.

        Args:
            arch: ``amd64`` or ``arm64``.
            name: ``kernel``, ``initrd`` or one of its boot files.
            into: Where to write it.
        """
        digest = hashlib.sha256()
        with self._http.stream("GET", f"agents/{part(arch)}/files/{part(name)}", seconds=60.0) as response:
            for block in response.iter_bytes():
                digest.update(block)
                into.write(block)
        return digest.hexdigest()

    def register_agent(
        self,
        arch: str,
        kernel: Path,
        initrd: Path,
        boot_files: Mapping[str, Path] | None = None,
        *,
        trusted_keys: Sequence[str] = (),
        require_signed: bool = False,
    ) -> Agent:
        """Register an agent's files, which must lie where the server can read them.

        Args:
            arch: ``amd64`` or ``arm64``.
            kernel: Kernel file.
            initrd: Initramfs file.
            boot_files: What boards' firmware fetches besides, by the name it asks for.
            trusted_keys: Public keys it was built to trust, hex.
            require_signed: Whether it was built to write signed images only.
        """
        body = {
            "kernel": str(kernel),
            "initrd": str(initrd),
            "boot_files": {name: str(path) for name, path in (boot_files or {}).items()},
            "trusted_keys": list(trusted_keys),
            "require_signed": require_signed,
        }
        return cast(
            "Agent", self._http.call("PUT", f"agents/{part(arch)}", body=body, seconds=_CHECK_SECONDS)
        )

    # ssh

    def ssh_authority(self) -> SshAuthority:
        """Return who signs the host keys of the lab; needs no valid token."""
        return cast("SshAuthority", self._http.call("GET", "ssh/ca"))

    def sign_host_key(self, board: str, key: str) -> HostCertificate:
        """Have the host key of a board one holds signed for its name, until the claim ends."""
        body = {"key": key}
        return cast("HostCertificate", self._http.call("POST", f"boards/{part(board)}/host-key", body=body))

    # Inventory, checks, history

    def apply(
        self, text: str, *, file: str = "lab.toml", dry_run: bool = False, base: str | None = None
    ) -> Changes:
        """Make this ``lab.toml`` the inventory.

        Args:
            text: What is in it.
            file: Its name, for mistakes.
            dry_run: Only tell what would change.
            base: ``base`` of a dry run: nothing is changed if the inventory is another one by now.
        """
        query = {"file": file, "dry_run": 1 if dry_run else None, "base": base}
        return cast("Changes", self._http.call("PUT", "inventory", query=query, text=text))

    def inventory(self) -> dict[str, Any]:
        """Return the inventory in force; its ``text`` is the ``lab.toml``."""
        return cast("dict[str, Any]", self._http.call("GET", "inventory"))

    def check(self, board: str | None = None) -> CheckReport:
        """Look at every wire, or at those of one board."""
        return cast(
            "CheckReport", self._http.call("POST", "check", body={"board": board}, seconds=_CHECK_SECONDS)
        )

    def last_check(self) -> dict[str, Any]:
        """Return what the last ``look`` and ``trial`` of the whole lab found, and what goes on."""
        return cast("dict[str, Any]", self._http.call("GET", "check"))

    def equipment(self) -> list[dict[str, Any]]:
        """Return the lab's equipment: ``name``, ``driver``, how many ``boards``."""
        return cast("list[dict[str, Any]]", self._http.call("GET", "equipment"))

    def panel(self, name: str) -> dict[str, Any]:
        """Return the front of an equipment, not older than some seconds."""
        answer = self._http.call(
            "GET", f"equipment/{part(name)}", query={"wait": True}, seconds=_CHECK_SECONDS
        )
        return cast("dict[str, Any]", answer)

    def networks(self) -> list[Network]:
        """Return the networks of the lab."""
        return cast("list[Network]", self._http.call("GET", "networks"))

    def dhcp_lines(self, network: str, kind: str) -> str:
        """Return what another DHCP server on a network is to have in its configuration.

        Args:
            network: The network's name.
            kind: ``isc``, ``kea``, ``dnsmasq``, ``windows`` or ``mikrotik``.
        """
        path = f"networks/{part(network)}/dhcp-lines/{part(kind)}"
        return cast("str", self._http.call("GET", path)["text"])

    def leases(self, board: str | None = None, network: str | None = None) -> list[Lease]:
        """Return the addresses of the lab's networks, of one board or one network if given."""
        query = {"board": board, "network": network}
        return cast("list[Lease]", self._http.call("GET", "leases", query=query))

    def test_wires(self, board: str, *, force: bool = False, seconds: float = 180.0) -> CheckReport:
        """Try a board's wires by switching it; events ``check.step`` tell of each as it is known.

        Args:
            board: The board's name.
            force: Also if it is claimed by you; its power is cut.
            seconds: Longest time from power-on until it asks for an address.
        """
        body = {"force": force, "seconds": seconds}
        return cast(
            "CheckReport",
            self._http.call("POST", f"boards/{part(board)}/check", body=body, seconds=_TRYING_SECONDS),
        )

    def test_all_wires(
        self, board_class: str | None = None, *, seconds: float = 180.0, at_once: int | None = None
    ) -> CheckReport:
        """Try the wires of every board nobody holds, of one class if given, some boards side by side."""
        body: dict[str, Any] = {"active": True, "class": board_class, "seconds": seconds}
        if at_once is not None:
            body["at_once"] = at_once
        return cast("CheckReport", self._http.call("POST", "check", body=body, seconds=_TRYING_SECONDS))

    def call_off_check(self, board: str | None = None) -> None:
        """Call off the trial of wires that goes on, of the lab or a board; returns when all is put back."""
        path = "check" if board is None else f"boards/{part(board)}/check"
        self._http.call("DELETE", path, seconds=_CHECK_SECONDS)

    def find_wires(
        self, mac: str, name: str | None = None, board_class: str | None = None, *, seconds: float = 90.0
    ) -> FoundWires:
        """Find the power and console of a discovered machine by trying.

        Args:
            mac: What it asks with.
            name: What it is to be called; with the class, its table for ``lab.toml`` is returned.
            board_class: What it is to be one of.
            seconds: Longest time from power-on until it asks for an address.
        """
        body = {"name": name, "class": board_class, "seconds": seconds}
        path = f"discovered/{part(mac)}/find-wires"
        return cast("FoundWires", self._http.call("POST", path, body=body, seconds=_TRYING_SECONDS))

    def events(self, after: int = 0, board: str | None = None, **wanted: str | bool | None) -> list[Event]:
        """Return the first page of history from the entry after ``after``; empty: that was all.

        Args:
            after: Number of an entry.
            board: Only what is about this board.
            wanted: ``kind`` (a pattern such as ``claim.*``), ``since`` (``10m`` or a time), ``principal``,
                ``audit`` (only what somebody caused).
        """
        query = {"after": after, "board": board, **wanted}
        return cast("list[Event]", self._http.call("GET", "events", query=query))

    def all_events(
        self, after: int = 0, board: str | None = None, **wanted: str | bool | None
    ) -> Iterator[Event]:
        """Yield all history there is from the entry after ``after``; ``wanted`` as for ``events``."""
        while page := self.events(after, board, **wanted):
            yield from page
            after = page[-1]["seq"]

    def follow_events(
        self, after: int | None = None, board: str | None = None, *,
        begun: Callable[[], None] = lambda: None, silence: float | None = None, **wanted: str | bool | None,
    ) -> Iterator[Event]:  # fmt: skip
        """Yield history as it happens, from the entry after ``after`` or from now; ends with the server.

        ``wanted`` as for ``events``; ``begun`` is called once nothing is missed any more. The server says
        something every 15 s; after ``silence`` seconds without a word UnreachableError is raised.
        """
        import httpx2

        query = {"after": after, "follow": True, "board": board, **wanted}
        headers = {"Accept": "text/event-stream"}
        with self._http.stream("GET", "events", query=query, headers=headers, seconds=silence) as response:
            begun()
            for message in httpx2.EventSource(response):
                if message.data:
                    yield json.loads(message.data)
