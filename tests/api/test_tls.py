"""TLS on the public port, seen by curl and OpenSSL."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hostler.api import authority as ca
from hostler.api.authority import CertificateError
from hostler.api.public_port import PortError, Protection, listening
from hostler.api.tls import LiveCertificate
from hostler.client.client import Client
from hostler.client.settings import Settings
from hostler.demo.lab import free_ports
from netns import Lan, joined
from running_server import RunningServer, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

LAB = """[lab]
name = "bench"

[networks.boot]
interface = "lo"
address = "127.77.0.1/24"
dhcp = "none"
http_port = {port}

[classes.pc]
platform = "x86-bios"

[boards.pc-1]
class = "pc"
mac = "52:54:00:00:00:01"
power = {{ driver = "fake" }}
console = {{ driver = "fake" }}
"""


def run(*command: str, feed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=feed, capture_output=True, text=True, timeout=30, check=False)


def curl(server: RunningServer, *arguments: str, host: str = "localhost") -> subprocess.CompletedProcess[str]:
    where = f"https://{host}:{server.port}/healthz"
    return run(
        "curl", "-sS", "--noproxy", "*", "--resolve", f"{host}:{server.port}:127.0.0.1", *arguments, where
    )


def served_fingerprint(port: int) -> str:
    """Return the SHA-256 fingerprint of the certificate a port shows, by OpenSSL."""
    shown = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost").stdout
    return read_fingerprint(shown)


def read_fingerprint(pem: str) -> str:
    done = run("openssl", "x509", "-noout", "-fingerprint", "-sha256", feed=pem)
    return done.stdout.partition("=")[2].strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("tls")
    (folder / "lab.toml").write_text(LAB.format(port=free_ports(folder).consoles[0]))
    with running_server(
        folder / "state", "--tls", "auto", "--name", "lab.example", "--config", str(folder / "lab.toml")
    ) as running:
        yield running


def test_curl_believes_it_with_the_labs_ca_and_not_without(server: RunningServer) -> None:
    """Who has the CA gets through, by every name of the host; who has not is stopped by the handshake."""
    for host in ("localhost", "lab.example", "127.0.0.1"):
        assert '"ok":true' in curl(server, "--cacert", str(server.ca), host=host).stdout
    refused = curl(server)
    assert refused.returncode == 60, refused
    assert "self-signed certificate in certificate chain" in refused.stderr


def test_it_is_nobody_else(server: RunningServer) -> None:
    """The certificate is good for the lab's names only."""
    refused = curl(server, "--cacert", str(server.ca), host="other.example")
    assert refused.returncode == 60
    assert "no alternative certificate subject name matches" in refused.stderr


def test_it_prints_where_it_is_and_who_vouches_for_it(server: RunningServer) -> None:
    """The address is one a client can use, and the fingerprint is the CA's as OpenSSL shows it."""
    assert server.url == f"https://lab.example:{server.port}"
    assert server.fingerprint == "SHA256:" + read_fingerprint(server.ca.read_text())


@pytest.mark.parametrize(("version", "works"), [("1", False), ("1_1", False), ("1_2", True), ("1_3", True)])
def test_old_protocols_are_refused(server: RunningServer, version: str, works: bool) -> None:
    """TLS 1.2 and 1.3 are spoken, what is older is not (RFC 8996), even with a client that would."""
    done = run(
        "openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", f"-tls{version}",
        "-cipher", "DEFAULT@SECLEVEL=0", "-CAfile", str(server.ca), "-verify_hostname", "lab.example",
    )  # fmt: skip
    if works:
        assert "Verification: OK" in done.stdout, done
    else:
        assert "Cipher is (NONE)" in done.stdout, done
        assert "no protocols available" not in done.stderr, "OpenSSL asked, and the server said no"


def test_the_client_and_its_console_speak_tls(server: RunningServer) -> None:
    """REST, server-sent events and the console's WebSocket all pass with the CA kept for the lab."""
    settings = Settings(f"https://localhost:{server.port}", server.token, server.ca.read_text())
    with Client(settings) as client:
        assert client.health()["ok"]
        assert [board["name"] for board in client.boards()] == ["pc-1"]
        assert next(client.follow_events(after=0))["seq"] == 1
        with client.console("pc-1", write=False) as console:
            assert console.attached["event"] == "attached"


def test_the_state_is_for_its_owner_only(tmp_path: Path) -> None:
    """A new or empty state directory gets mode 0700; one in use that is open to others is told."""
    (tmp_path / "empty").mkdir(mode=0o755)
    for name in ("new", "empty"):
        with running_server(tmp_path / name) as server:
            assert server.state.stat().st_mode & 0o777 == 0o700
    server.state.chmod(0o750)
    with running_server(server.state) as again:
        assert again.wait_for(r"empty is open to others than its owner \(mode 750\)")
        assert server.state.stat().st_mode & 0o777 == 0o750


def test_a_restart_keeps_the_authority(tmp_path: Path) -> None:
    """Clients that believed the server once still do after it was started again."""
    with running_server(tmp_path / "state", "--tls", "auto") as first:
        before = first.fingerprint
    with running_server(tmp_path / "state", "--tls", "auto") as second:
        assert second.fingerprint == before


def test_plain_http_is_spoken_on_loopback_only(tmp_path: Path) -> None:
    """Without a word about TLS, a server that only this host reaches needs none, and makes no key."""
    with running_server(tmp_path / "state") as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.fingerprint == ""
        assert not (tmp_path / "state/tls").exists()


@pytest.fixture
def lan() -> Iterator[Lan]:
    """A server's and a client's namespace, both with an address."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    with joined(client_address="10.77.0.2/24") as made:
        yield made


@pytest.mark.netns
def test_other_hosts_get_tls_unless_somebody_says_so(tmp_path: Path, lan: Lan) -> None:
    """A port that others reach speaks TLS by itself, and plain HTTP only if something says so."""
    before = lan.server.argv()
    with running_server(tmp_path / "tls", listen="10.77.0.1:8066", before=before) as server:
        assert server.url == "https://10.77.0.1:8066"
        said = lan.client.run("curl", "-sS", "--cacert", str(server.ca), f"{server.url}/healthz").stdout
        assert '"ok":true' in said
        assert lan.client.run("curl", "-sS", "http://10.77.0.1:8066/healthz", check=False).returncode != 0
    with running_server(tmp_path / "all", listen="0.0.0.0:8066", before=before) as server:
        said = lan.client.run(
            "curl", "-sS", "--cacert", str(server.ca), "https://10.77.0.1:8066/healthz"
        ).stdout
        assert '"ok":true' in said, "a port on all addresses has a certificate for each of them"
    with running_server(tmp_path / "plain", "--plain-http", listen="10.77.0.1:8066", before=before) as server:
        assert server.url == "http://10.77.0.1:8066"
        assert '"ok":true' in lan.client.run("curl", "-sS", f"{server.url}/healthz").stdout


@pytest.mark.netns
def test_tokens_in_the_clear_are_refused_with_both_ways_out(tmp_path: Path, lan: Lan) -> None:
    """Switching TLS off is not enough for a port that others reach; nothing is made before it is refused."""
    done = run(
        *lan.server.argv(sys.executable, "-m", "hostler.cli.main", "serve", "--tls", "off"),
        "--listen", "10.77.0.1:8066", "--state", str(tmp_path / "state"),
    )  # fmt: skip
    assert done.returncode == 1
    assert "everybody on the way reads the tokens" in done.stderr
    assert "--tls-cert" in done.stderr
    assert "--plain-http" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("8066", "write HOST:PORT"),
        (":8066", "write HOST:PORT"),
        ("127.0.0.1:\u00b2", "write HOST:PORT"),
        ("127.0.0.1:65536", "write HOST:PORT"),
        ("192.0.2.1:8066", "is that an address of this host"),
        ("a..b:8066", "is that an address of this host"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_told(address: str, says: str) -> None:
    """Another server is suspected only where there is one."""
    with pytest.raises(PortError, match=says), listening(address, Protection(plain=True)):
        pass


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (Protection(key=Path("k")), "--tls-key needs --tls-cert"),
        (Protection(Path("c"), Path("k"), own=True), "leave --tls out"),
        (Protection(Path("c"), Path("k"), plain=True), "contradict"),
        (Protection(own=True, plain=True), "contradict"),
        (Protection(names=("lab:http",)), "write NAME or NAME:PORT"),
        (Protection(names=("lab.example/",)), "neither a host name"),
    ],
)
def test_contradictions_are_told(terms: Protection, says: str) -> None:
    """Of two words that cannot both be meant neither is dropped in silence."""
    with pytest.raises(PortError, match=says):
        terms.check()


class Files:
    """A certificate and its key as an ACME client leaves them: two files, replaced one after the other."""

    def __init__(self, folder: Path) -> None:
        now = dt.datetime.now(dt.UTC)
        self.certificate, self.key, self.ca = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
        self._authority = ca.make_authority("test", ["localhost"], now)
        self.ca.write_bytes(ca.certificate_pem(self._authority.certificate))

    def new(self) -> ca.Identity:
        return ca.issue(self._authority, ["localhost", "127.0.0.1"], dt.datetime.now(dt.UTC))

    def write_certificate(self, made: ca.Identity) -> None:
        self._replace(self.certificate, ca.certificate_pem(made.certificate))

    def write_key(self, made: ca.Identity) -> None:
        self._replace(self.key, made.to_pem().partition(b"-----BEGIN CERT")[0])

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        path.with_suffix(".new").write_bytes(content)
        path.with_suffix(".new").replace(path)

    def write(self, made: ca.Identity) -> str:
        self.write_certificate(made)
        self.write_key(made)
        return ca.fingerprint(made.certificate).removeprefix("SHA256:")


def test_a_renewed_certificate_is_taken_while_it_serves(tmp_path: Path) -> None:
    """New files are served without a restart: clients see the new certificate, and the server is the same."""
    files = Files(tmp_path)
    first = files.write(files.new())
    own = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with running_server(tmp_path / "state", *own) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert '"ok":true' in curl(server, "--cacert", str(files.ca)).stdout
        assert served_fingerprint(server.port) == first
        second = files.write(files.new())
        server.wait_for("is the certificate from now on")
        assert served_fingerprint(server.port) == second != first
        assert '"ok":true' in curl(server, "--cacert", str(files.ca)).stdout


async def test_files_that_do_not_fit_leave_the_old_certificate(tmp_path: Path) -> None:
    """Between the new certificate and the new key every handshake still succeeds, with the old pair."""
    files = Files(tmp_path)
    old = files.write(files.new())
    live = LiveCertificate(files.certificate, files.key)
    believing = ssl.create_default_context(cafile=str(files.ca))

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def shown(name: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=believing, server_hostname=name)
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert await reader.read() == b"hello"
        writer.close()
        return hashlib.sha256(certificate).digest().hex(":").upper()

    async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=live.context) as server:
        port = server.sockets[0].getsockname()[1]
        # Clients that ask by address send no name; the certificate must not depend on it.
        for name in ("localhost", "127.0.0.1"):
            assert not live.refresh()
            assert await shown(name) == old
            made = files.new()
            files.write_certificate(made)
            assert not live.refresh()
            assert await shown(name) == old
            files.write_key(made)
            assert live.refresh()
            old = await shown(name)
            assert old == ca.fingerprint(made.certificate).removeprefix("SHA256:")
            files.key.unlink()
            assert not live.refresh()
            assert await shown(name) == old
            files.write_key(made)
            assert live.refresh()


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """A missing file, a foreign key, a key with a password and something else are told by file."""
    files = Files(tmp_path)
    made = files.new()
    with pytest.raises(CertificateError, match=r"cert\.pem: No such file"):
        LiveCertificate(files.certificate, files.key)
    files.write_certificate(made)
    files.write_key(files.new())
    with pytest.raises(CertificateError, match="key and certificate do not belong together"):
        LiveCertificate(files.certificate, files.key)
    files.write_key(made)
    locked = tmp_path / "locked.pem"
    run("openssl", "pkey", "-in", str(files.key), "-aes256", "-passout", "pass:secret", "-out", str(locked))
    assert "ENCRYPTED" in locked.read_text()
    with pytest.raises(CertificateError, match=r"locked\.pem: the key has a password"):
        LiveCertificate(files.certificate, locked)
    with pytest.raises(CertificateError, match=r"cert\.pem: .*both must be there as PEM"):
        LiveCertificate(files.certificate)
