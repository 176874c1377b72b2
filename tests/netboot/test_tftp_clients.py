"""The TFTP server against the clients people run, over a real link in network namespaces."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING

import pytest

from hostler.netboot.table import NetworkConfig
from hostler.netboot.tftp_server import TftpLimits, TftpServer, TftpStartError
from hostler.netboot.virtual_file import VirtualFile
from netns import CLIENT_INTERFACE, SERVER_INTERFACE, Lan, joined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostler.model.trace import TraceEvent

pytestmark = pytest.mark.netns

SERVER = "10.77.0.1"
USUAL = TftpLimits()
BOARD, NEIGHBOUR = "10.77.0.2", "10.77.0.3"


@dataclass
class Site:
    """A running server, what it serves to whom, and what it said."""

    lan: Lan
    server: TftpServer
    files: dict[str, dict[str, bytes | Path]] = field(default_factory=dict)
    events: list[TraceEvent] = field(default_factory=list)
    told: threading.Condition = field(default_factory=threading.Condition)

    def open_file(self, client: IPv4Address, name: str) -> VirtualFile | None:
        """Serve each address its own files."""
        part = self.files.get(str(client), {}).get(name)
        return None if part is None else VirtualFile(part)

    def emit(self, event: TraceEvent) -> None:
        """Keep what the server says."""
        with self.told:
            self.events.append(event)
            self.told.notify_all()

    def wait(self, *kinds: str) -> TraceEvent:
        """Return the first event of one of these kinds, waiting for it."""
        with self.told:
            found = self.told.wait_for(lambda: [e for e in self.events if e.kind in kinds], timeout=20)
            assert found, f"no {kinds} in {[event.text for event in self.events]}"
            return found[0]


@contextmanager
def serving(limits: TftpLimits = USUAL) -> Iterator[Site]:
    """Run a server in one namespace, with a client's namespace beside it."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    with joined(client_address=f"{BOARD}/24") as lan:
        lan.client.run("ip", "address", "add", f"{NEIGHBOUR}/24", "dev", CLIENT_INTERFACE)
        site = Site(lan, None)  # type: ignore[arg-type]  # the server wants the site's methods first
        site.server = TftpServer([network()], site.open_file, site.emit, limits)
        with lan.server.entered():
            site.server.start()
        try:
            yield site
        finally:
            site.server.stop()
        assert not site.server.running


@pytest.fixture
def site() -> Iterator[Site]:
    """A server with the usual limits."""
    with serving() as made:
        yield made


def network(interface: str = SERVER_INTERFACE) -> NetworkConfig:
    """Return the network of the tests."""
    address = IPv4Interface(f"{SERVER}/24")
    return NetworkConfig("lab", interface, address, address.ip, address.ip)


def content(size: int) -> bytes:
    """Return bytes that repeat nowhere, so that no block can pass for another."""
    return random.Random(size).randbytes(size)


def digest(data: bytes) -> str:
    """Return what two equal files have in common."""
    return hashlib.sha256(data).hexdigest()


ATFTP = ["atftp", "--get", "-r", "{name}", "-l", "{local}"]
CLIENTS = {
    "atftp, plain": [*ATFTP, SERVER],
    "atftp, blksize": [*ATFTP, "--option", "blksize 1468", "--option", "tsize 0", SERVER],
    "atftp, windowsize 8": [*ATFTP, "--option", "blksize 1428", "--option", "windowsize 8", SERVER],
    "atftp, windowsize 64": [*ATFTP, "--option", "blksize 1468", "--option", "windowsize 64", SERVER],
    "atftp, small blocks in windows": [*ATFTP, "--option", "blksize 100", "--option", "windowsize 5", SERVER],
    "atftp, timeout": [*ATFTP, "--option", "timeout 2", SERVER],
    "tftp-hpa": ["tftp", "-m", "binary", SERVER, "-c", "get", "{name}", "{local}"],
    "curl": ["curl", "-sS", "--tftp-blksize", "1468", f"tftp://{SERVER}/{{name}}", "-o", "{local}"],
    "curl, larger than the link": [
        "curl",
        "-sS",
        "--tftp-blksize",
        "8192",
        f"tftp://{SERVER}/{{name}}",
        "-o",
        "{local}",
    ],
    "curl, no options": ["curl", "-sS", "--tftp-no-options", f"tftp://{SERVER}/{{name}}", "-o", "{local}"],
    "busybox": ["busybox", "tftp", "-g", "-r", "{name}", "-l", "{local}", SERVER],
    "busybox, blksize": ["busybox", "tftp", "-g", "-b", "1468", "-r", "{name}", "-l", "{local}", SERVER],
}


def fetch(site: Site, client: str, name: str, local: Path, timeout: float = 60) -> bytes:
    """Fetch a file with a real client and return what it stored."""
    argv = [word.replace("{name}", name).replace("{local}", str(local)) for word in CLIENTS[client]]
    site.lan.client.run(*argv, timeout=timeout)
    return local.read_bytes()


@pytest.mark.parametrize(
    ("client", "size"),
    [
        *((client, size) for client in CLIENTS for size in (300_000, 1468 * 64 * 3)),
        *((client, 0) for client in CLIENTS if client.startswith("atftp")),  # others make no file of nothing
    ],
)
def test_every_client_gets_the_whole_file(site: Site, tmp_path: Path, client: str, size: int) -> None:
    """Each client, with each set of options, stores exactly the bytes served; the trace tells it."""
    path = tmp_path / "served"
    path.write_bytes(content(size))
    site.files[BOARD] = {"boot/kernel": path}
    stored = fetch(site, client, "boot/kernel", tmp_path / "stored")
    assert digest(stored) == digest(content(size))
    done = site.wait("done")
    assert done.data["bytes"] == size
    assert done.data["client"] == BOARD
    assert done.data["retransmits"] == 0


@pytest.mark.parametrize("client", ["atftp, rollover", "curl, rollover", "busybox, rollover"])
def test_files_of_more_than_65535_blocks_arrive_whole(
    site: Site, tmp_path: Path, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Block numbers go on at 0 as these clients expect."""
    argv = {
        "atftp, rollover": [*ATFTP, "--option", "blksize 16", "--option", "windowsize 16", SERVER],
        "curl, rollover": [
            "curl",
            "-sS",
            "--tftp-blksize",
            "16",
            f"tftp://{SERVER}/{{name}}",
            "-o",
            "{local}",
        ],
        "busybox, rollover": ["busybox", "tftp", "-g", "-b", "64", "-r", "{name}", "-l", "{local}", SERVER],
    }
    monkeypatch.setitem(CLIENTS, client, argv[client])
    size = (64 if "busybox" in client else 16) * 66_000 + 7
    site.files[BOARD] = {"large": content(size)}
    assert digest(fetch(site, client, "large", tmp_path / "stored")) == digest(content(size))
    assert site.wait("done").data["bytes"] == size


@pytest.mark.parametrize(
    "client", ["atftp, windowsize 8", "atftp, windowsize 64", "curl", "busybox, blksize"]
)
def test_a_lossy_link_delivers_the_exact_file(site: Site, tmp_path: Path, client: str) -> None:
    """With two packets in a hundred lost each way the file is whole, and no block is given up."""
    chain = "add table inet loss; add chain inet loss in { type filter hook input priority 0; }; "
    rule = (
        "add rule inet loss in udp dport != 69 numgen random mod 100 < 2 drop"  # curl asks again after 72 s
    )
    for namespace in (site.lan.client, site.lan.server):
        namespace.run("nft", chain + rule)
    # Without this a window crosses the link in one piece and is lost in one piece.
    site.lan.server.run("ip", "link", "set", "dev", SERVER_INTERFACE, "gso_max_segs", "1")
    size = 600_000
    site.files[BOARD] = {"boot/kernel": content(size)}
    stored = fetch(site, client, "boot/kernel", tmp_path / "stored", timeout=120)
    assert digest(stored) == digest(content(size))
    assert site.wait("done").data["retransmits"] != 0


def test_an_unknown_file_is_declined_at_once(site: Site, tmp_path: Path) -> None:
    """ERROR 1 in well under a second, not silence: firmware asks for dozens of files that are not there."""
    began = time.monotonic()
    done = site.lan.client.run(
        "curl", "-sS", f"tftp://{SERVER}/nothing", "-o", str(tmp_path / "x"), check=False
    )
    assert time.monotonic() - began < 1
    assert done.returncode == 68  # CURLE_TFTP_NOTFOUND
    event = site.wait("notfound")
    assert event.text == f"no file nothing for {BOARD}"


def test_one_board_cannot_read_anothers_file(site: Site) -> None:
    """The same name is another file, or none, for another address."""
    site.files[BOARD] = {"boot/initrd": b"mine", "secret": b"token"}
    site.files[NEIGHBOUR] = {"boot/initrd": b"yours"}
    answers = {
        (address, name): ask(site, f"\0\1{name}\0octet\0".encode(), address)
        for address in (BOARD, NEIGHBOUR)
        for name in ("boot/initrd", "secret")
    }
    assert answers[BOARD, "boot/initrd"][4:] == b"mine"
    assert answers[NEIGHBOUR, "boot/initrd"][4:] == b"yours"
    assert answers[BOARD, "secret"][4:] == b"token"
    assert answers[NEIGHBOUR, "secret"][:4] == b"\0\5\0\1"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/../etc/passwd", "boot/../../x", "..\\..\\etc\\passwd"]
)
def test_climbing_out_is_refused(site: Site, name: str) -> None:
    """Nothing with .. is even looked up."""
    site.files[BOARD] = {"etc/passwd": b"x", "x": b"x"}
    assert ask(site, f"\0\1{name}\0octet\0".encode())[:4] == b"\0\5\0\2"
    assert "refused" in site.wait("error").text


def test_writing_is_refused(site: Site, tmp_path: Path) -> None:
    """A client that wants to store a file is told that it may not."""
    (tmp_path / "up").write_bytes(b"x")
    done = site.lan.client.run("curl", "-sS", "-T", str(tmp_path / "up"), f"tftp://{SERVER}/up", check=False)
    assert done.returncode == 69  # CURLE_TFTP_PERM


def test_a_text_client_gets_network_text(site: Site, tmp_path: Path) -> None:
    """In netascii mode lines arrive with the client's own line ends; large files are for octet mode."""
    text = b"one\ntwo\r\nthree\rfour\n" * 100
    site.files[BOARD] = {"menu": text, "large": bytes(2 << 20)}
    site.lan.client.run("tftp", "-m", "ascii", SERVER, "-c", "get", "menu", str(tmp_path / "menu"))
    assert (tmp_path / "menu").read_bytes() == text
    assert ask(site, b"\0\1large\0netascii\0")[:4] == b"\0\5\0\4"


def test_a_look_at_the_size_is_no_failure(site: Site) -> None:
    """A client that asks for tsize and stops is traced as a probe."""
    site.files[BOARD] = {"boot/kernel": bytes(5000)}
    with client_socket(site) as sock:
        sock.sendto(b"\0\1boot/kernel\0octet\0tsize\x000\0", (SERVER, 69))
        answer, port = sock.recvfrom(2048)
        assert answer == b"\0\6tsize\x005000\0"
        sock.sendto(b"\0\5\0\x08User aborted\0", port)
        assert "User aborted" in site.wait("probe").text


def test_a_repeated_request_is_one_transfer(site: Site) -> None:
    """A request doubled on the way starts nothing twice; a new one from the same port starts over."""
    site.files[BOARD] = {"f": bytes(5000)}
    with client_socket(site) as sock:
        for _ in range(3):
            sock.sendto(b"\0\1f\0octet\0", (SERVER, 69))
        first, port = sock.recvfrom(2048)
        assert first[:4] == b"\0\3\0\1"
        sock.sendto(b"\0\4\0\1", port)
        assert sock.recvfrom(2048)[0][:4] == b"\0\3\0\2"
        sock.sendto(b"\0\1f\0octet\0", (SERVER, 69))
        again, other = sock.recvfrom(2048)
        assert again[:4] == b"\0\3\0\1"
        assert other != port
    assert [event.kind for event in site.events].count("read") == 2


def test_too_many_transfers_are_refused_with_a_word() -> None:
    """One client cannot take all; it is told that the server is busy, and others are served."""
    with serving(TftpLimits(per_client=2, transfers=3)) as site:
        site.files = {BOARD: {"f": bytes(5000)}, NEIGHBOUR: {"f": bytes(5000)}}
        request = b"\0\1f\0octet\0"
        socks = [client_socket(site, address) for address in (BOARD, BOARD, BOARD, NEIGHBOUR, NEIGHBOUR)]
        answers = []
        for sock in socks:
            sock.sendto(request, (SERVER, 69))
            answers.append(sock.recv(2048))
        assert [answer[1] for answer in answers] == [3, 3, 5, 3, 5]
        assert b"10.77.0.2 has 2 transfers running" in answers[2]
        assert b"3 transfers are running" in answers[4]
        for sock in socks:
            sock.close()


def test_a_silent_client_is_given_up() -> None:
    """After the idle deadline the transfer is over and said so."""
    with serving(TftpLimits(idle_seconds=1.0)) as site:
        site.files[BOARD] = {"f": bytes(5000)}
        with client_socket(site) as sock:
            sock.sendto(b"\0\1f\0octet\0", (SERVER, 69))
            event = site.wait("timeout")
            assert "fell silent after 0 of 5,000 bytes of f" in event.text


def test_a_registered_file_that_vanished_is_named(site: Site, tmp_path: Path) -> None:
    """The client gets ERROR 1, the operator the path."""
    site.files[BOARD] = {"f": tmp_path / "gone"}
    assert ask(site, b"\0\1f\0octet\0")[:4] == b"\0\5\0\1"
    assert f"{tmp_path}/gone: No such file" in site.wait("notfound").text


def test_a_port_in_use_says_what_to_do(site: Site) -> None:
    """Starting where another server listens names the port and the way out."""
    second = TftpServer([network()], site.open_file, site.emit)
    with site.lan.server.entered(), pytest.raises(TftpStartError) as caught:
        second.start()
    assert "10.77.0.1 port 69 (network 'lab')" in str(caught.value)
    assert "another server has the port" in str(caught.value)
    second.stop()


def test_an_address_that_is_not_here_says_what_to_do(site: Site) -> None:
    """A network whose address is on no interface is refused with the command that adds it."""
    stranger = TftpServer([network(interface=CLIENT_INTERFACE)], site.open_file, site.emit)
    with (
        site.lan.client.entered(),
        pytest.raises(TftpStartError, match=r"ip address add 10\.77\.0\.1/24 dev cli0"),
    ):
        stranger.start()
    stranger = TftpServer([network()], site.open_file, site.emit)
    with site.lan.client.entered(), pytest.raises(TftpStartError, match="no interface 'srv0'"):
        stranger.start()


def client_socket(site: Site, address: str = BOARD) -> socket.socket:
    """Return a socket on the client's side of the link."""
    with site.lan.client.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.settimeout(5)
    return sock


def ask(site: Site, request: bytes, address: str = BOARD) -> bytes:
    """Send one datagram to the server's port and return the first answer."""
    with client_socket(site, address) as sock:
        sock.sendto(request, (SERVER, 69))
        return sock.recv(2048)
