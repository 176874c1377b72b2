"""A whole Hostler in which things go wrong: virtual lab and server as people run them, a board a fault."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fault_images import bring_images
from fault_rows import LENDERS, PEER, Fault
from matrix_lab import OWN, READY_SECONDS, free_ports, mac_of, uuid_of
from whole_lab import BOOT_SECONDS, WholeLab

from hostler.client.client import Client
from hostler.client.errors import ClientError
from hostler.client.settings import Settings
from hostler.client.waiting import poll, wait_claim
from hostler.demo.children import Child
from hostler.model.cause import Cause
from netns import CLIENT_INTERFACE, SERVER_INTERFACE, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hostler.client.documents import Run, Why
    from hostler.demo.material import Material

VERDICT_SECONDS = 900.0
"""Longest until there is a verdict: a boot on a busy host, two attempts, and the patience of the rules."""
_HELD = 30  # looks in a row, of a tenth of a second
_TWIN = 200  # a board that is in lab.toml and nowhere else
_OPEN = ("none", "under-way")
_FLOOR = """
[networks.floor]
interface = "br1"
address = "10.78.0.1/24"
range = "10.78.0.100-10.78.0.199"
netns_pidfile = "virtual/namespace.pid"
"""
_FLOOR_BRIDGE = (
    "link add br1 type bridge forward_delay 0",
    "address add 10.78.0.1/24 dev br1",
    "link set br1 up",
)


class FaultLab(WholeLab):
    """One board for each fault, and some that lend others what is their own.

    Args:
        state: Its folder.
        faults: Which; the order gives them their ports.
        rights: Options of ``setpriv`` that take rights away from the server.
    """

    def __init__(self, state: Path, faults: Sequence[Fault], rights: Sequence[str] = ()) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.state, self.data = state, state / "server"
        self.starts = 0
        self.boot_tokens: set[str] = set()
        self.virtual = None
        self.faults = (*LENDERS, *faults)
        self._rights = rights
        api, switch, silent, *consoles = free_ports(3 + len(self.faults))
        self._consoles = dict(zip((one.key for one in self.faults), consoles, strict=True))
        self.url = f"http://127.0.0.1:{api}"
        self.toml, self._virtual_toml = state / "lab.toml", state / "virtual.toml"
        community = secrets.token_urlsafe(12)
        (state / "community").write_text(community + "\n")
        self.toml.write_text(
            f'[lab]\nname = "faults"\n{OWN}\n{_FLOOR}\n'
            + "".join(
                f'[equipment.{name}]\ndriver = "snmp-poe"\nhost = "127.0.0.1:{port}"\n'
                f'community = "file:community"\n{more}'
                for name, port, more in (
                    ("switch1", switch, ""),
                    ("nowhere", silent, ""),
                    ("weak", switch, "budget_watts = 10\n"),
                )
            )
            + "".join(self._board(number, fault) for number, fault in enumerate(self.faults, 1))
            + f'[boards.twin]\nclass = "peer"\nnetwork = "boot"\n'
            f'mac = "{mac_of(_TWIN)}"\nuuid = "{uuid_of(_TWIN)}"\n'
        )
        self._virtual_toml.write_text(
            '[lab]\nstate_dir = "virtual"\naddress = "10.77.0.1/24"\n'
            f'[switch]\nlisten = "127.0.0.1:{switch}"\ncommunity = "{community}"\nports = 48\n'
            + "".join(self._machine(number, fault) for number, fault in enumerate(self.faults, 1))
        )
        self._switch = tomllib.loads(self._virtual_toml.read_text())["switch"]

    def start_with(self, material: Material) -> None:
        """Start both, with the agents registered and the images imported."""
        for fault in self.faults:
            if fault.on_disk:
                self.disk(fault.key).parent.mkdir(parents=True)
                shutil.copyfile(material.images[fault.on_disk], self.disk(fault.key))
        self.virtual = virtual = Child(
            "virtual lab", ["virtual", "--config", str(self._virtual_toml)], self.log("virtual")
        )
        virtual.wait_until(lambda: virtual.printed(r"\bready\b"), seconds=READY_SECONDS, what="being ready")
        for line in _FLOOR_BRIDGE:
            self.inside("ip", *line.split())
        self.serve()
        self.server.wait_until(lambda: bool(self.server.tokens), seconds=READY_SECONDS, what="a token")
        self.token = self.server.tokens[0]
        self.client = Client(Settings(self.url, self.token))
        self.settle()
        self.import_images(material)
        self.loaders = material.loaders["amd64"]
        self.lost_kernel = bring_images(self, material, {fault.image for fault in self.faults})
        self.inside("nft", "add table bridge faults")
        self.inside("nft", "add table ip faults")
        self.inside("nft", "add chain ip faults in { type filter hook input priority 0; }")
        for chain, hook in (("from", "input"), ("to", "output")):
            self.inside("nft", f"add chain bridge faults {chain} {{ type filter hook {hook} priority 0; }}")

    def serve(self) -> None:
        """Start the server with the rights it is to have; it needs not answer yet."""
        self.starts += 1
        listen = self.url.removeprefix("http://")
        arguments = ["serve", "--config", str(self.toml), "--state", str(self.data), "--listen", listen]
        self.server = Child("server", arguments, self.log(f"server-{self.starts}"), self._rights)

    def judged(self, fault: Fault) -> Why:
        """Return what is said of a row's boot."""
        return self._good_boot(fault) if Cause.NONE in fault.causes else self.verdict(fault)

    def _good_boot(self, fault: Fault) -> Why:
        """Let a board do its work, and return the first wrong thing that is said of it, else the last."""
        claim = self.client.claim(fault.key, ttl="2h", wait=True)
        wait_claim(self.client, claim["id"], seconds=BOOT_SECONDS)
        try:
            run = self.start_run(fault)
            end = time.monotonic() + VERDICT_SECONDS
            while (why := self._why(fault))["boot"] is None or why["cause"] in _OPEN:
                present = self.client.run(run["id"])
                if present["ended"] is not None and why["cause"] == Cause.NONE:
                    assert present["state"] == "succeeded", f"{present['error']}\n{self.told(fault)}"
                    break
                assert time.monotonic() < end, f"not done in time\n{self.told(fault)}"
                time.sleep(1)
            return why
        finally:
            with suppress(ClientError, AssertionError):
                self._end(fault)

    def verdict(self, fault: Fault) -> Why:
        """Bring a fault about and return what is said of it: of the first boot of which something is.

        Another attempt may go well: what is asked for is why the one before did not.
        """
        claim = self.client.claim(fault.key, ttl="2h", wait=True)
        wait_claim(self.client, claim["id"], seconds=BOOT_SECONDS)
        try:
            with fault.inject(self, fault):
                self.start_run(fault)
                return poll(
                    lambda: self._why(fault),
                    lambda why: why["cause"] not in (*_OPEN, *([] if why["boot"] else ["unknown"])),
                    seconds=VERDICT_SECONDS,
                    what=f"a verdict on {fault.key}",
                )
        finally:
            with suppress(ClientError, AssertionError):  # nothing depends on it: the lab ends soon
                self._end(fault)

    def _why(self, fault: Fault) -> Why:
        last = self.client.why(fault.key)
        boots = range(1, last["boot"]["number"]) if last["boot"] else ()
        before = (self.client.why(fault.key, number) for number in boots)
        return next((why for why in before if why["cause"] not in _OPEN), last)

    def _end(self, fault: Fault) -> None:
        for run in self.client.runs(fault.key):
            if run["ended"] is None:
                self.client.cancel_run(run["id"])
                self.wait_run(run["id"], seconds=30)
        self.client.set_power(fault.key, "off")

    def start_run(self, fault: Fault) -> Run:
        """Deploy its image, or let the agent look at it."""
        if fault.image:
            return self.client.deploy(fault.key, fault.image)
        return self.client.start_run(fault.key, "discover")

    def lend(self, lender: Fault) -> None:
        """Claim a board that lends others what is its own."""
        claim = self.client.claim(lender.key, ttl="2h", wait=True)
        wait_claim(self.client, claim["id"], seconds=BOOT_SECONDS)

    def told(self, fault: Fault) -> str:
        """Return trace and console of a board for whoever reads why a verdict is wrong."""
        lines = [
            f"{event['since']:8.1f} {event['source']} {event['kind']} {event['text']}"
            for event in self.events(fault.key)
        ]
        console = self.client.console_log(fault.key, tail=3000).decode(errors="replace")
        return "\n".join([*lines, "", console])

    def tap(self, fault: Fault) -> str:
        """The interface of a board's port."""
        return f"port{self._number(fault)}"

    def inside(self, *command: str) -> str:
        """Run a command in the boards' network, and return what it prints."""
        pid = (self.state / "virtual" / "namespace.pid").read_text().strip()
        words = ["nsenter", "--net", "--target", pid, "--", *command]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout

    @contextmanager
    def filtered(self, fault: Fault, *lines: str) -> Iterator[None]:
        """Rules for a board, each ``from …`` or ``to …``, until the end of the block."""
        self._filter(fault, *lines)
        yield  # its board is used for nothing else

    @contextmanager
    def filtered_after(self, fault: Fault, file: str, *lines: str) -> Iterator[None]:
        """The same, from when the board has a whole file."""

        def begin() -> None:
            self._seen(fault, lambda event: event["kind"] == "done" and event["data"].get("file") == file)
            self._filter(fault, *lines)

        with self.meanwhile(begin):
            yield

    @contextmanager
    def meanwhile(self, work: Callable[[], None]) -> Iterator[None]:
        """Do something beside; it has been done at the end of the block, which else raises why not."""
        with ThreadPoolExecutor(1) as beside:
            done = beside.submit(work)
            try:
                yield
            finally:
                done.result()

    def plug_into(self, fault: Fault, other: Fault) -> None:
        """Put a board's cable into another board's port of the switch; that board is never switched on."""
        patch, own, port = f"patch{self._number(fault)}", self.tap(fault), self.tap(other)
        for line in (
            f"link delete {port}",
            f"link add {port} type veth peer name {patch}w",
            f"link set {port} master br0 up",
            f"link add {patch} type bridge forward_delay 0 mcast_snooping 0",
            f"link set {patch}w master {patch} up",
            f"link set {own} master {patch}",
            f"link set {patch} arp off up",  # else this host answers there, too, for its address on br0
        ):
            self.inside("ip", *line.split())

    def close_port(self, fault: Fault) -> None:
        """Let the switch's port pass nothing on for its spanning tree's sake, from when it has link."""
        poll(
            lambda: self.board_process(fault.key),
            lambda pid: pid is not None,
            seconds=BOOT_SECONDS,
            what=f"{fault.key} being on",
        )
        # The bridge opens it when the machine takes its end of the cable; before that it has no other state.
        held, deadline = 0, time.monotonic() + BOOT_SECONDS
        while held < _HELD:
            assert time.monotonic() < deadline, f"the port of {fault.key} does not stay closed"
            (port,) = json.loads(self.inside("bridge", "-json", "link", "show", "dev", self.tap(fault)))
            held = held + 1 if port["state"] == "learning" else 0
            with suppress(subprocess.CalledProcessError):
                self.inside("bridge", "link", "set", "dev", self.tap(fault), "state", "2")
            time.sleep(0.1)

    def freeze(self, fault: Fault) -> None:
        """Stop a board's machine once its agent writes; its power stays on."""
        self._seen(fault, lambda event: (event["source"], event["kind"]) == ("run", "executing"))
        time.sleep(3)  # in the midst of it
        pid = self.board_process(fault.key)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)

    def lose(self, fault: Fault, content: bytes) -> None:
        """Let a stored file be gone before the board asks for it, as after somebody tidied up by hand."""
        self._seen(fault, lambda event: (event["source"], event["kind"]) == ("run", "powering"))
        digest = hashlib.sha256(content).hexdigest()
        (self.data / "images" / "artefacts" / digest).unlink()

    def refuse_http(self, fault: Fault) -> None:
        """Refuse a board's connections; a bridge cannot, so the host does."""
        mac = mac_of(self._number(fault))
        self.inside("nft", f"add rule ip faults in ether saddr {mac} tcp flags syn reject with tcp reset")

    def damage_chunk(self, image: str) -> None:
        """Let one chunk of an image have bytes of another."""
        digests = self.client.image_index(image)[-32:].hex()  # of the last entry
        (path,) = (self.data / "images" / "chunks" / digests[:2]).glob(digests)
        others = (self.data / "images" / "chunks").glob("*/*")
        path.write_bytes(next(other for other in others if other != path).read_bytes())

    @contextmanager
    def rogue_dhcp(
        self,
        fault: Fault,
        address: str = "10.77.0.66/24",
        leases: str = "10.77.0.67,10.77.0.80,255.255.255.0",
        *more: str,
    ) -> Iterator[None]:
        """Somebody else's dnsmasq, which offers this board an address and a file."""
        mac = mac_of(self._number(fault))
        with joined(None, client_mac="02:00:00:77:00:02") as lan:
            pid = (self.state / "virtual" / "namespace.pid").read_text().strip()
            move = ["ip", "-n", lan.server.name, "link", "set", SERVER_INTERFACE, "netns", pid]
            subprocess.run(move, check=True, timeout=10)
            self.inside("ip", "link", "set", SERVER_INTERFACE, "master", "br0", "up")
            lan.client.run(*f"ip address add {address} brd + dev {CLIENT_INTERFACE}".split())
            server = lan.client.popen(
                "dnsmasq", "--no-daemon", "--port=0", "--conf-file=/dev/null", "--leasefile-ro",
                f"--interface={CLIENT_INTERFACE}", f"--dhcp-range={leases},1h", *more,
                f"--dhcp-host={mac},set:known", "--dhcp-ignore=tag:!known", "--dhcp-boot=nothing.0",
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                yield
            finally:
                server.terminate()
                server.wait(10)

    def _seen(self, fault: Fault, wanted: Callable[..., bool]) -> None:
        poll(
            lambda: self.events(fault.key),
            lambda events: any(wanted(event) for event in events),
            seconds=VERDICT_SECONDS,
            what=f"what {fault.key} waits for",
        )

    def _filter(self, fault: Fault, *lines: str) -> None:
        for line in lines:
            chain, _, rule = line.partition(" ")
            side = "iifname" if chain == "from" else "oifname"
            self.inside("nft", f"add rule bridge faults {chain} {side} {self.tap(fault)} {rule}")

    def _number(self, fault: Fault) -> int:
        return self.faults.index(fault) + 1

    def _board(self, number: int, fault: Fault) -> str:
        loader = f'loader = "{fault.loader}"\n' if fault.loader and fault.loader != "ipxe" else ""
        keys = {
            "power": f'{{ equipment = "switch1", port = {number} }}',
            "console": f'{{ driver = "raw-tcp", address = "127.0.0.1:{self._consoles[fault.key]}" }}',
            **dict(fault.board),
        }
        own = self._consoles[PEER.key]
        crossed = self._consoles.get("crossed-consoles", own)
        lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
        return (
            f'[classes.{fault.key}]\nplatform = "{fault.platform}"\n{loader}'
            f'[boards.{fault.key}]\nclass = "{fault.key}"\nmac = "{mac_of(number)}"\n'
            f'uuid = "{uuid_of(number)}"\nserial = "VM{number:04}"\nnetwork = "boot"\n'
            + lines.replace(":PEER", f":{own}").replace(":CROSSED", f":{crossed}")
        )

    def _machine(self, number: int, fault: Fault) -> str:
        uuid = "" if "uuid" in fault.machine else f'uuid = "{uuid_of(number)}"\n'
        return (
            f'[[boards]]\nname = "{fault.key}"\nkind = "{fault.kind}"\nport = {number}\n'
            f'mac = "{mac_of(number)}"\n{uuid}serial = "VM{number:04}"\nmemory = 512\n'
            f'console = "127.0.0.1:{self._consoles[fault.key]}"\n'
            + fault.machine.replace("TWIN", f'"{uuid_of(_TWIN)}"')
            + fault.disk
        )
